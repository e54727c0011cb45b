import { rpc, rpcContract } from '../rpc/contract.js';
import { Required } from '../validation/input-fields.js';
import { IsHttpUrl, IsInteger, IsText, Rule, uuidV4Text } from '../validation/rules.js';
import type { InjectRule } from './inject-rule.js';

/** A request that is about to leave a sandbox, or the model loop in its name. */
export class ReleaseCredential {
  /** Says whose run it is and which vaults it may use. */
  @Required({ blank: 'missing' })
  @IsText({ min: 1, max: 8_192 })
  runToken!: string;

  /** Where the request goes; its query is ignored. */
  @Required({ blank: 'missing' })
  @IsHttpUrl({ max: 65_536 })
  url!: string;
}

/** How a server answered a request that carried a credential. */
export class ReportCredential {
  @Required({ blank: 'missing' })
  @IsText({ min: 1, max: 8_192 })
  runToken!: string;

  @Required({ blank: 'missing' })
  @Rule('uuid', uuidV4Text)
  credentialId!: string;

  /** Of the release: a report about an older secret says nothing of the present one. */
  @Required()
  @IsInteger({ min: 1, max: 2_147_483_647 })
  secretVersion!: number;

  /** 401 and 403 say that the server refused it. */
  @Required()
  @IsInteger({ min: 100, max: 599 })
  status!: number;
}

export type ReleasedCredential =
  /** Nothing is kept for this address: the request goes as it is. */
  | { readonly outcome: 'none' }
  /** To be put into the request as `inject` says. */
  | { readonly outcome: 'released'; readonly credentialId: string; readonly secretVersion: number; readonly inject: InjectRule; readonly secret: string }
  /** There is a credential, but it cannot be used: the request must not go out without it. `reason` never holds a secret. */
  | { readonly outcome: 'refused'; readonly credentialId: string; readonly reason: string };

/** The only way a secret leaves the vault. For the egress and the model loop. */
export const releasesRpc = rpcContract('vault', 'releases', {
  /** May wait for a token endpoint. @throws `unauthorized` when the run token does not hold */
  release: rpc(ReleaseCredential).returns<ReleasedCredential>().throws('unauthorized').within(20_000).sealingResult(),
  report: rpc(ReportCredential).returns<void>().throws('unauthorized'),
});
