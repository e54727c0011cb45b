import { IsInteger, IsText, Optional, Required, rpc, rpcContract } from '@gatehouse/contracts';

/** An input of ordinary size, so that validation costs what it costs in life. */
export class BenchInput {
  @Required()
  @IsText({ min: 1, max: 100 })
  name!: string;

  @Required()
  @IsText({ max: 1_000 })
  content!: string;

  @Optional()
  @IsInteger({ min: 1, max: 100 })
  limit?: number;
}

export const benchRpc = rpcContract('budget', 'bench', {
  echo: rpc(BenchInput).returns<{ readonly content: string }>(),
});
