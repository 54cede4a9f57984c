/** `ip-address`, which is strict as well and shares no code with ours, is the oracle. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Address4, Address6 } from 'ip-address';
import { MoorError } from './errors.ts';
import {
  addressOf,
  type Family,
  familyOf,
  formatIp,
  type IfAddress,
  type IpAddress,
  ipBytes,
  ipFromBytes,
  ipValue,
  isIp,
  lengthOf,
  parseIfAddress,
  parseIp,
  parsePrefix,
  type Prefix,
  prefixContains,
  prefixesOverlap,
  prefixOf,
  prefixRange,
  withLength,
} from './ip.ts';

const oracle = (text: string): Address4 | Address6 => (text.includes(':') ? new Address6(text) : new Address4(text));

/** Random values, and values of few bits, where runs of zeros, carries and masks are. */
const value = (bits: number): fc.Arbitrary<bigint> =>
  fc.oneof(
    fc.bigInt({ min: 0n, max: (1n << BigInt(bits)) - 1n }),
    fc
      .array(fc.tuple(fc.nat({ max: bits / 16 - 1 }), fc.constantFrom(0n, 1n, 0xffffn, 0x8000n)), { maxLength: 3 })
      .map((parts) => parts.reduce((all, [at, part]) => all | (part << BigInt(at * 16)), 0n)),
  );
const v4 = value(32).map((n) => formatIp(4, n));
const v6 = value(128).map((n) => formatIp(6, n));
const address = fc.oneof(v4, v6);
const withBits = (ip: fc.Arbitrary<IpAddress>, bits: number): fc.Arbitrary<readonly [IpAddress, number]> =>
  fc.tuple(ip, fc.nat({ max: bits }));
const interfaceAddress = fc.oneof(withBits(v4, 32), withBits(v6, 128));
const prefix = interfaceAddress.map(([ip, length]) => prefixOf(ip, length));

function refuses(parse: (text: string) => unknown, text: string): void {
  assert.throws(
    () => parse(text),
    (error) => error instanceof MoorError && error.kind === 'invalid' && error.message.length < 200,
    JSON.stringify(text),
  );
}

test('text, value and bytes of an address are the same thing', () => {
  fc.assert(
    fc.property(address, (ip) => {
      assert.equal(parseIp(ip), ip);
      assert.ok(isIp(ip));
      assert.equal(formatIp(familyOf(ip), ipValue(ip)), ip);
      assert.equal(ipFromBytes(ipBytes(ip)), ip);
      assert.equal(ipValue(ip), oracle(ip).bigInt());
      assert.equal(familyOf(ip), oracle(ip) instanceof Address4 ? 4 : 6);
    }),
    { numRuns: 2_000, seed: 1 },
  );
});

test('IPv6 text is the shortest, in lower case (RFC 5952)', () => {
  fc.assert(
    fc.property(value(128), (n) => {
      const ours = formatIp(6, n);
      const theirs = Address6.fromBigInt(n);
      // The oracle keeps IPv4-mapped addresses in hex; RFC 5952 section 5 wants their IPv4 part.
      if (n >> 32n === 0xffffn) assert.equal(ours, `::ffff:${theirs.to4().correctForm()}`);
      else assert.equal(ours, theirs.correctForm());
    }),
    { numRuns: 5_000, seed: 2 },
  );
});

test('every spelling of an IPv6 address becomes the one text', () => {
  const spelling = fc.constantFrom<(address: Address6) => string>(
    (a) => a.canonicalForm(),
    (a) => a.correctForm().toUpperCase(),
    (a) => a.to4in6(),
    (a) => a.canonicalForm().replaceAll(/(^|:)0{1,3}(?=[0-9a-f])/g, '$1'),
  );
  fc.assert(
    fc.property(v6, spelling, (ip, spell) => {
      const text = spell(new Address6(ip));
      assert.equal(parseIp(text), ip, text);
    }),
    { numRuns: 2_000, seed: 3 },
  );
});

test('texts that are no address are refused, the same ones as the oracle refuses', () => {
  const scraps = fc.constantFrom(
    '0',
    '1',
    '10',
    '255',
    '256',
    '01',
    '0x1',
    'ffff',
    '10000',
    'g',
    '.',
    ':',
    '::',
    '/',
    '%eth0',
    ' ',
    '-',
    '',
  );
  const almost = fc.array(scraps, { maxLength: 17 }).map((parts) => parts.join(''));
  const dotted = fc.array(scraps, { minLength: 3, maxLength: 5 }).map((parts) => parts.join('.'));
  const coloned = fc.array(scraps, { minLength: 2, maxLength: 9 }).map((parts) => parts.join(':'));
  fc.assert(
    fc.property(fc.oneof(almost, dotted, coloned, fc.string()), (text) => {
      const known = !/[/%]/.test(text) && (Address4.isValid(text) || Address6.isValid(text));
      assert.equal(isIp(text), known);
      if (known) assert.equal(ipValue(parseIp(text)), oracle(text).bigInt());
      else refuses(parseIp, text);
    }),
    { numRuns: 10_000, seed: 4 },
  );
});

