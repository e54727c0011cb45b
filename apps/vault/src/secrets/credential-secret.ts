import type { CredentialAuth } from '@gatehouse/contracts';
import { type Envelope, type KeyRing, openEnvelope, sealEnvelope } from '@gatehouse/sealing';

/** What a secret belongs to: moved into another row, or its row changed under it, it does not open. */
export interface SecretPlace {
  readonly teamId: string;
  readonly vaultId: string;
  readonly id: string;
  readonly secretVersion: number;
  /** Bound too: who could only write to the table would otherwise send the secret to a server of their own. */
  readonly serverUrlNormalized: string;
}

/** The four columns a row keeps of an envelope; all null once the secret is destroyed. */
export interface SecretColumns {
  readonly keyId: string | null;
  readonly wrappedDek: Uint8Array | null;
  readonly nonce: Uint8Array | null;
  readonly ciphertext: Uint8Array | null;
}

const placeText = ({ teamId, vaultId, id, secretVersion, serverUrlNormalized }: SecretPlace): string => `${teamId}|${vaultId}|${id}|${secretVersion}|${serverUrlNormalized}`;

/** Under a key of its own, wrapped by the ring's current one. */
export const sealSecret = (keyRing: KeyRing, place: SecretPlace, auth: CredentialAuth): Promise<Envelope> => sealEnvelope(keyRing, JSON.stringify(auth), placeText(place));

/**
 * @throws EnvelopeBroken when anything of the row is not as it was sealed, or its key is not on the ring
 * @throws Error when it opens and holds what was never a secret of a credential: a fault of the program
 */
export const openSecret = async (keyRing: KeyRing, row: SecretPlace & SecretColumns): Promise<CredentialAuth> => {
  const plaintext = await openEnvelope(keyRing, envelopeOf(row), placeText(row));
  try {
    return authOf(plaintext.toString());
  } finally {
    plaintext.fill(0);
  }
};

/** The parser's own message quotes the text, so it goes nowhere. */
const authOf = (plaintext: string): CredentialAuth => {
  try {
    return JSON.parse(plaintext) as CredentialAuth;
  } catch {
    throw new Error('What was sealed as the secret of a credential is not JSON');
  }
};

/** A missing column opens no more than a damaged one. */
export const envelopeOf = ({ keyId, wrappedDek, nonce, ciphertext }: SecretColumns): Envelope => ({
  keyId: keyId ?? '',
  wrappedDek: bytes(wrappedDek),
  nonce: bytes(nonce),
  ciphertext: bytes(ciphertext),
});

const bytes = (column: Uint8Array | null): Buffer => (column === null ? Buffer.alloc(0) : Buffer.from(column.buffer, column.byteOffset, column.byteLength));
