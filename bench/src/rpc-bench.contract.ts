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

/** A stream that the service reads to its end. */
export class BenchStream {
  @Required()
  @IsText({ max: 36 })
  ref!: string;
}

export const benchRpc = rpcContract('budget', 'bench', {
  echo: rpc(BenchInput).returns<{ readonly content: string }>(),
  swallow: rpc(BenchStream).returns<{ readonly bytes: number }>().within(120_000),
});
