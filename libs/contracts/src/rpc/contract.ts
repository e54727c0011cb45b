import type { Caller } from '../caller.js';
import type { ErrorCode } from '../errors/catalogue.js';
import type { InputClass } from '../validation/input-fields.js';

/** Processes that answer calls. The gateway only asks. */
export const SERVICES = ['vault', 'sandbox', 'budget', 'egress'] as const;
export type ServiceName = (typeof SERVICES)[number];

/** Milliseconds a call may take unless its method says otherwise. */
export const DEFAULT_DEADLINE_MS = 5_000;

/** What a handler knows about the call it serves. */
export interface RpcCall {
  /** Aborted when the deadline passes, the caller gives up, or the process stops. */
  readonly signal: AbortSignal;
  /** Milliseconds since the epoch. */
  readonly deadline: number;
}

export interface RpcCallOptions {
  readonly signal?: AbortSignal;
  /** Shortens or lengthens the method's own deadline for this call. */
  readonly timeoutMs?: number;
  /** Addresses one instance instead of any. */
  readonly instance?: string;
}

/** One method: input class, result type, deadline, what must not cross the wire in the clear. Immutable; each step makes a new one. */
export class RpcMethod<Input extends object, Output, Throws extends ErrorCode = never> {
  /** Types only, never set. */
  declare readonly output: Output;
  declare readonly errors: Throws;

  constructor(
    readonly input: InputClass<Input>,
    readonly deadlineMs: number,
    readonly sealedFields: readonly string[],
    readonly sealsResult: boolean,
    readonly throwable: readonly ErrorCode[],
    readonly routeKey: ((caller: Caller, input: Input) => string) | undefined,
  ) {}

  returns<Result>(): RpcMethod<Input, Result, Throws> {
    return new RpcMethod(this.input, this.deadlineMs, this.sealedFields, this.sealsResult, this.throwable, this.routeKey);
  }

  /** Documents what a caller must be ready for, beside what every call can throw. */
  throws<Code extends ErrorCode>(...codes: Code[]): RpcMethod<Input, Output, Throws | Code> {
    return new RpcMethod(this.input, this.deadlineMs, this.sealedFields, this.sealsResult, codes, this.routeKey);
  }

  within(deadlineMs: number): RpcMethod<Input, Output, Throws> {
    return new RpcMethod(this.input, deadlineMs, this.sealedFields, this.sealsResult, this.throwable, this.routeKey);
  }

  /** Top-level input fields that travel as sealed boxes to the receiving instance. */
  sealing(...fields: (keyof Input & string)[]): RpcMethod<Input, Output, Throws> {
    return new RpcMethod(this.input, this.deadlineMs, fields, this.sealsResult, this.throwable, this.routeKey);
  }

  /** The whole result travels as a sealed box to the asking process. */
  sealingResult(): RpcMethod<Input, Output, Throws> {
    return new RpcMethod(this.input, this.deadlineMs, this.sealedFields, true, this.throwable, this.routeKey);
  }

  /**
   * Calls about one thing go to the instance that holds it. An instance that does not hold it answers with the one
   * that does, and the client remembers that by this key.
   */
  routedBy(routeKey: (caller: Caller, input: Input) => string): RpcMethod<Input, Output, Throws> {
    return new RpcMethod(this.input, this.deadlineMs, this.sealedFields, this.sealsResult, this.throwable, routeKey);
  }
}

export const rpc = <Input extends object>(input: InputClass<Input>): RpcMethod<Input, void> => new RpcMethod(input, DEFAULT_DEADLINE_MS, [], false, [], undefined);

// A contract holds methods of unrelated inputs; `never` in the routeKey's parameter position keeps it assignable without `any`.
export interface RpcMethodShape {
  readonly input: InputClass<object>;
  readonly output: unknown;
  readonly deadlineMs: number;
  readonly sealedFields: readonly string[];
  readonly sealsResult: boolean;
  readonly throwable: readonly ErrorCode[];
  readonly routeKey: ((caller: Caller, input: never) => string) | undefined;
}
export type RpcMethods = Readonly<Record<string, RpcMethodShape>>;

export interface RpcContract<Methods extends RpcMethods = RpcMethods> {
  readonly service: ServiceName;
  readonly resource: string;
  readonly methods: Methods;
}

/** The descriptor both ends are typed from: `service` answers `resource.<method>` for each method. */
export const rpcContract = <const Methods extends RpcMethods>(service: ServiceName, resource: string, methods: Methods): RpcContract<Methods> => ({ service, resource, methods });

export type InputOf<M> = M extends { input: InputClass<infer Input> } ? Input : never;
export type OutputOf<M> = M extends { output: infer Output } ? Output : never;

/** What a service implements. */
export type RpcHandlers<C extends RpcContract> = {
  [M in keyof C['methods']]: (caller: Caller, input: InputOf<C['methods'][M]>, call: RpcCall) => Promise<OutputOf<C['methods'][M]>>;
};

/** What a caller holds. Inputs are plain objects of the input class's shape. */
export type RpcClient<C extends RpcContract> = {
  readonly [M in keyof C['methods']]: (caller: Caller, input: InputOf<C['methods'][M]>, options?: RpcCallOptions) => Promise<OutputOf<C['methods'][M]>>;
};

/** The name a method has on the wire. */
export const patternOf = (contract: RpcContract, method: string): string => `${contract.resource}.${method}`;
