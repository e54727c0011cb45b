import { Optional, Required } from '../validation/input-fields.js';
import { IsLine, IsOneOf, Rule, TextRule } from '../validation/rules.js';
import { IsWellFormed } from './well-formed.js';

const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** They say where a request goes and where it ends: with one of them a credential would be a way to smuggle. */
const FRAMING = new Set(['host', 'content-length', 'transfer-encoding', 'connection', 'upgrade', 'te', 'trailer', 'keep-alive', 'expect', 'proxy-connection', 'proxy-authorization']);

const headerName = (value: unknown): string | null => {
  if (typeof value !== 'string' || !HEADER_NAME.test(value)) return 'must be a header name';
  return FRAMING.has(value.toLowerCase()) ? 'must not be a header that frames the request' : null;
};

export class HeaderInject {
  @Required({ blank: 'missing' })
  @IsOneOf(['header'])
  kind!: 'header';

  @Required({ trim: true })
  @IsLine({ min: 1, max: 200 })
  @Rule('headerName', headerName)
  header!: string;

  /** Kept with its blanks. */
  @Optional()
  @IsLine({ max: 200 })
  @IsWellFormed()
  prefix?: string;
}

export class QueryInject {
  @Required({ blank: 'missing' })
  @IsOneOf(['query'])
  kind!: 'query';

  @Required({ trim: true })
  @IsLine({ min: 1, max: 200 })
  @IsWellFormed()
  param!: string;
}

export class BasicInject {
  @Required({ blank: 'missing' })
  @IsOneOf(['basic'])
  kind!: 'basic';

  @Optional()
  @IsLine({ max: 200 })
  @IsWellFormed()
  @TextRule('noColon', text => (text.includes(':') ? 'must not contain a colon' : null))
  username?: string;
}

/** Where in an outgoing request the secret goes (spec 10.9). */
export type InjectRule = HeaderInject | QueryInject | BasicInject;

export const DEFAULT_INJECT: InjectRule = { kind: 'header', header: 'Authorization', prefix: 'Bearer ' };