test('addresses that other parsers misread', () => {
  for (const text of [
    '010.0.0.1',
    '10.0.0.08',
    '0x0a.0.0.1',
    '10.1',
    '167772161',
    '10.0.0.1 ',
    ' 10.0.0.1',
    '10.0.0.1\n',
    '１０.0.0.1',
    '10.0.0.1/24',
    'fe80::1%eth0',
    '1::2::3',
    ':::',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7:8::',
    '::1.2.3',
    '::1.2.3.256',
    '[::1]',
    '',
    'x'.repeat(100_000),
  ]) {
    refuses(parseIp, text);
    assert.equal(isIp(text), false, text.slice(0, 30));
  }
  assert.equal(parseIp('1:2:3:4:5:6:7::'), '1:2:3:4:5:6:7:0');
  assert.equal(parseIp('::2:3:4:5:6:7:8'), '0:2:3:4:5:6:7:8');
  assert.equal(parseIp('0:0:1:0:0:0:1:0'), '0:0:1::1:0');
  assert.equal(parseIp('0:0:1:1:0:0:1:1'), '::1:1:0:0:1:1');
  assert.equal(parseIp('::FFFF:10.0.0.1'), '::ffff:10.0.0.1');
  assert.equal(parseIp('64:ff9b::10.0.0.1'), '64:ff9b::a00:1');
});

test('bytes of another number are no address', () => {
  for (const count of [0, 3, 5, 15, 17]) assert.throws(() => ipFromBytes(new Uint8Array(count)), new RegExp(`${count} bytes`));
});

test('a prefix begins and ends where the oracle says', () => {
  fc.assert(
    fc.property(interfaceAddress, ([ip, length]) => {
      const theirs = oracle(`${ip}/${length}`);
      const network = prefixOf(ip, length);
      const { family, first, last } = prefixRange(network);
      assert.equal(first, theirs.startAddress().bigInt());
      assert.equal(last, theirs.endAddress().bigInt());
      assert.equal(family, familyOf(ip));
      assert.equal(addressOf(network), formatIp(family, first));
      assert.equal(lengthOf(network), length);
      assert.equal(parsePrefix(network), network);
      assert.equal(prefixOf(withLength(ip, length)), network);
      const own: IfAddress = parseIfAddress(`${ip}/${length}`);
      assert.equal(own, `${ip}/${length}`);
      if (first !== ipValue(ip)) {
        assert.throws(
          () => parsePrefix(`${ip}/${length}`),
          (error) => error instanceof MoorError && error.message === `invalid subnet ${ip}/${length}: it should be ${network}`,
        );
      }
    }),
    { numRuns: 3_000, seed: 5 },
  );
});

test('without a length a prefix is the address itself', () => {
  assert.equal(prefixOf(parseIp('10.0.0.7')), '10.0.0.7/32');
  assert.equal(prefixOf(parseIp('fd00::7')), 'fd00::7/128');
  assert.equal(prefixOf(parseIfAddress('10.0.0.7/24'), 8), '10.0.0.0/8');
});

test('texts that are no prefix are refused', () => {
  for (const text of [
    '10.0.0.0',
    '10.0.0.0/',
    '/24',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0.0/024',
    '10.0.0.0/2 4',
    '10.0.0.0/24/8',
  ])
    refuses(parsePrefix, text);
  for (const text of ['fd00::/129', 'fd00::/+1', 'fd00::/0x40', 'fd00::%eth0/64', '10.0/8', '10.0.0.0/1e1', '10.0.0.0/24\n', ''])
    refuses(parsePrefix, text);
  refuses(parsePrefix, `10.0.0.0/${'2'.repeat(100_000)}`);
  assert.equal(parsePrefix('0.0.0.0/0'), '0.0.0.0/0');
  assert.equal(parsePrefix('FD00:0:0::/48'), 'fd00::/48');
});

test('membership and overlap are what the ranges say', () => {
  const near = (family: Family): fc.Arbitrary<readonly [Prefix, Prefix]> => {
    const bits = family === 4 ? 32 : 128;
    const small = fc
      .tuple(fc.nat({ max: 255 }), fc.integer({ min: bits - 8, max: bits }))
      .map(([low, length]) => prefixOf(formatIp(family, BigInt(low)), length));
    return fc.tuple(small, small);
  };
  fc.assert(
    fc.property(fc.oneof(fc.tuple(prefix, prefix), near(4), near(6)), ([a, b]) => {
      const [x, y] = [prefixRange(a), prefixRange(b)];
      const overlap = x.family === y.family && x.first <= y.last && y.first <= x.last;
      assert.equal(prefixesOverlap(a, b), overlap);
      assert.equal(prefixesOverlap(b, a), overlap);
      for (const edge of [y.first, y.last]) {
        const ip = formatIp(y.family, edge);
        assert.equal(prefixContains(a, ip), x.family === y.family && edge >= x.first && edge <= x.last);
        if (x.family === y.family) assert.equal(prefixContains(a, ip), oracle(ip).isInSubnet(oracle(a)));
      }
    }),
    { numRuns: 3_000, seed: 6 },
  );
});
