import { Optional } from '../validation/input-fields.js';
import { IsListOf, IsText, uuidV4Text } from '../validation/rules.js';

/** Vaults one run can ask for a credential. */
export const VAULTS_OF_RUN_MAX = 50;

/** Ids of the vaults of a run. */
export const IsVaultIds = () => IsListOf(VAULTS_OF_RUN_MAX, uuidV4Text);

/** What a request says of the vaults it wants (spec 8.5). */
export class VaultChoice {
  /** An empty list ends the search with none. */
  @Optional()
  @IsVaultIds()
  vaultIds?: string[];

  @Optional({ trim: true, blank: 'absent' })
  @IsText({ max: 255 })
  externalUserId?: string;
}
