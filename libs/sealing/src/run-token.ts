import { type KeyObject, createHash } from 'node:crypto';
import { isSandboxId, isUuid, VAULTS_OF_RUN_MAX } from '@gatehouse/contracts';
import { type JWTHeaderParameters, type JWTPayload, SignJWT, errors, jwtVerify } from 'jose';
import { LRUCache } from 'lru-cache';
import { type RunTokenPublicKeys, parseRunTokenPrivateKey, rawRunTokenPublicKey, runTokenKeyId } from './run-token-keys.js';

/**
 * Run tokens: what a run in a sandbox shows to the egress proxy, and the vault behind it, to say whose run it is. A compact JWT
 * (RFC 7519) signed with Ed25519 (RFC 8037) and with nothing else. Only the service that begins runs can sign, so that whoever
 * takes over a process that reads tokens cannot make one for another team.
 */
export interface RunTokenClaims {
  readonly teamId: string;
  /** The API key that began the run. */
  readonly keyId: string;
  /** As callers see it. */
  readonly sandboxId: string;
  readonly runId: string;
  /** At most `VAULTS_OF_RUN_MAX`; the first one with a credential for an address gives it. */
  readonly vaultIds: readonly string[];
}

export interface VerifiedRunToken extends RunTokenClaims {
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

/** Not a token of this installation, or no longer. Never holds the token or a part of it. */
export class RunTokenInvalid extends Error {
  override readonly name = 'RunTokenInvalid';

  constructor(reason: string) {
    super(`Run token is not valid: ${reason}`);
  }
}

const ALGORITHM = 'EdDSA';
const ISSUER = 'gatehouse';
const AUDIENCE = 'gatehouse-egress';
const TOKEN_BYTES_MAX = 8_192;
const CLOCK_TOLERANCE_SECONDS = 5;
const REMEMBERED_MAX = 5_000;
/** The signature's 64 bytes in base64url, whose last digit has four bits to spare: they must be zero. */
const COMPACT_FORM = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{85}[AQgw]$/;

/** Signs the tokens of new runs. */
export class RunTokenSigner {
  /** 32 bytes in base64, for those who verify. */
  readonly publicKey: string;
  private readonly keyId: string;

  constructor(
    private readonly privateKey: KeyObject,
    private readonly now: () => number = Date.now,
  ) {
    const raw = rawRunTokenPublicKey(privateKey);
    this.publicKey = raw.toString('base64');
    this.keyId = runTokenKeyId(raw);
  }

  /** @throws TypeError when the text is not 32 bytes in base64. */
  static from(text: string): RunTokenSigner {
    return new RunTokenSigner(parseRunTokenPrivateKey(text));
  }

  /**
   * @param options.lifetimeSeconds a positive integer
   * @throws TypeError when the claims or the lifetime are such as no verifier would accept.
   */
  async sign({ runId, teamId, keyId, sandboxId, vaultIds }: RunTokenClaims, { lifetimeSeconds }: { readonly lifetimeSeconds: number }): Promise<string> {
    if (!Number.isSafeInteger(lifetimeSeconds) || lifetimeSeconds <= 0) throw new TypeError('The lifetime of a run token must be a positive number of whole seconds');
    const iat = Math.floor(this.now() / 1_000);
    const payload = { iss: ISSUER, aud: AUDIENCE, sub: runId, team: teamId, key: keyId, sandbox: sandboxId, vaults: vaultIds, iat, exp: iat + lifetimeSeconds };
    if (claimsOf(payload) === null) throw new TypeError('These claims cannot be put into a run token');
    return new SignJWT(payload).setProtectedHeader({ alg: ALGORITHM, kid: this.keyId }).sign(this.privateKey);
  }
}

/** Verifies tokens, and remembers those that held: every request of a run shows the same one. */
export class RunTokenVerifier {
  private readonly remembered: LRUCache<string, VerifiedRunToken>;
  private readonly now: () => number;

  constructor(
    private readonly keys: RunTokenPublicKeys,
    { now = Date.now, rememberedMax = REMEMBERED_MAX }: { readonly now?: () => number; readonly rememberedMax?: number } = {},
  ) {
    this.now = now;
    this.remembered = new LRUCache({ max: rememberedMax });
  }

  /** @throws RunTokenInvalid */
  async verify(token: string): Promise<VerifiedRunToken> {
    if (token.length > TOKEN_BYTES_MAX) throw new RunTokenInvalid('it is too long');
    // The decoder below skips blanks and padding, which are no part of a token.
    if (!COMPACT_FORM.test(token)) throw new RunTokenInvalid('it has not the form of one');
    const name = createHash('sha256').update(token).digest('base64url');
    const known = this.remembered.get(name);
    // One that has ended meanwhile is verified again, which says so.
    if (known !== undefined && this.now() < known.expiresAt) return known;
    this.remembered.delete(name);
    const verified = claimsOf(await this.verifiedPayload(token));
    if (verified === null) throw new RunTokenInvalid('its claims are malformed');
    this.remembered.set(name, verified);
    return verified;
  }

  private async verifiedPayload(token: string): Promise<JWTPayload> {
    const options = { algorithms: [ALGORITHM], issuer: ISSUER, audience: AUDIENCE, requiredClaims: ['exp'], clockTolerance: CLOCK_TOLERANCE_SECONDS, currentDate: new Date(this.now()) };
    try {
      const { payload } = await jwtVerify(token, (header: JWTHeaderParameters) => this.key(header.kid), options);
      return payload;
    } catch (error) {
      throw error instanceof RunTokenInvalid ? error : new RunTokenInvalid(reasonOf(error));
    }
  }

  private key(kid: string | undefined): KeyObject {
    const key = typeof kid === 'string' ? this.keys.get(kid) : undefined;
    if (key === undefined) throw new RunTokenInvalid('it names no known key');
    return key;
  }
}

/** In words of ours: a message or cause of the library's may quote what the token says. */
const reasonOf = (error: unknown): string => {
  if (error instanceof errors.JWTExpired) return 'it has expired';
  if (error instanceof errors.JWTClaimValidationFailed) return 'it is not for here or not for now';
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'its signature does not hold';
  if (error instanceof errors.JOSEAlgNotAllowed) return 'it is signed in another way';
  return 'it cannot be read';
};

/** Null when anything is missing, of a wrong type or form. Ids are given in lower case, as rows have them: they are compared as texts. */
const claimsOf = ({ aud, sub, team, key, sandbox, vaults, iat, exp }: JWTPayload): VerifiedRunToken | null => {
  if (aud !== AUDIENCE || !Number.isSafeInteger(iat) || !isInstant(exp) || !isText(sub, isUuid) || !isText(team, isUuid) || !isText(key, isUuid) || !isText(sandbox, isSandboxId) || !isVaultIds(vaults)) return null;
  return { runId: lower(sub), teamId: lower(team), keyId: lower(key), sandboxId: sandbox, vaultIds: vaults.map(lower), expiresAt: exp * 1_000 };
};

const lower = (id: string): string => id.toLowerCase();
const isInstant = (value: unknown): value is number => Number.isSafeInteger(value);
const isText = (value: unknown, hasForm: (text: string) => boolean): value is string => typeof value === 'string' && hasForm(value);
const isVaultIds = (value: unknown): value is readonly string[] => Array.isArray(value) && value.length <= VAULTS_OF_RUN_MAX && value.every(id => isText(id, isUuid));
