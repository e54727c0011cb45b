import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { RedisBus } from '../bus/redis-bus.js';
import { RpcModule } from '../nest/rpc.module.js';
import { RpcServer } from '../server/rpc-server.js';
import { demosRpc } from './demos.js';
import { DemosService, DemoState } from './demos.service.js';

/** An instance of the demo service in a process of its own: `demo-process.ts <redis url> <namespace> <transport key in hex> <instance>`. */
const [url = '', namespace = '', transportKey = '', instance = ''] = process.argv.slice(2);
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

@Module({
  imports: [
    RpcModule.forRoot({
      serves: { service: 'budget', contracts: [demosRpc] },
      useFactory: () => ({ bus: new RedisBus({ url, logger: silent }), namespace, transportKey: Buffer.from(transportKey, 'hex'), logger: silent, instance }),
    }),
  ],
  controllers: [DemosService],
  providers: [{ provide: DemoState, useValue: new DemoState(instance) }],
})
class DemoModule {}

const app = await NestFactory.createMicroservice(DemoModule, { inject: [RpcServer], useFactory: (server: RpcServer) => ({ strategy: server }), logger: ['error'] });
await app.listen();
process.send?.('listening');
