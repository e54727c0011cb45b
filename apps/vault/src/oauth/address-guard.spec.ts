import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { mayConnect } from './address-guard.js';

type Who = 'everyone' | 'where private is allowed' | 'nobody';

const TABLE: readonly (readonly [Who, readonly string[]])[] = [
  [
    'everyone',
    [
      ...['1.1.1.1', '8.8.8.8', '9.255.255.255', '11.0.0.0', '100.63.255.255', '100.128.0.0', '126.255.255.255', '128.0.0.0', '169.253.255.255', '169.255.0.0', '172.15.255.255', '172.32.0.0', '192.167.255.255', '192.169.0.0', '198.17.255.255', '198.20.0.0', '223.255.255.255'],
      ...['2606:4700:4700::1111', '2a00:1450:4001:81b::200e', '3ffe::1'],
      ...['::ffff:8.8.8.8', '::ffff:808:808', '64:ff9b::8.8.8.8', '64:ff9b::808:808'],
    ],
  ],
  [
    'where private is allowed',
    [
      ...['127.0.0.0', '127.0.0.1', '127.1.2.3', '127.255.255.255', '10.0.0.0', '10.255.255.255', '172.16.0.0', '172.31.255.255', '192.168.0.0', '192.168.255.255', '100.64.0.0', '100.127.255.255'],
      ...['::1', '0:0:0:0:0:0:0:1', 'fc00::', 'fd12:3456:789a::1', 'fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
      ...['::ffff:127.0.0.1', '::ffff:7f00:1', '::FFFF:10.0.0.1', '::ffff:192.168.1.1', '64:ff9b::7f00:1', '64:ff9b::10.1.2.3', '64:ff9b::100.64.0.1'],
    ],
  ],
  [
    'nobody',
    [
      // link-local and cloud metadata
      ...['169.254.0.0', '169.254.169.254', '169.254.170.2', '169.254.255.255', 'fe80::1', 'fe80::1%eth0', '2606:4700::1%eth0', 'febf:ffff::1', '::ffff:169.254.169.254', '::ffff:a9fe:a9fe', '64:ff9b::a9fe:a9fe', '64:ff9b::169.254.169.254'],
      ...['fd00:ec2::254', 'fd00:ec2::23', 'fd20:ce::254', 'fd00:42::42', '100.100.100.200', '::ffff:100.100.100.200', '168.63.129.16', '64:ff9b::168.63.129.16'],
      // unspecified, multicast, broadcast, reserved, documentation, benchmarks
      ...['0.0.0.0', '0.255.255.255', '::', '::ffff:0.0.0.0', '64:ff9b::', '224.0.0.1', '239.255.255.255', 'ff02::1', 'ff0e::1', '255.255.255.255', '240.0.0.1', '254.255.255.255'],
      ...['192.0.0.1', '192.0.0.192', '192.0.2.1', '192.88.99.1', '198.18.0.1', '198.19.255.255', '198.51.100.1', '203.0.113.1', '192.31.196.1', '192.175.48.1', '192.52.193.1', '::ffff:198.18.0.1'],
      ...['2001:db8::1', '3fff::1', '2001:2::1', '2001:20::1', '100::1', 'fec0::1', '5f00::1', '4000::1', '1::1', 'c000::1'],
      // IPv4 in IPv6 by other ways, whatever it is
      ...['::127.0.0.1', '::7f00:1', '::8.8.8.8', '::ffff:0:127.0.0.1', '64:ff9b:1::7f00:1', '64:ff9b:1::808:808', '2002:7f00:1::1', '2002:a9fe:a9fe::1', '2002:808:808::1', '2001::1', '2001:0:7f00:1::f5ff:fffe'],
      // no address, or not in the one spelling that everyone reads alike
      ...['', 'localhost', 'example.com', '2130706433', '0x7f000001', '0x7f.0.0.1', '0177.0.0.1', '127.1', '127.0.0.1.', ' 127.0.0.1', '8.8.8.8:80', '[::1]', '8.8.8.256', '1.1.1.1/32', ':::1'],
    ],
  ],
];

const rows = TABLE.flatMap(([who, addresses]) => addresses.map(address => [address, who] as const));

describe('address guard', () => {
  test.each(rows)('%j may be connected to by %s', (address, who) => {
    expect(mayConnect(address, false)).toBe(who === 'everyone');
    expect(mayConnect(address, true)).toBe(who !== 'nobody');
  });

  test('thinks the same of an IPv4 address and of its mapped and NAT64 forms', () => {
    fc.assert(
      fc.property(fc.ipV4(), fc.boolean(), (address, allowPrivate) => {
        for (const prefix of ['::ffff:', '64:ff9b::']) expect(mayConnect(prefix + address, allowPrivate)).toBe(mayConnect(address, allowPrivate));
      }),
    );
  });

  test('never takes an IPv4-compatible address, whatever is in it', () => {
    fc.assert(
      fc.property(fc.ipV4(), address => {
        expect(mayConnect(`::${address}`, true)).toBe(false);
      }),
    );
  });

  test('has an answer for any text', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.ipV6()), text => {
        expect(typeof mayConnect(text, true)).toBe('boolean');
      }),
    );
  });
});
