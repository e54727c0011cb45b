import { internalError } from '@gatehouse/contracts';
import { generateSealingKeys } from '@gatehouse/sealing';
import { type CancelPacket, type ReplyPacket, type RequestPacket, PACKET_BYTES_MAX, exceedsBytes } from '../wire/packets.js';
import { openResult, sealFields } from '../wire/sealed-fields.js';
import type { LiveInstance } from './instance-directory.js';
import type { PendingCall } from './pending-call.js';

/** Writes and reads the packets of one client. */
export class CallPackets {
  /** Results are sealed to these; they live and die with the process. */
  private readonly keys = generateSealingKeys();

  constructor(
    private readonly replyTo: string,
    private readonly transportKey: Buffer,
    private readonly trace: (() => string | undefined) | undefined,
    private readonly bytesMax = PACKET_BYTES_MAX,
  ) {}

  /**
   * The call as a packet that only this instance can read in full.
   * @throws GatehouseError `internal_error` when it is no JSON or too large for the bus
   */
  request({ id, question, remainingMs }: PendingCall, instance: LiveInstance): Buffer {
    const { pattern, caller, method, input } = question;
    const trace = this.trace?.();
    const sealed = sealFields(input, method.sealedFields, instance.publicKey, this.transportKey, { pattern, requestId: id });
    const packet: RequestPacket = {
      v: 1,
      id,
      pattern,
      caller,
      input: sealed,
      timeoutMs: remainingMs,
      ...(trace === undefined ? {} : { trace }),
      replyTo: this.replyTo,
      ...(method.sealsResult ? { replyKey: this.keys.publicKey } : {}),
    };
    const text = serialise(packet);
    if (exceedsBytes(text, this.bytesMax)) throw internalError(new Error(`The request ${pattern} is too large for the message bus`));
    return Buffer.from(text);
  }

  cancel({ id }: PendingCall): Buffer {
    return Buffer.from(serialise({ v: 1, cancel: id, replyTo: this.replyTo }));
  }

  /** @throws SealBroken when a sealed result does not open. */
  result({ id, question }: PendingCall, reply: ReplyPacket): unknown {
    const { method, pattern } = question;
    return method.sealsResult ? openResult(reply.ok, this.keys, this.transportKey, { pattern, requestId: id }) : reply.ok;
  }
}

const serialise = (packet: RequestPacket | CancelPacket): string => {
  try {
    return JSON.stringify(packet);
  } catch (error) {
    throw internalError(error);
  }
};
