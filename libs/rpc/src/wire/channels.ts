import type { ServiceName } from '@gatehouse/contracts';

/** One boot of one instance, as its channel name tells it. */
export interface Instance {
  readonly name: string;
  /** Milliseconds since the epoch. */
  readonly bootedAt: number;
  /** Sealing key of this boot, 32 bytes in base64url. */
  readonly publicKey: string;
}

const NAME = /^[A-Za-z0-9_.-]{1,128}$/;

/**
 * Names of channels. Redis' own table of subscriptions is the directory of what is alive, so an instance's channel says
 * everything a caller must know about it, and an instance that starts again has another channel.
 */
export class Channels {
  /** @param namespace separates installations, and tests, on one bus */
  constructor(private readonly namespace = 'gatehouse') {
    if (!NAME.test(namespace)) throw new TypeError('An RPC namespace has 1 to 128 characters of A-Z, a-z, 0-9, "_", "." and "-"');
  }

  /** Requests arrive here. Withdrawn first when an instance stops. */
  requests(service: ServiceName, { name, bootedAt, publicKey }: Instance): string {
    if (!NAME.test(name)) throw new TypeError('An instance name has 1 to 128 characters of A-Z, a-z, 0-9, "_", "." and "-"');
    return `${this.requestsOf(service)}${name}:${bootedAt.toString(36)}:${publicKey}`;
  }

  requestsOf(service: ServiceName): string {
    return `${this.namespace}:rpc:${service}:`;
  }

  /** Held for an instance's whole life, also while it drains: who is silent here is dead. Cancellations arrive here. */
  control({ publicKey }: Instance): string {
    return `${this.namespace}:rpc-control:${publicKey}`;
  }

  /** Answers to one client. Nobody else listens, so one client cannot read another's answers. */
  replies(clientId: string): string {
    return `${this.namespace}:rpc-reply:${clientId}`;
  }

  /** The bytes of one stream, to who receives it. */
  streamData(ref: string): string {
    return `${this.namespace}:rpc-stream:${ref}:data`;
  }

  /** What the receiver of a stream wants of it, to who sends it. */
  streamCredit(ref: string): string {
    return `${this.namespace}:rpc-stream:${ref}:credit`;
  }

  /** Reads an instance from what follows {@link requestsOf}; null for a channel that is none. */
  static parseInstance(rest: string): Instance | null {
    const [name = '', bootedAt = '', publicKey = '', ...more] = rest.split(':');
    if (more.length > 0 || !NAME.test(name) || !/^[0-9a-z]{1,11}$/.test(bootedAt) || !/^[A-Za-z0-9_-]{43}$/.test(publicKey)) return null;
    return { name, bootedAt: Number.parseInt(bootedAt, 36), publicKey };
  }
}
