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
 * The addresses to connect to for the host of a URL, in the resolver's order. A name is resolved once; one address of it that may
 * not be connected to refuses the name, because no provider mixes those, and whoever plans to rebind does.
 * @throws RefreshFailed when there is none, or none that may be connected to; what `signal` was aborted with, when it is.
 */
export const checkedAddresses = async (url: URL, { allowPrivate, resolve, signal }: { allowPrivate: boolean; resolve: ResolveHost; signal: AbortSignal }): Promise<readonly LookupAddress[]> => {
  const addresses = await addressesOf(hostOf(url), resolve, signal);
  if (addresses.length === 0) throw new RefreshFailed("The token endpoint's host has no address");
  if (!addresses.every(({ address }) => mayConnect(address, allowPrivate))) throw new RefreshFailed("The token endpoint's address is not one that may be connected to");
  return addresses;
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

/**
 * For `request`: whatever name is asked for, those addresses are the answer, so that nobody is asked twice. Asked for all of
 * them, as Node does, it tries one after the other until one connects: half of a dual-stack host may be out of reach from
 * here. It is not called for an IP literal.
 */
export const answering =
  (addresses: readonly LookupAddress[]): LookupFunction =>
  (_hostname, { all }, callback) => {
    const [first] = addresses;
    if (all) callback(null, [...addresses]);
    else if (first === undefined) callback(new Error('no address'), '');
    else callback(null, first.address, first.family);
  };
