/** The envelope does not open: another key, other associated data, or changed bytes. Carries no plaintext and no key material. */
export class EnvelopeBroken extends Error {
  override readonly name = 'EnvelopeBroken';

  constructor(reason: string, cause?: unknown) {
    super(`Envelope does not open: ${reason}`, { cause });
  }
}
