import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Spool } from './spool.ts';

interface Place extends Disposable {
  readonly directory: string;
}

function place(): Place {
  const directory = mkdtempSync(join(tmpdir(), 'moor-spool-'));
  return { directory, [Symbol.dispose]: () => rmSync(directory, { recursive: true }) };
}

const files = (): number => readdirSync('/proc/self/fd').length;

test('gives back what it was fed, in order, read in any rhythm', async () => {
  using at = place();
  const spool = new Spool({ directory: at.directory, limit: 1 << 30 });
  const fed: Buffer[] = [];
  const got: Buffer[] = [];
  for (let count = 0; count < 3000; count++) {
    const chunk = Buffer.alloc(1 + ((count * 7919) % 4096), count & 0xff);
    fed.push(chunk);
    spool.feed(chunk);
    // All in the beginning, then a little now and then.
    const piece = count < 500 ? undefined : 5000;
    if (count % 20 === 0) got.push((spool.read(piece) as Buffer | null) ?? Buffer.alloc(0));
    if (count % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  assert.ok(spool.waiting > 1 << 20);
  assert.deepEqual(readdirSync(at.directory), []);
  spool.finish();
  for await (const chunk of spool) got.push(chunk as Buffer);
  assert.ok(Buffer.concat(got).equals(Buffer.concat(fed)));
});

test('is over at its limit, and lets go of its file', async () => {
  using at = place();
  const before = files();
  const spool = new Spool({ directory: at.directory, limit: 1 << 20 });
  const failed = new Promise((resolve) => spool.once('error', resolve));
  for (let count = 0; count < 40; count++) spool.feed(Buffer.alloc(65536));
  assert.match(String(await failed), /Cannot keep output for a reader that is slow/);
  assert.equal(files(), before);
  spool.feed(Buffer.from('ignored'));
});

test('a directory that is gone is an error of the stream', async () => {
  const spool = new Spool({ directory: '/no/such/directory', limit: 1 << 30 });
  const failed = new Promise((resolve) => spool.once('error', resolve));
  for (let count = 0; count < 10; count++) spool.feed(Buffer.alloc(65536));
  assert.match(String(await failed), /ENOENT/);
});

test('what is empty ends at once', async () => {
  const spool = new Spool({ directory: '/none', limit: 1 });
  spool.finish();
  for await (const _ of spool) assert.fail('there is nothing');
});
