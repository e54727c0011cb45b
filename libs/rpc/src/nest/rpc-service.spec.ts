import 'reflect-metadata';
import { once } from 'node:events';
import { type Caller, Nothing, type RpcCall, type RpcClient, type RpcContract, type RpcHandlers, healthRpc, rpc, rpcContract } from '@gatehouse/contracts';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { type CallHandler, type CanActivate, Controller, type ExecutionContext, Injectable, Logger, Module, type NestInterceptor, Scope, UseGuards, UseInterceptors } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { MessagePattern } from '@nestjs/microservices';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { type Observable, map } from 'rxjs';
import { InMemoryBroker, InMemoryBus } from '../bus/in-memory-bus.js';
import { RpcClients } from '../client/rpc-clients.js';
import { HeldElsewhere } from '../held-elsewhere.js';
import type { RpcRequest } from '../server/rpc-request.js';
import { RpcServer } from '../server/rpc-server.js';
import { CountingSource } from '../testing/byte-sources.js';
import { DemoText, demoCaller as caller, demosRpc } from '../testing/demos.js';
import { DemosService, DemoState } from '../testing/demos.service.js';
import { eventually, expectError } from '../testing/expectations.js';
import { Stage } from '../testing/stage.js';
import { ByteStreams } from '../streams/byte-streams.js';
import { newStreamRef } from '../streams/stream-ref.js';
import { InjectRpc, rpcClientToken } from './inject-rpc.decorator.js';
import { RpcModule } from './rpc.module.js';
import { RpcService } from './rpc-service.decorator.js';

const smallRpc = rpcContract('vault', 'smalls', { say: rpc(DemoText).returns<string>(), rest: rpc(Nothing).returns<string>() });

@RpcService(smallRpc)
class SmallService implements RpcHandlers<typeof smallRpc> {
  async say(_caller: Caller, { text }: DemoText): Promise<string> {
    return text;
  }

  async rest(): Promise<string> {
    return 'rested';
  }
}

let broker: InMemoryBroker;
let stage: Stage;
beforeEach(() => {
  broker = new InMemoryBroker();
  stage = new Stage(() => new InMemoryBus(broker));
});
afterEach(() => stage.close());

const serve = (controllers: (new (...args: never[]) => object)[], contracts: readonly RpcContract[] = [smallRpc]) => stage.instance('a', {}, controllers, contracts);

