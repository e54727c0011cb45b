import { IsGitRefName } from './git-ref-name.js';
import { rpc, rpcContract } from './rpc/contract.js';
import { bySandbox, SandboxRef } from './sandboxes.js';
import { Optional, Required } from './validation/input-fields.js';
import { IsHttpUrl, IsInteger, IsLine, IsPath, IsText } from './validation/rules.js';
import { IsWellFormed } from './vaults/well-formed.js';

/** The largest depth git can read; it means the whole history. */
const DEPTH_MAX = 2_147_483_647;

export class CloneRepository extends SandboxRef {
  @Required({ blank: 'missing' })
  @IsHttpUrl()
  url!: string;

  @Optional()
  @IsPath()
  path?: string;

  /** Password of HTTP basic authentication, with the user name `x-access-token`; for this clone only. */
  @Optional()
  @IsLine({ min: 1, max: 4_096 })
  @IsWellFormed()
  token?: string;

  @Optional()
  @IsInteger({ min: 1, max: DEPTH_MAX })
  depth?: number;

  /** Or a tag. */
  @Optional()
  @IsText({ min: 1, max: 255 })
  @IsGitRefName()
  branch?: string;
}

export interface ClonedRepository {
  /** Absolute and resolved. */
  readonly path: string;
  /** The one checked out; the tag that was asked for; `HEAD` where the repository has neither. */
  readonly branch: string;
}

export const CLONE_PATH_DEFAULT = '/home/user/repo';
export const CLONE_TIMEOUT_MS = 120_000;

/** Git in a sandbox (spec 6.4). */
export const gitRpc = rpcContract('sandbox', 'git', {
  /** A clone may take 120 s; starting the sandbox and clearing away what a failure left come on top. */
  clone: rpc(CloneRepository).returns<ClonedRepository>().throws('not_found', 'conflict', 'sandbox_error').within(210_000).sealing('token').routedBy(bySandbox),
});
