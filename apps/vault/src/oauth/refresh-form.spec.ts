import { describe, expect, test } from '@jest/globals';
import { refreshForm, type RefreshRequest } from './refresh-form.js';

const request: RefreshRequest = { tokenEndpoint: 'https://tokens.example', tokenEndpointAuth: 'none', clientId: 'client', refreshToken: 'refresh' };
const special = { clientId: 'a:b c+d&e=f/ü%', clientSecret: "s:t *-._~!'()€\"" };
const encoded = { clientId: 'a%3Ab+c%2Bd%26e%3Df%2F%C3%BC%25', clientSecret: 's%3At+*-._%7E%21%27%28%29%E2%82%AC%22' };

describe('refresh form', () => {
  test('has the grant, the token and the client; scope and resource only when set', () => {
    expect(refreshForm(request)).toEqual({ body: 'grant_type=refresh_token&refresh_token=refresh&client_id=client' });
    expect(refreshForm({ ...request, scope: '', resource: '' })).toEqual({ body: 'grant_type=refresh_token&refresh_token=refresh&client_id=client' });
    expect(refreshForm({ ...request, scope: 'read write:all', resource: 'https://api.example/v1?a=b' }).body).toBe(
      'grant_type=refresh_token&refresh_token=refresh&client_id=client&scope=read+write%3Aall&resource=https%3A%2F%2Fapi.example%2Fv1%3Fa%3Db',
    );
  });

  test('with none never has the secret', () => {
    expect(refreshForm({ ...request, ...special, refreshToken: 'x&client_id=other' })).toEqual({
      body: `grant_type=refresh_token&refresh_token=x%26client_id%3Dother&client_id=${encoded.clientId}`,
    });
  });

  test('with client_secret_post has the secret in the form', () => {
    expect(refreshForm({ ...request, ...special, tokenEndpointAuth: 'client_secret_post' })).toEqual({
      body: `grant_type=refresh_token&refresh_token=refresh&client_id=${encoded.clientId}&client_secret=${encoded.clientSecret}`,
    });
  });

  test('with client_secret_basic has both in the header, form-encoded before base64, and the id in the form too', () => {
    const { body, authorization = '' } = refreshForm({ ...request, ...special, tokenEndpointAuth: 'client_secret_basic' });
    expect(body).toBe(`grant_type=refresh_token&refresh_token=refresh&client_id=${encoded.clientId}`);
    const [scheme, value = ''] = authorization.split(' ');
    expect(scheme).toBe('Basic');
    expect(Buffer.from(value, 'base64').toString()).toBe(`${encoded.clientId}:${encoded.clientSecret}`);
  });

  test.each(['client_secret_basic', 'client_secret_post'] as const)('with %s and no secret is not sent', tokenEndpointAuth => {
    expect(() => refreshForm({ ...request, tokenEndpointAuth })).toThrow(`The credential has no client secret, which ${tokenEndpointAuth} needs`);
  });
});
