import ipaddr from 'ipaddr.js';
import { isIP } from 'node:net';

type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** `private`: only where the installation says so. What is neither is never connected to. */
type Reach = 'public' | 'private';

/** By the names of ipaddr.js for the special-purpose ranges (RFC 6890). A range that is not here is refused, and so is one it learns later. */
const REACH: ReadonlyMap<string, Reach> = new Map<string, Reach>([
  ['unicast', 'public'],
  ['loopback', 'private'],
  ['private', 'private'],
  ['carrierGradeNat', 'private'],
  ['uniqueLocal', 'private'],
]);

const ranges = (...cidrs: string[]): [Address, number][] => cidrs.map(cidr => ipaddr.parseCIDR(cidr));

/** Where clouds give machines their credentials, outside of the link-local ranges: AWS and its other local services, Google, Scaleway, Alibaba, Azure. */
const METADATA = ranges('fd00:ec2::/32', 'fd20:ce::254/128', 'fd00:42::42/128', '100.100.100.200/32', '168.63.129.16/32');

/**
 * An IPv4 address stands in the last 32 bits, and that is where the bytes go: IPv4-mapped (RFC 4291), and the well-known
 * prefix of NAT64 (RFC 6052), by which a network without IPv4 reaches the public internet. Other ways to carry IPv4 in
 * IPv6 (6to4, Teredo, local NAT64 prefixes) are refused as ranges: no token endpoint lives there.
 */
const AS_IPV4 = ranges('::ffff:0:0/96', '64:ff9b::/96');

/** All that IANA has opened of IPv6. Outside of it ipaddr.js calls `unicast` what has no meaning or an old one, such as `::127.0.0.1`. */
const GLOBAL_IPV6 = ranges('2000::/3');

/**
 * Whether an address may be connected to on behalf of a team. Public addresses may; loopback, private, shared (CGNAT) and
 * unique local ones with `allowPrivate`; link-local, cloud metadata, unspecified, multicast, reserved and tunnelled ones never.
 * @param address as a resolver or a URL's host gives it, without brackets; anything else is refused, also with a zone.
 */
export const mayConnect = (address: string, allowPrivate: boolean): boolean => {
  const parsed = parse(address);
  const reach = parsed && reachOf(parsed);
  return reach === 'public' || (reach === 'private' && allowPrivate);
};

/** Left alone, ipaddr.js reads "0x7f.1" as an address and "::8.8.8.8" as a mapped one: it only gets what can be read in one way. */
const parse = (address: string): Address | undefined => {
  if (isIP(address) === 4) return ipaddr.IPv4.parse(address);
  const url = `http://[${address}]`;
  return isIP(address) === 6 && URL.canParse(url) ? ipaddr.IPv6.parse(new URL(url).hostname.slice(1, -1)) : undefined;
};

const reachOf = (address: Address): Reach | undefined => {
  if (within(address, METADATA)) return undefined;
  if (within(address, AS_IPV4)) return reachOf(new ipaddr.IPv4(address.toByteArray().slice(-4)));
  const range = address.range();
  if (range === 'unicast' && address.kind() === 'ipv6' && !within(address, GLOBAL_IPV6)) return undefined;
  return REACH.get(range);
};

const within = (address: Address, list: [Address, number][]): boolean => ipaddr.subnetMatch(address, { list }, 'outside') === 'list';