describe('@RpcService', () => {
  test('refuses a class that lacks a method of its contract, and names it', () => {
    class Half {
      async say(): Promise<string> {
        return '';
      }
    }
    expect(() => RpcService(smallRpc)(Half as never)).toThrow('Half does not implement smalls.rest');
  });

  test('gives each subclass of a common base its own pattern', async () => {
    class Health {
      async check(): Promise<{ instance: string }> {
        return { instance: this.constructor.name };
      }
    }
    const [vaultHealth, budgetHealth] = [healthRpc('vault'), healthRpc('budget')];
    @RpcService(vaultHealth)
    class VaultHealth extends Health {}
    @RpcService(budgetHealth)
    class BudgetHealth extends Health {}

    await stage.instance('v', {}, [VaultHealth], [vaultHealth]);
    await stage.instance('b', {}, [BudgetHealth], [budgetHealth]);
    const clients = stage.clients();
    expect(await clients.of(vaultHealth).check(caller, {})).toEqual({ instance: 'VaultHealth' });
    expect(await clients.of(budgetHealth).check(caller, {})).toEqual({ instance: 'BudgetHealth' });
  });

  test('lets guards and interceptors see the request, and change the result', async () => {
    const seen: RpcRequest[] = [];
    class Watch implements CanActivate {
      canActivate(context: ExecutionContext): boolean {
        seen.push(context.switchToRpc().getData<RpcRequest>());
        return true;
      }
    }
    class Loud implements NestInterceptor {
      intercept(_context: ExecutionContext, next: CallHandler<string>): Observable<string> {
        return next.handle().pipe(map(text => text.toUpperCase()));
      }
    }
    @RpcService(smallRpc)
    @UseGuards(new Watch())
    @UseInterceptors(new Loud())
    class Watched extends SmallService {}

    await serve([Watched]);
    const client = stage.clients({ trace: () => '00-trace-span-01' }).of(smallRpc);
    expect(await client.say(caller, { text: 'quiet' })).toBe('QUIET');
    expect(seen).toMatchObject([{ pattern: 'smalls.say', caller, input: { text: 'quiet' }, trace: '00-trace-span-01' }]);
    await expectError(client.say(caller, { text: '' }), 'validation_error');
  });

  test('works with request-scoped providers', async () => {
    let made = 0;
    @Injectable({ scope: Scope.REQUEST })
    class PerRequest extends SmallService {
      private readonly number = ++made;

      override async rest(): Promise<string> {
        return `number ${this.number}`;
      }
    }
    RpcService(smallRpc)(PerRequest);
    Injectable({ scope: Scope.REQUEST })(PerRequest);
    Controller({ scope: Scope.REQUEST })(PerRequest);

    await serve([PerRequest]);
    const client = stage.clients().of(smallRpc);
    expect([await client.rest(caller, {}), await client.rest(caller, {})]).toEqual(['number 1', 'number 2']);
    await expectError(client.say(caller, { text: '' }), 'validation_error');
  });

  test('leaves errors to the server: Nest writes no line of its own', async () => {
    const nest = jest.spyOn(Logger.prototype, 'error');
    await stage.instance('a');
    await expectError(stage.client().crash(caller, {}), 'internal_error', 500);
    await expectError(stage.client().refuse(caller, {}), 'budget_exceeded');
    expect(nest).not.toHaveBeenCalled();
    expect(stage.logger.of('error')).toHaveLength(1);
    nest.mockRestore();
  });

  test('a redirect from a method that is not routed is a fault, not a redirect', async () => {
    class Confused extends SmallService {
      override async rest(): Promise<string> {
        throw new HeldElsewhere('b');
      }
    }
    RpcService(smallRpc)(Confused);
    await serve([Confused]);
    await expectError(stage.clients().of(smallRpc).rest(caller, {}), 'internal_error', 500);
    expect(stage.logger.of('error')).toHaveLength(1);
  });

  test('gives the handler its deadline, counted from the arrival', async () => {
    let call: RpcCall | undefined;
    class Timed extends SmallService {
      override async rest(..._args: unknown[]): Promise<string> {
        call = _args[2] as RpcCall;
        return '';
      }
    }
    RpcService(smallRpc)(Timed);
    await serve([Timed]);
    await stage.clients().of(smallRpc).rest(caller, {}, { timeoutMs: 60_000 });
    expect(Math.abs((call?.deadline ?? 0) - Date.now() - 60_000)).toBeLessThan(2_000);
    expect(call?.signal.aborted).toBe(false);
  });
});

describe('a process that does not serve what it claims refuses to start', () => {
  test('when a contract has no class', async () => {
    await expect(serve([])).rejects.toThrow('contract smalls has no handler for say, rest');
    expect(broker.channels()).toEqual([]);
  });

  test('when two classes implement one contract', async () => {
    class Again extends SmallService {}
    RpcService(smallRpc)(Again);
    await expect(serve([SmallService, Again])).rejects.toThrow(/smalls\.say has 2 handlers[^]*smalls\.rest has 2 handlers/);
  });

  test('when a contract belongs to another service', async () => {
    await expect(serve([SmallService, DemosService], [smallRpc, demosRpc])).rejects.toThrow('contract demos belongs to the service budget, not to vault');
  });

  test('when a handler stands outside of all contracts', async () => {
    @Controller()
    class Loose {
      @MessagePattern('loose')
      handle(): void {}
    }
    await expect(serve([SmallService, Loose])).rejects.toThrow('loose is not part of an RPC contract');
  });
});

