import { type KeyRing, openEnvelope, sealEnvelope } from '@gatehouse/sealing';

export type Envs = Readonly<Record<string, string>>;

/** An envelope as a JSON column keeps it, bytes in base64. Null: no variables. */
export type SealedEnvs = { readonly keyId: string; readonly wrappedDek: string; readonly nonce: string; readonly ciphertext: string } | null;

/** Where the values of an agent's version belong: copied into another row they do not open. */
export const agentPlace = (teamId: string, agentId: string, version: number): string => `${teamId}|${agentId}|${version}`;

/** Where the values given to one sandbox belong. */
export const sandboxPlace = (teamId: string, sandboxRowId: string): string => `${teamId}|sandbox|${sandboxRowId}`;

export const sealEnvs = async (keyRing: KeyRing, envs: Envs, place: string): Promise<SealedEnvs> => {
  if (Object.keys(envs).length === 0) return null;
  const { keyId, wrappedDek, nonce, ciphertext } = await sealEnvelope(keyRing, JSON.stringify(envs), place);
  return { keyId, wrappedDek: wrappedDek.toString('base64'), nonce: nonce.toString('base64'), ciphertext: ciphertext.toString('base64') };
};

/** @throws EnvelopeBroken when the row is not as it was written, or its key is no longer on the ring. */
export const openEnvs = async (keyRing: KeyRing, sealed: SealedEnvs, place: string): Promise<Envs> => {
  if (sealed === null) return {};
  const bytes = (text: string): Buffer => Buffer.from(text, 'base64');
  const envelope = { keyId: sealed.keyId, wrappedDek: bytes(sealed.wrappedDek), nonce: bytes(sealed.nonce), ciphertext: bytes(sealed.ciphertext) };
  return JSON.parse((await openEnvelope(keyRing, envelope, place)).toString()) as Envs;
};
