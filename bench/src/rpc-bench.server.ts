import 'reflect-metadata';
import type { Caller, RpcHandlers } from '@gatehouse/contracts';
import { ByteStreams, RedisBus, RpcModule, RpcServer, RpcService } from '@gatehouse/rpc';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type BenchInput, type BenchStream, benchRpc } from './rpc-bench.contract.js';
import { quiet } from './quiet-logger.js';

/** The service process of the RPC benchmark. What it is told is secret, so it stands in the environment and not among its arguments. */
const { BENCH_REDIS_URL: url = '', BENCH_NAMESPACE: namespace = '', BENCH_TRANSPORT_KEY: transportKey = '' } = process.env;

@RpcService(benchRpc)
class BenchService implements RpcHandlers<typeof benchRpc> {
  constructor(private readonly streams: ByteStreams) {}

  async echo(_caller: Caller, { content }: BenchInput): Promise<{ content: string }> {
    return { content };
  }

  async swallow(_caller: Caller, { ref }: BenchStream): Promise<{ bytes: number }> {
    let bytes = 0;
    for await (const piece of this.streams.receive(ref) as AsyncIterable<Buffer>) bytes += piece.length;
    return { bytes };
  }
}

@Module({
  imports: [
    RpcModule.forRoot({
      serves: { service: 'budget', contracts: [benchRpc] },
      useFactory: () => ({ bus: new RedisBus({ url, logger: quiet }), namespace, transportKey: Buffer.from(transportKey, 'hex'), logger: quiet, instance: 'bench' }),
    }),
  ],
  controllers: [BenchService],
})
class BenchModule {}

const app = await NestFactory.createMicroservice(BenchModule, { inject: [RpcServer], useFactory: (server: RpcServer) => ({ strategy: server }), logger: ['error'] });
await app.listen();
process.send?.('listening');
process.once('disconnect', () => void app.close());
