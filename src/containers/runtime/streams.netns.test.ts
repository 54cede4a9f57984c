/** Attaching: several at once, slow ones, ends of input, terminals of execs. */
import '../../../test/support/isolated.ts';
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { after, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Id } from '../../base/ids.ts';
import { all, collect, lab, never, until } from './runtime.testing.ts';

const at = await lab();
after(() => at[Symbol.asyncDispose]());

async function digest(stream: Readable): Promise<{ readonly length: number; readonly sum: string }> {
  const hash = createHash('sha256');
  let length = 0;
  for await (const chunk of stream) {
    hash.update(chunk as Buffer);
    length += (chunk as Buffer).length;
  }
  return { length, sum: hash.digest('hex') };
}

describe('output', () => {
  test('reaches everybody who is attached, and one who is slow holds up nobody and loses nothing', async () => {
    const asked = at.request([
      'sh',
      '-c',
      'dd if=/dev/urandom bs=64k count=320 2>/dev/null | tee /tmp/all; sha256sum /tmp/all >&2',
    ]);
    const { id } = asked.container;
    await at.runtime.create(asked);
    const [one, other, slow] = [await at.runtime.attach(id), await at.runtime.attach(id), await at.runtime.attach(id)];
    await at.runtime.start(id);
    const quick = Promise.all([digest(one.stdout), digest(other.stdout), all(one.stderr)]);
    // Nothing of the third is read until the container has ended: 20 MB are more than any socket holds.
    assert.equal((await at.runtime.exited(id, never)).code, 0);
    const [first, second, sum] = await quick;
    assert.deepEqual(first, second);
    assert.deepEqual(first, { length: 320 * 65536, sum: sum.split(' ')[0] });
    assert.deepEqual(await digest(slow.stdout), first);
    await at.runtime.remove(id);
  });

  test('of one who has gone is not kept', async () => {
    const asked = at.request(['sh', '-c', 'read go; dd if=/dev/zero bs=64k count=160 2>/dev/null; echo done >&2; read x'], {
      config: { OpenStdin: true, StdinOnce: true },
    });
    const { id } = asked.container;
    await at.runtime.create(asked);
    const gone = await at.runtime.attach(id);
    await at.runtime.start(id);
    gone.close();
    // The input stayed open although nobody was attached.
    const back = await at.runtime.attach(id);
    back.stdout.resume();
    back.stdin?.write('go\n');
    await until(back.stderr, 'done');
    back.stdin?.end('x\n');
    assert.equal((await at.runtime.exited(id, never)).code, 0);
    back.close();
    await at.runtime.remove(id);
    await assert.rejects(at.runtime.attach(id), { kind: 'not-found' });
  });

  test('has bytes that are no text', async () => {
    const asked = at.request(['printf', '\\000\\377\\r\\n\\001']);
    await at.runtime.create(asked);
    const { stdout } = await at.runtime.attach(asked.container.id);
    await at.runtime.start(asked.container.id);
    const chunks: Buffer[] = [];
    for await (const chunk of stdout) chunks.push(chunk as Buffer);
    assert.deepEqual(Buffer.concat(chunks), Buffer.from([0, 255, 13, 10, 1]));
    await at.runtime.exited(asked.container.id, never);
    await at.runtime.remove(asked.container.id);
  });
});

describe('input', () => {
  test('stays open for the next one unless it is for one only', async () => {
    const asked = await at.start(['sh', '-c', 'read a; echo "got $a"; read b; echo "got $b"; sleep 0.1'], {
      config: { OpenStdin: true },
    });
    const { id } = asked.container;
    const one = await at.runtime.attach(id);
    one.stdin?.end('first\n');
    await until(one.stdout, 'got first');
    one.close();
    const two = await at.runtime.attach(id);
    two.stdin?.end('second\n');
    await until(two.stdout, 'got second');
    assert.equal((await at.runtime.exited(id, never)).code, 0);
    two.close();
    await at.runtime.remove(id);
  });

  test('is taken at the speed of who reads it', async () => {
    const asked = at.request(['sh', '-c', 'sleep 0.3; wc -c'], { config: { OpenStdin: true, StdinOnce: true } });
    const { id } = asked.container;
    await at.runtime.create(asked);
    const { stdin, stdout } = await at.runtime.attach(id);
    assert.ok(stdin);
    await at.runtime.start(id);
    let waited = 0;
    for (let count = 0; count < 64; count++) {
      if (!stdin.write(Buffer.alloc(65536))) {
        waited++;
        await new Promise((resolve) => stdin.once('drain', resolve));
      }
    }
    stdin.end();
    assert.equal((await all(stdout)).trim(), String(64 * 65536));
    assert.ok(waited > 0);
    await at.runtime.exited(id, never);
    await at.runtime.remove(id);
  });

  test('to a process that has ended fails quietly', async () => {
    const asked = await at.start(['sh', '-c', 'read x'], { config: { OpenStdin: true } });
    const { id } = asked.container;
    const streams = await at.runtime.attach(id);
    streams.stdin?.write('x\n');
    await at.runtime.exited(id, never);
    await all(streams.stdout);
    const error = await new Promise((resolve) => streams.stdin?.write('more\n', resolve));
    assert.ok(error instanceof Error);
    streams.close();
    await at.runtime.remove(id);
  });
});

