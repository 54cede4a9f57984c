import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { frame, Frames, type ToTunnel } from './protocol.ts';

test('messages come out as they went in, in whatever pieces they come', () => {
  const message = fc.oneof(
    fc.record({ type: fc.constant('status' as const), serial: fc.nat() }),
    fc.constant({ type: 'stop' as const }),
    fc.record({
      type: fc.constant('peers' as const),
      serial: fc.nat(),
      // Bytes and characters are not the same.
      peers: fc.array(fc.record({ name: fc.string({ unit: 'grapheme' }) })),
    }),
  );
  fc.assert(
    fc.property(fc.array(message), fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (messages, sizes) => {
      const all = Buffer.concat(messages.map((one) => frame(one as ToTunnel)));
      const frames = new Frames<ToTunnel>();
      const out: ToTunnel[] = [];
      for (let at = 0, i = 0; at < all.length; i++) {
        const size = sizes[i % sizes.length] ?? 1;
        out.push(...frames.push(all.subarray(at, at + size)));
        at += size;
      }
      assert.deepEqual(out, JSON.parse(JSON.stringify(messages)));
    }),
  );
});

test('what cannot be a message of ours is refused before it is waited for', () => {
  assert.throws(() => new Frames().push(Buffer.from('GET / HTTP/1.1\r\n')), { kind: 'internal' });
});
