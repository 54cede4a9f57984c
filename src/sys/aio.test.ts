import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AsideWrite } from './aio.ts';
import { fcntlH } from './constants.ts';
import { openFile } from './fd.ts';

const directory = mkdtempSync(join(tmpdir(), 'moor-aio-'));
after(() => rmSync(directory, { recursive: true, force: true }));

test('another thread writes while this one goes on, and may wait in the kernel', async () => {
  const path = join(directory, 'fifo');
  execFileSync('mkfifo', [path]);
  using fd = openFile(path, fcntlH.O_RDWR);
  // More than fits: PIPE_DEF_BUFFERS pages, 64 KiB.
  const bytes = Uint8Array.from({ length: 100_000 }, (_, i) => i % 251);
  const write = new AsideWrite(fd, bytes);
  const [reader, got] = [openSync(path, 'r'), new Uint8Array(bytes.length)];
  await sleep(20);
  assert.equal(write.done(), false);
  for (let at = 0; at < got.length; ) at += readSync(reader, got, at, got.length - at, null);
  closeSync(reader);
  while (!write.done()) await sleep(1);
  assert.deepEqual(got, bytes);
  assert.equal(write.done(), true);
});

test('a write that fails is done as well', async () => {
  using fd = openFile('/proc/self/status', fcntlH.O_RDONLY);
  const write = new AsideWrite(fd, Uint8Array.of(1));
  while (!write.done()) await sleep(1);
});