describe('RpcModule', () => {
  const options = () => ({ bus: new InMemoryBus(broker), namespace: stage.namespace, transportKey: stage.transportKey, logger: stage.logger });

  @Injectable()
  class Asker {
    constructor(@InjectRpc(smallRpc) readonly smalls: RpcClient<typeof smallRpc>) {}
  }

  test('injects typed clients, which a test can replace', async () => {
    await serve([SmallService]);
    const building = () => Test.createTestingModule({ imports: [RpcModule.forRoot({ calls: [smallRpc], useFactory: options })], providers: [Asker] });
    const real = await building().compile();
    expect(await real.get(Asker).smalls.say(caller, { text: 'hello' })).toBe('hello');
    await real.close();

    const faked = await building()
      .overrideProvider(rpcClientToken(smallRpc))
      .useValue({ say: async () => 'fake' })
      .compile();
    expect(await faked.get(Asker).smalls.say(caller, { text: 'hello' })).toBe('fake');
    await faked.close();
  });

  test('names the contract that a process injects without listing it', async () => {
    const building = Test.createTestingModule({ imports: [RpcModule.forRoot({ useFactory: options })], providers: [Asker] });
    await expect(building.compile()).rejects.toThrow('RpcClient(vault/smalls)');
  });

  test('refuses to serve without an instance name', async () => {
    const building = Test.createTestingModule({ imports: [RpcModule.forRoot({ serves: { service: 'vault', contracts: [smallRpc] }, useFactory: options })], controllers: [SmallService] });
    await expect(building.compile()).rejects.toThrow('a process that serves vault needs an instance name');
  });

  test('in an application with HTTP: handlers can call out until the server has drained, then the bus closes', async () => {
    await serve([SmallService]);
    const state = new DemoState('hybrid');
    class CallsOut extends DemosService {
      constructor(@InjectRpc(smallRpc) private readonly smalls: RpcClient<typeof smallRpc>) {
        super(state);
      }

      override async nothing(): Promise<void> {
        await state.hold('out', new AbortController().signal);
        state.handled.push(await this.smalls.say(caller, { text: 'said while stopping' }));
      }
    }
    RpcService(demosRpc)(CallsOut);
    const moduleOptions = options();
    @Module({
      imports: [RpcModule.forRoot({ calls: [smallRpc], serves: { service: 'budget', contracts: [demosRpc] }, useFactory: () => ({ ...moduleOptions, instance: 'hybrid' }) })],
      controllers: [CallsOut],
    })
    class HybridModule {}

    const app = await NestFactory.create(HybridModule, new FastifyAdapter(), { logger: false, abortOnError: false });
    app.connectMicroservice({ strategy: app.get(RpcServer) });
    await app.startAllMicroservices();
    await app.init();

    const call = stage.client().nothing(caller, {});
    await eventually(() => state.held.has('out'));
    const closed = app.close();
    await eventually(async () => (await stage.clients().instances('budget')).length === 0);
    state.release('out');
    await call;
    await closed;
    expect(state.handled).toEqual(['said while stopping']);
    expect(moduleOptions.bus.state).toBe('down');
  });

  test('injects streams, and ends them before the bus', async () => {
    @Injectable()
    class Carrier {
      constructor(readonly streams: ByteStreams) {}
    }
    const module = await Test.createTestingModule({ imports: [RpcModule.forRoot({ useFactory: options })], providers: [Carrier] }).compile();
    const ref = newStreamRef();
    const sent = expectError(stage.streams().streams.send(ref, new CountingSource()), 'internal_error', 503);
    const stream = module.get(Carrier).streams.receive(ref);
    await once(stream, 'readable');
    await module.close();
    // Told by the process that stopped: a process that merely vanished would be found missing later.
    await sent;
    expect(stream.errored).toMatchObject({ code: 'internal_error', status: 503 });
  });

  test('gives its clients to whoever needs the list of instances', async () => {
    await serve([SmallService]);
    const module = await Test.createTestingModule({ imports: [RpcModule.forRoot({ useFactory: options })] }).compile();
    expect(await module.get(RpcClients).instances('vault')).toEqual(['a']);
    await module.close();
  });
});