describe('an exec', () => {
  const started = at.start(['sleep', '1000']);
  const id = async (): Promise<Id> => (await started).container.id;

  test('has a terminal of its own', async () => {
    const exec = await at.exec(await started, ['sh'], { tty: true, stdin: true });
    const streams = await at.runtime.attach(await id(), exec.id);
    await at.runtime.resize(await id(), { rows: 11, columns: 22 }, exec.id);
    streams.stdin?.write('stty size; echo $TERM; exit 5\n');
    assert.match(await all(streams.stdout), /11 22\r\nxterm\r\n/);
    assert.equal((await at.runtime.execExited(await id(), exec.id, never)).code, 5);
    await assert.rejects(at.runtime.resize(await id(), { rows: 1, columns: 1 }, exec.id), { kind: 'conflict' });
  });

  test('has the user, directory and rights that it asks for', async () => {
    const run = async (script: string, asked: Parameters<typeof at.exec>[2]): Promise<string> => {
      const exec = await at.exec(await started, ['sh', '-c', script], asked);
      const output = collect(await at.runtime.attach(await id(), exec.id));
      await at.runtime.execExited(await id(), exec.id, never);
      return (await output).join('');
    };
    assert.equal(
      await run('id -un; pwd; grep CapEff /proc/self/status', { user: 'ada', workingDir: '/tmp' }),
      'ada\n/tmp\nCapEff:\t0000000000000000\n',
    );
    assert.doesNotMatch(await run('grep CapEff /proc/self/status', { privileged: true }), /a80425fb/);
    assert.match(await run('grep -E "CapEff|Seccomp:" /proc/self/status', {}), /a80425fb\nSeccomp:\t2/);
  });

  test('that cannot start says why', async () => {
    await assert.rejects(at.exec(await started, ['no-such-program']), {
      kind: 'invalid',
      message:
        /^OCI runtime exec failed: exec failed: unable to start container process: exec: "no-such-program": executable file not found in \$PATH: unknown$/,
    });
    await assert.rejects(at.exec(await started, []), { kind: 'invalid' });
  });

  test('many at once each have their own', async () => {
    const outputs = await Promise.all(
      Array.from({ length: 10 }, async (_, index) => {
        const exec = await at.exec(await started, ['sh', '-c', `echo ${index}; exit ${index}`]);
        const { code } = await at.runtime.execExited(await id(), exec.id, never);
        return `${code} ${await all((await at.runtime.attach(await id(), exec.id)).stdout)}`;
      }),
    );
    assert.deepEqual(
      outputs,
      Array.from({ length: 10 }, (_, index) => `${index} ${index}\n`),
    );
  });

  test('may be removed when it has ended: who is attached still gets everything, and nothing is left', async () => {
    const exec = await at.exec(await started, ['sh', '-c', 'dd if=/dev/zero bs=64k count=32 2>/dev/null; exit 6']);
    const { stdout } = await at.runtime.attach(await id(), exec.id);
    assert.equal((await at.runtime.execExited(await id(), exec.id, never)).code, 6);
    await at.runtime.removeExec(await id(), exec.id);
    await at.runtime.removeExec(await id(), exec.id);
    assert.equal((await digest(stdout)).length, 32 * 65536);
    assert.ok(!existsSync(join(at.directory, 'run/containers', await id(), 'exec', exec.id)));
    const unseen = await at.exec(await started, ['echo', 'nobody listens']);
    await at.runtime.execExited(await id(), unseen.id, never);
    await at.runtime.removeExec(await id(), unseen.id);
    await assert.rejects(at.runtime.attach(await id(), unseen.id), { kind: 'not-found' });
  });

  test('ends with its container', async () => {
    const exec = await at.exec(await started, ['sleep', '1000']);
    await at.runtime.kill(await id(), 15);
    await sleep(50); // the first process of a container ignores signals that it does not handle
    await at.runtime.kill(await id(), 9);
    assert.equal((await at.runtime.execExited(await id(), exec.id, never)).code, 137);
    assert.equal((await at.runtime.exited(await id(), never)).code, 137);
    await assert.rejects(at.exec(await started, ['true']), { kind: 'conflict', message: /is not running/ });
  });
});
