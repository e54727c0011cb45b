import type { LookupAddress } from 'node:dns';
import { lookup } from 'node:dns/promises';
import { isIP, type LookupFunction } from 'node:net';
import { mayConnect } from './address-guard.js';
import { RefreshFailed } from './refresh-failed.js';

/** All addresses of a host name. */
export type ResolveHost = (hostname: string) => Promise<readonly LookupAddress[]>;

/** As everything else on this machine resolves names, its hosts file included. */
export const resolveHost: ResolveHost = hostname => lookup(hostname, { all: true });

/** As a resolver and a connection want it: `URL` keeps the brackets of IPv6. It has made every spelling of an IPv4 address the same. */
export const hostOf = ({ hostname }: URL): string => hostname.replace(/^\[(.*)\]$/, '$1');

/**
 * The one address to connect to for the host of a URL. A name is resolved once; one address of it that may not be connected
 * to refuses the name, because no provider mixes those, and whoever plans to rebind does.
 * @throws RefreshFailed when there is none, or none that may be connected to; what `signal` was aborted with, when it is.
 */
export const checkedAddress = async (url: URL, { allowPrivate, resolve, signal }: { allowPrivate: boolean; resolve: ResolveHost; signal: AbortSignal }): Promise<LookupAddress> => {
  const addresses = await addressesOf(hostOf(url), resolve, signal);
  const [first] = addresses;
  if (first === undefined) throw new RefreshFailed("The token endpoint's host has no address");
  if (!addresses.every(({ address }) => mayConnect(address, allowPrivate))) throw new RefreshFailed("The token endpoint's address is not one that may be connected to");
  return first;
};

const addressesOf = async (host: string, resolve: ResolveHost, signal: AbortSignal): Promise<readonly LookupAddress[]> => {
  const family = isIP(host);
  if (family !== 0) return [{ address: host, family }];
  // The system's resolver cannot be stopped, only no longer waited for.
  const aborted = new Promise<never>((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));
  try {
    return await Promise.race([resolve(host), aborted]);
  } catch (error) {
    signal.throwIfAborted();
    throw new RefreshFailed("The token endpoint's host could not be resolved", { cause: error });
  }
};

/** For `request`: whatever name is asked for, that address is the answer, so that nobody is asked twice. It is not called for an IP literal. */
export const answering =
  ({ address, family }: LookupAddress): LookupFunction =>
  (_hostname, { all }, callback) =>
    all ? callback(null, [{ address, family }]) : callback(null, address, family);
