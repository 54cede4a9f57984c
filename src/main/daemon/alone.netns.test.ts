import '../../../test/support/isolated.ts';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { type LogFields, silentLogger } from '../../base/clock.ts';
import type { Instance } from '../../model/instance.ts';
import { holderOf, holdName } from '../../sys/held-name.ts';
import { takeNetns } from './alone.ts';

const instance = (id: string): Instance => ({ id, dataRoot: '/data', execRoot: '/exec' });

test('a name is held by one, until that one lets go or ends', () => {
  const name = `moor-test-${process.pid}`;
  {
    using held = holdName(name);
    assert.notEqual(held, null);
    assert.equal(holdName(name), null);
    assert.deepEqual(holderOf(name), { pid: process.pid, uid: 0 });
  }
  assert.equal(holderOf(name), null);
  using again = holdName(name);
  assert.notEqual(again, null);
});

test('one daemon per instance', () => {
  const id = `t${process.pid}`;
  {
    using first = takeNetns(instance(id), silentLogger);
    assert.ok(first);
    assert.throws(() => takeNetns(instance(id), silentLogger), {
      kind: 'conflict',
      message: `process ${process.pid} is a moord of instance ${id} in this network namespace already: give this one another --instance, or a network namespace of its own`,
    });
    using other = takeNetns(instance(`${id}b`), silentLogger);
    assert.ok(other);
  }
  using next = takeNetns(instance(id), silentLogger);
  assert.ok(next);
});

test('a name that a user holds who is not root is told, and keeps nobody from starting', async () => {
  const id = `u${process.pid}`;
  const script = `import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.bind(chr(0) + sys.argv[1])
s.listen()
print('ready', flush=True)
sys.stdin.read()`;
  const holder = spawn('python3', ['-c', script, `moorline/moor_${id}`], { uid: 65534, gid: 65534 });
  try {
    await once(holder.stdout, 'data');
    const lines: string[] = [];
    const logger = { ...silentLogger, warn: (_: LogFields, message: string) => void lines.push(message) };
    using place = takeNetns(instance(id), logger);
    assert.ok(place);
    assert.match(
      lines.join('\n'),
      new RegExp(`^process ${holder.pid}, which is not root's, holds the name @moorline/moor_${id}: `),
    );
  } finally {
    holder.stdin.end();
    await once(holder, 'close');
  }
});
