import { describe, expect, it } from '@jest/globals';
import { highestFirst, newestFirst } from './page-cursors.js';

const position = { createdAt: new Date('2026-03-01T09:30:00.123Z'), id: '01956f0e-2222-7aaa-8bbb-0c0c0c0c0c0c' };
const ofTeam = newestFirst('sandboxes', { teamId: 'a', metadata: { plan: 'pro', region: 'eu' } });
const problem = 'cursor is not a cursor of this list';

describe('page cursors', () => {
  it('find their position again', () => {
    expect(ofTeam.decode(ofTeam.encode(position))).toEqual(position);
    expect(highestFirst('versions', { agentId: 'x' }).decode(highestFirst('versions', { agentId: 'x' }).encode(7))).toBe(7);
    expect(ofTeam.decode(undefined)).toBeNull();
  });

  it('need no encoding in a query', () => {
    expect(ofTeam.encode(position)).toMatch(/^[A-Za-z0-9_-]+$/);
  });

  it('do not mind the order of filters, nor filters that are not given', () => {
    const reordered = newestFirst('sandboxes', { metadata: { region: 'eu', plan: 'pro' }, status: undefined, teamId: 'a' });
    expect(reordered.decode(ofTeam.encode(position))).toEqual(position);
  });

  it.each([
    ['another list', newestFirst('agents', { teamId: 'a', metadata: { plan: 'pro', region: 'eu' } })],
    ['another team', newestFirst('sandboxes', { teamId: 'b', metadata: { plan: 'pro', region: 'eu' } })],
    ['other filters', newestFirst('sandboxes', { teamId: 'a', metadata: { plan: 'free', region: 'eu' } })],
    ['fewer filters', newestFirst('sandboxes', { teamId: 'a' })],
  ])('are refused for %s', (_what, other) => {
    expect(() => other.decode(ofTeam.encode(position))).toThrow(problem);
  });

  const text = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const binding = (JSON.parse(Buffer.from(ofTeam.encode(position), 'base64url').toString()) as string[])[0];
  it.each([
    ['garbage', 'garbage'],
    ['nothing', ''],
    ['another JSON', text({ a: 1 })],
    ['a short one', text([binding])],
    ['a bad time', text([binding, 'yesterday', position.id])],
    ['a time without end', text([binding, 1e300, position.id])],
    ['a bad id', text([binding, 1, "'; --"])],
    ['one with more in it', text([binding, 1, position.id, 1])],
    ['one with padding', `${ofTeam.encode(position)}==`],
    ['one cut short', ofTeam.encode(position).slice(0, -2)],
  ])('are refused when they are %s', (_what, cursor) => {
    expect(() => ofTeam.decode(cursor)).toThrow(problem);
  });
});
