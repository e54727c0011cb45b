import { type Caller, GatehouseError, type RpcCall, type RpcHandlers } from '@gatehouse/contracts';
import { Inject, Injectable } from '@nestjs/common';
import { HeldElsewhere } from '../held-elsewhere.js';
import { RpcService } from '../nest/rpc-service.decorator.js';
import { type DemoAnswer, type DemoSecret, type DemoSize, type DemoText, type DemoPayload, demosRpc } from './demos.js';

/** What a test sees and steers of one instance. */
export class DemoState {
  readonly handled: string[] = [];
  readonly callers: Caller[] = [];
  /** Texts of `hold` calls that run now. */
  readonly held = new Set<string>();
  readonly aborted: string[] = [];
  /** Where `locate` sends calls on to. */
  readonly holders = new Map<string, string>();
  private readonly releases = new Map<string, () => void>();

  constructor(readonly instance: string) {}

  release(text: string): void {
    this.releases.get(text)?.();
  }

  /** Ends when released; never minds the signal, only notes it. */
  async hold(text: string, signal: AbortSignal): Promise<void> {
    this.held.add(text);
    signal.addEventListener('abort', () => this.aborted.push(text));
    await new Promise<void>(resolve => this.releases.set(text, resolve));
    this.held.delete(text);
  }
}

@Injectable()
@RpcService(demosRpc)
export class DemosService implements RpcHandlers<typeof demosRpc> {
  constructor(@Inject(DemoState) private readonly state: DemoState) {}

  async echo(caller: Caller, { text }: DemoText): Promise<DemoAnswer> {
    this.state.handled.push(text);
    this.state.callers.push(caller);
    return { text, instance: this.state.instance };
  }

  async nothing(): Promise<void> {
    this.state.handled.push('nothing');
  }

  async refuse(): Promise<never> {
    throw new GatehouseError('budget_exceeded', 'Budget exceeded', { scope: 'team', scopeId: null, limitUsd: 1, spentUsd: 0.5, heldUsd: 0.5, resetsAt: null });
  }

  async crash(): Promise<never> {
    throw new Error('planted cause');
  }

  async hold(_caller: Caller, { text }: DemoText, { signal }: RpcCall): Promise<DemoAnswer> {
    await this.state.hold(text, signal);
    return { text, instance: this.state.instance };
  }

  async locate(_caller: Caller, { text }: DemoText): Promise<DemoAnswer> {
    this.state.handled.push(text);
    const holder = this.state.holders.get(text) ?? this.state.instance;
    if (holder !== this.state.instance) throw new HeldElsewhere(holder);
    return { text, instance: this.state.instance };
  }

  async keep(_caller: Caller, { name, password, auth }: DemoSecret): Promise<{ name: string; seen: string }> {
    return { name, seen: [...`${password} ${auth.token}`].reverse().join('') };
  }

  async reveal(_caller: Caller, { text }: DemoText): Promise<{ secret: string }> {
    return { secret: `${text} revealed` };
  }

  async inflate(_caller: Caller, { size }: DemoSize): Promise<{ filling: string }> {
    return { filling: 'x'.repeat(size) };
  }

  async measure(_caller: Caller, { payload }: DemoPayload): Promise<{ length: number }> {
    return { length: payload.length };
  }
}
