import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { echoRequest, heard, summedDatagram } from './icmp.ts';

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(/\s+/g, ''), 'hex'));

test('an echo request has the size that is asked for, and its checksum over IPv4', () => {
  // RFC 1071 by hand: 0800 + 1234 + 0007 = 1a3b, complemented e5c4.
  assert.deepEqual(echoRequest({ family: 4, id: 0x1234, sequence: 7, size: 28 }), hex('0800 e5c4 1234 0007'));
  assert.equal(echoRequest({ family: 4, id: 1, sequence: 1, size: 1500 }).length, 1480);
  // Over IPv6 the kernel makes it.
  assert.deepEqual(echoRequest({ family: 6, id: 0x1234, sequence: 7, size: 48 }), hex('8000 0000 1234 0007'));
  assert.equal(echoRequest({ family: 6, id: 1, sequence: 1, size: 9000 }).length, 8960);
});

/** From 10.0.0.2 to 10.0.0.1, with the protocol. */
const header4 = (protocol: string): string => `4500 0054 0000 4000 40${protocol} 0000 0a000002 0a000001`;
const header6 = (next: string): string =>
  `60000000 0034 ${next}40 fd000000000000000000000000000002 fd000000000000000000000000000001`;

test('replies', () => {
  assert.deepEqual(heard(4, hex(`${header4('01')} 0000 ffff 1234 0007`)), { type: 'reply', id: 0x1234, sequence: 7 });
  assert.deepEqual(heard(6, hex('8100 ffff 1234 0007')), { type: 'reply', id: 0x1234, sequence: 7 });
  // With options in the IP header.
  const options = `46${header4('01').slice(2)} 94040000`;
  assert.deepEqual(heard(4, hex(`${options} 0000 ffff 1234 0007`)), { type: 'reply', id: 0x1234, sequence: 7 });
});

test('too big: which one, and what the next link takes', () => {
  const four = `${header4('01')} 0304 ffff 0000 0578 ${header4('01')} 0800 ffff 1234 0007`;
  assert.deepEqual(heard(4, hex(four)), { type: 'too-big', id: 0x1234, sequence: 7, mtu: 1400 });
  const six = `0200 ffff 00000578 ${header6('3a')} 8000 ffff 1234 0007`;
  assert.deepEqual(heard(6, hex(six)), { type: 'too-big', id: 0x1234, sequence: 7, mtu: 1400 });
});

test('port unreachable: of which ports', () => {
  const what = { type: 'port-unreachable', sourcePort: 0xabcd, destinationPort: 33_434 };
  assert.deepEqual(heard(4, hex(`${header4('01')} 0303 ffff 00000000 ${header4('11')} abcd 829a 002d ffff`)), what);
  assert.deepEqual(heard(6, hex(`0104 ffff 00000000 ${header6('11')} abcd 829a 002d ffff`)), what);
});

test('what is none of these, and what is cut off', () => {
  // Somebody else's request, an error about TCP, host unreachable.
  assert.equal(heard(4, hex(`${header4('01')} 0800 ffff 1234 0007`)), null);
  assert.equal(heard(4, hex(`${header4('01')} 0304 ffff 0000 0578 ${header4('06')} 0800 ffff 1234 0007`)), null);
  assert.equal(heard(4, hex(`${header4('01')} 0301 ffff 00000000 ${header4('11')} abcd 829a 002d ffff`)), null);
  const whole = hex(`${header4('01')} 0304 ffff 0000 0578 ${header4('01')} 0800 ffff 1234 0007`);
  for (let length = 0; length < whole.length; length++) assert.equal(heard(4, whole.subarray(0, length)), null);
  fc.assert(
    fc.property(fc.constantFrom(4 as const, 6 as const), fc.uint8Array({ maxLength: 120 }), (family, bytes) => {
      heard(family, bytes);
    }),
  );
});

test('a datagram’s checksum: the sum over it and its pseudo header is all ones', () => {
  fc.assert(
    fc.property(fc.constantFrom(4, 16), fc.uint8Array({ maxLength: 99 }), fc.nat(0xffff), (size, payload, sourcePort) => {
      const [source, destination] = [new Uint8Array(size).fill(0xfd), new Uint8Array(size).fill(0x7f)];
      const bytes = summedDatagram({ source, destination, sourcePort, destinationPort: 33_434, payload });
      let sum = 17 + bytes.length;
      const padded = (part: Uint8Array): Uint8Array => (part.length % 2 === 0 ? part : Uint8Array.of(...part, 0));
      const all = Uint8Array.of(...source, ...destination, ...padded(bytes));
      for (let i = 0; i < all.length; i += 2) sum += ((all[i] ?? 0) << 8) | (all[i + 1] ?? 0);
      while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
      assert.equal(sum, 0xffff);
      assert.notEqual(new DataView(bytes.buffer).getUint16(6), 0);
    }),
  );
});
