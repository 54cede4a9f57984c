import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MoorError } from './errors.ts';
import { formatIp } from './ip.ts';
import { formatMac, macBytes, macFromIpv4, parseMac, randomMac } from './mac.ts';

const bytes = fc.uint8Array({ minLength: 6, maxLength: 6 });
/** Bits of the first byte, IEEE 802-2014 section 8.2. */
const GROUP = 0x01;
const LOCAL = 0x02;

test('text and bytes of an address are the same thing, however it is written', () => {
  fc.assert(
    fc.property(bytes, fc.constantFrom(':', '-'), fc.boolean(), (random, separator, upper) => {
      const usable = Uint8Array.from(random, (byte, i) => (i === 0 ? byte & ~GROUP : i === 5 ? byte | 1 : byte));
      const mac = formatMac(usable);
      assert.match(mac, /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/);
      assert.deepEqual(macBytes(mac), usable);
      const text = mac.replaceAll(':', separator);
      assert.equal(parseMac(upper ? text.toUpperCase() : text), mac);
    }),
    { numRuns: 500, seed: 1 },
  );
});

test('what is no unicast address is refused', () => {
  for (const text of [
    '',
    '02:42:ac:11:00',
    '02:42:ac:11:00:02:03',
    '2:42:ac:11:0:2',
    '0242ac110002',
    '0242.ac11.0002',
    '02:42:ac:11:00:0g',
    ' 02:42:ac:11:00:02',
    '02:42:ac:11:00:02\n',
    '00:00:00:00:00:00',
    '01:00:5e:00:00:01',
    'ff:ff:ff:ff:ff:ff',
    '33:33:00:00:00:01',
    'x'.repeat(100_000),
  ]) {
    assert.throws(
      () => parseMac(text),
      (error) =>
        error instanceof MoorError &&
        error.kind === 'invalid' &&
        error.message.startsWith('invalid MAC address') &&
        error.message.length < 120,
      text.slice(0, 40),
    );
  }
});

test('made addresses are unicast, local and parse', () => {
  fc.assert(
    fc.property(bytes, (random) => {
      const mac = randomMac(random);
      const [first = 0, ...rest] = macBytes(mac);
      assert.equal(first & (GROUP | LOCAL), LOCAL);
      assert.equal(first | GROUP | LOCAL, (random[0] ?? 0) | GROUP | LOCAL);
      assert.deepEqual(rest, [...random.subarray(1)]);
      assert.equal(parseMac(mac), mac);
    }),
    { seed: 2 },
  );
  assert.equal(new Set(Array.from({ length: 1_000 }, () => randomMac())).size, 1_000);
});

test('an address made of an IPv4 address is 02:42 and its bytes', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 0xffffffffn }), (value) => {
      assert.equal(macFromIpv4(formatIp(4, value)).replaceAll(':', ''), `0242${value.toString(16).padStart(8, '0')}`);
    }),
    { seed: 3 },
  );
});
