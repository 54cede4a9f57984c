import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseIp } from '../../base/ip.ts';
import { blocks, writeKey, writeTarget } from './entries.ts';
import { KEY, TARGET } from './layout.ts';

const range = fc
  .tuple(fc.integer({ min: 1, max: 65535 }), fc.integer({ min: 1, max: 65535 }))
  .map(([a, b]) => ({ from: Math.min(a, b), to: Math.max(a, b) }));
const sizeOf = ({ bits }: { readonly bits: number }): number => 2 ** (16 - bits);

test('a range is a few blocks: all of its ports, no other, each begins at a multiple of its size', () => {
  fc.assert(
    fc.property(range, ({ from, to }) => {
      const list = blocks({ from, to });
      assert.ok(list.length <= 30, `${list.length} blocks`);
      let next = from;
      for (const block of list) {
        assert.equal(block.port, next);
        assert.equal(block.port % sizeOf(block), 0);
        next += sizeOf(block);
      }
      assert.equal(next, to + 1);
      // As few as there can be: no two neighbours would be a block of their own.
      for (const [i, block] of list.entries()) {
        const after = list[i + 1];
        if (after?.bits === block.bits) assert.notEqual(block.port % (2 * sizeOf(block)), 0);
      }
    }),
  );
});

test('how many blocks', () => {
  assert.deepEqual(blocks({ from: 8080, to: 8080 }), [{ port: 8080, bits: 16 }]);
  assert.deepEqual(blocks({ from: 1, to: 65535 }).length, 16);
  assert.deepEqual(blocks({ from: 1, to: 65534 }).length, 30);
  assert.deepEqual(blocks({ from: 7000, to: 7999 }).length, 6);
});

test('keys and values, byte by byte', () => {
  const key = (address: string, port: number, bits: number): string => {
    const view = new DataView(new ArrayBuffer(KEY.size));
    writeKey(view, parseIp(address), { port, bits });
    return new Uint8Array(view.buffer).toHex();
  };
  assert.equal(key('127.0.0.1', 8080, 16), '30000000' + '7f000001' + '1f90' + '0000');
  assert.equal(key('0.0.0.0', 7168, 8), '28000000' + '00000000' + '1c00' + '0000');
  for (const address of ['::', '::1']) assert.equal(key(address, 80, 16), '30000000' + '00000001' + '0050' + '0000');
  const value = (address: string, port: number | null): string => {
    const view = new DataView(new ArrayBuffer(TARGET.size));
    writeTarget(view, { address: parseIp(address), port });
    return new Uint8Array(view.buffer).toHex();
  };
  assert.equal(value('192.168.7.10', 80), '00000000000000000000ffffc0a8070a' + '0050' + '0000');
  assert.equal(value('fd00:7::2', null), 'fd000007000000000000000000000002' + '0000' + '0000');
});
