import { randomUUID } from 'node:crypto';
import type { Caller, RpcCallOptions, RpcMethodShape, ServiceName } from '@gatehouse/contracts';
import type { LiveInstance } from './instance-directory.js';

/** What is asked of whom. */
export interface Question {
  readonly service: ServiceName;
  readonly pattern: string;
  readonly method: RpcMethodShape;
  readonly caller: Caller;
  readonly input: object;
  readonly options: RpcCallOptions;
}

/** Which instance must answer, and who says so. A remembered one may be replaced by any other. */
export interface Target {
  readonly name: string;
  readonly because: 'pinned' | 'moved' | 'remembered';
}

/** One call between its question and its settling: where it is now, and until when it may be. */
export class PendingCall {
  /** 122 random bits: nobody else can name the call. */
  readonly id = randomUUID();
  readonly tried = new Set<LiveInstance>();
  target: Target | undefined;
  hops = 0;
  /** The directory was read for this call, so what it does not list is not there. */
  lookedAgain = false;
  /** Redis has confirmed that the instance got it. */
  delivered = false;
  settled = false;
  private readonly deadline: number;
  private readonly timer: NodeJS.Timeout;
  private asked: LiveInstance | undefined;

  constructor(
    readonly question: Question,
    /** What the call is about, for routed methods. */
    readonly routeKey: string | undefined,
    private readonly resolve: (result: unknown) => void,
    private readonly reject: (reason: unknown) => void,
    onDeadline: (call: PendingCall) => void,
    onAbort: (call: PendingCall) => void,
  ) {
    const { options, method } = question;
    const timeoutMs = options.timeoutMs ?? method.deadlineMs;
    this.deadline = performance.now() + timeoutMs;
    this.timer = setTimeout(onDeadline, timeoutMs, this);
    this.abort = () => onAbort(this);
    options.signal?.addEventListener('abort', this.abort, { once: true });
  }

  private readonly abort: () => void;

  /** The instance that has the question now. */
  get instance(): LiveInstance | undefined {
    return this.asked;
  }

  get remainingMs(): number {
    return Math.max(1, Math.round(this.deadline - performance.now()));
  }

  /** Hands the question from one instance to another, or to none. */
  moveTo(instance: LiveInstance | undefined): void {
    if (this.asked !== undefined) this.asked.inFlight--;
    if (instance !== undefined) instance.inFlight++;
    this.asked = instance;
    this.delivered = false;
  }

  succeed(result: unknown): void {
    this.settle();
    this.resolve(result);
  }

  fail(reason: unknown): void {
    this.settle();
    this.reject(reason);
  }

  private settle(): void {
    this.settled = true;
    this.moveTo(undefined);
    clearTimeout(this.timer);
    this.question.options.signal?.removeEventListener('abort', this.abort);
  }
}
