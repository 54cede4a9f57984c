import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { ResponseParser } from './response.ts';

interface Read {
  readonly status: number;
  readonly body: string;
  readonly complete: boolean;
}

/** Feeds a text cut at these places; closes the connection at the end when `close` is set. */
function read(text: string, cuts: readonly number[] = [], close = false): Read {
  const parser = new ResponseParser();
  const bytes = Buffer.from(text);
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  const parts: Buffer[] = [];
  for (const [i, from] of [0, ...places].entries()) {
    const piece = bytes.subarray(from, places[i] ?? bytes.length);
    if (piece.length > 0) parts.push(...parser.push(piece));
  }
  if (close) parser.end();
  return { status: parser.status, body: Buffer.concat(parts).toString(), complete: parser.complete };
}

const SIZED = 'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhello\r\nworld';
const CHUNKED =
  'HTTP/1.1 404 Not Found\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n5;ext=1\r\nhel\r\n\r\nC\r\nlo wörld\r\n!\r\n0\r\nTrailer: x\r\n\r\n';
const EXPECTED_CHUNKED = { status: 404, body: 'hel\r\nlo wörld\r\n!', complete: true };

it('reads a body by its length, in chunks, or to the end of the connection', () => {
  assert.deepEqual(read(SIZED), { status: 200, body: 'hello\r\nworld', complete: true });
  assert.deepEqual(read(CHUNKED), EXPECTED_CHUNKED);
  assert.deepEqual(read('HTTP/1.1 200 OK\r\n\r\nabc', [], true), { status: 200, body: 'abc', complete: true });
  assert.deepEqual(read('HTTP/1.1 204 No Content\r\n\r\n'), { status: 204, body: '', complete: true });
  assert.deepEqual(read('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'), { status: 200, body: '', complete: true });
});

it('skips interim answers', () => {
  assert.deepEqual(read(`HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n${SIZED}`).body, 'hello\r\nworld');
});

it('reads the same however the network cuts it', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(400), { maxLength: 30 }), (cuts) => {
      assert.deepEqual(read(SIZED, cuts), { status: 200, body: 'hello\r\nworld', complete: true });
      assert.deepEqual(read(CHUNKED, cuts), EXPECTED_CHUNKED);
    }),
  );
});

it('refuses what is cut off or is not HTTP', () => {
  for (const text of [SIZED.slice(0, -1), CHUNKED.slice(0, -2), 'HTTP/1.1 200 OK\r\nContent-', '']) {
    assert.throws(() => read(text, [], true), { kind: 'unavailable' }, JSON.stringify(text));
  }
  assert.throws(() => read('SSH-2.0-x\r\n\r\n'), { message: "Cannot read the daemon's answer: it is not HTTP" });
  assert.throws(() => read('HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n'), { kind: 'unavailable' });
  assert.throws(() => read('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n'), { kind: 'unavailable' });
  assert.throws(() => read(`HTTP/1.1 200 OK\r\n${'a: b\r\n'.repeat(20_000)}`), {
    message: "Cannot read the daemon's answer: its head has no end",
  });
});
