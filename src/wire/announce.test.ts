import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIp } from '../base/ip.ts';
import { parseMac } from '../base/mac.ts';
import { announcement } from './announce.ts';

const hex = (address: string): string =>
  Buffer.from(announcement(parseIp(address), parseMac('02:42:0a:00:00:02'))).toString('hex');

test('a gratuitous ARP reply, byte by byte', () => {
  assert.equal(
    hex('10.0.0.2'),
    'ffffffffffff 02420a000002 0806 0001 0800 06 04 0002 02420a000002 0a000002 02420a000002 0a000002'.replaceAll(' ', ''),
  );
});

test('an unsolicited neighbour advertisement, with a checksum that comes out', () => {
  const frame = Buffer.from(hex('fd00::2'), 'hex');
  const fixed = Buffer.from(frame);
  fixed.writeUInt16BE(0, 56);
  assert.equal(
    fixed.toString('hex'),
    (
      '333300000001 02420a000002 86dd 60000000 0020 3a ff fd000000000000000000000000000002 ff020000000000000000000000000001 ' +
      '88 00 0000 20000000 fd000000000000000000000000000002 02 01 02420a000002'
    ).replaceAll(' ', ''),
  );
  // RFC 1071: the sum over everything, the checksum included, is all ones.
  let sum = 32 + 58;
  for (let at = 22; at < frame.length; at += 2) sum += frame.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  assert.equal(sum, 0xffff);
});
