import type { ServerResponse } from 'node:http';
import { sandboxUnavailable } from '@gatehouse/contracts';
import { Injectable } from '@nestjs/common';

/** A shorter answer is not worth counting. */
const LARGE_CHARACTERS = 256 * 1_024;
/** As JSON they may take six times as many bytes. */
const CHARACTERS_MAX = 128 * 1_024 * 1_024;

/** Large answers stay in memory until their clients have taken them, as slowly as they like. This bounds all of them together. */
@Injectable()
export class HeldAnswers {
  private characters = 0;

  /** @throws GatehouseError `sandbox_error` 503 where there is no room */
  hold(characters: number, response: Pick<ServerResponse, 'once' | 'closed'>): void {
    if (characters < LARGE_CHARACTERS || response.closed) return;
    if (this.characters + characters > CHARACTERS_MAX) throw sandboxUnavailable('Too many large answers are being sent', undefined, 1);
    this.characters += characters;
    response.once('close', () => (this.characters -= characters));
  }
}
