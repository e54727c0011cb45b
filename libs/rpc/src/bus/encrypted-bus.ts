import { QuietLog, type RpcLogger } from '../logger.js';
import { BusCipher } from '../wire/bus-cipher.js';
import type { BusListener, BusState, MessageBus } from './message-bus.js';

/** A bus on which only the processes of one installation understand one another; see {@link BusCipher}. */
export class EncryptedBus implements MessageBus {
  private readonly cipher: BusCipher;
  private readonly foreign: QuietLog;

  constructor(
    private readonly inner: MessageBus,
    { transportKey, logger }: { readonly transportKey: Buffer; readonly logger: RpcLogger },
  ) {
    this.cipher = new BusCipher(transportKey);
    this.foreign = new QuietLog((fields, message) => logger.warn(fields, message));
  }

  get state(): BusState {
    return this.inner.state;
  }

  publish(channel: string, message: Buffer): Promise<number> {
    return this.inner.publish(channel, this.cipher.encrypt(channel, message));
  }

  subscribe(channel: string, listener: BusListener, onLost?: (reason: Error) => void): Promise<() => Promise<void>> {
    const decrypted: BusListener = encrypted => {
      const message = this.cipher.decrypt(channel, encrypted);
      if (message === null) this.foreign.line({ bytes: encrypted.length }, 'Message of no process of this installation dropped: is GATEHOUSE_TRANSPORT_KEY the same everywhere?');
      else listener(message);
    };
    return this.inner.subscribe(channel, decrypted, onLost);
  }

  channels(prefix: string): Promise<string[]> {
    return this.inner.channels(prefix);
  }

  receivers(channels: readonly string[]): Promise<number[]> {
    return this.inner.receivers(channels);
  }

  onInterruption(listener: () => void): void {
    this.inner.onInterruption(listener);
  }

  close(): Promise<void> {
    return this.inner.close();
  }
}
