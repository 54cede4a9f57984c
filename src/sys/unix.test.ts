import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { after, test } from 'node:test';
import { Fd } from './fd.ts';
import { acceptFrom } from './inet.ts';
import { libc } from './libc.ts';
import { pollReadable } from './poll.ts';
import { connectUnix, listenUnix, receiveDescriptors, sendDescriptors } from './unix.ts';

const root = mkdtempSync(`${tmpdir()}/unix-`);
after(() => rmSync(root, { recursive: true, force: true }));

test('a descriptor arrives with the bytes, and is the same file; the path may be long', () => {
  const directory = `${root}/${'long'.repeat(30)}/${'er'.repeat(30)}`;
  mkdirSync(directory, { recursive: true });
  const place = { directory, name: 'socket' };
  assert.throws(() => connectUnix(place), { kind: 'not-found' });
  using listener = listenUnix(place);
  assert.throws(() => listenUnix(place), { kind: 'conflict' });
  using client = connectUnix(place);
  using server = acceptFrom(listener) ?? assert.fail('nobody has connected');
  const into = new Uint8Array(64);
  assert.deepEqual(receiveDescriptors(client, into), { length: -1, fds: [] });

  const path = `${root}/file`;
  using file = new Fd(openSync(path, 'w'), path);
  using other = new Fd(openSync('/dev/null', 'r'), 'null');
  assert.equal(sendDescriptors(server, new TextEncoder().encode('hello'), [file, other]), 5);
  pollReadable([client], 1000);
  const { length, fds } = receiveDescriptors(client, into);
  assert.equal(Buffer.from(into.subarray(0, length)).toString(), 'hello');
  assert.equal(fds.length, 2);
  const [copy] = fds;
  assert.ok(copy && copy.number !== file.number);
  assert.equal(libc.write(copy.number, new TextEncoder().encode('by the copy'), 11), 11);
  for (const fd of fds) fd.close();
  assert.equal(readFileSync(path, 'utf8'), 'by the copy');

  server.close();
  pollReadable([client], 1000);
  assert.equal(receiveDescriptors(client, into).length, 0);
});

test('a name that nobody listens at is told from one that is not there', () => {
  const place = { directory: root, name: 'left' };
  listenUnix(place).close();
  assert.throws(() => connectUnix(place), { kind: 'unavailable' });
});
