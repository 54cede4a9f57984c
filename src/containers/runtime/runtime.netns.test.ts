/** Containers from start to end, with the real conmon and runc. */
import '../../../test/support/isolated.ts';
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, describe, test } from 'node:test';
import { all, collect, lab, never, until } from './runtime.testing.ts';

const at = await lab();
after(() => at[Symbol.asyncDispose]());

describe('a container', () => {
  test('runs its command and tells its exit code, with nothing of the output lost', async () => {
    const { code, out, err } = await at.run(['sh', '-c', 'echo out; echo err >&2; exit 42']);
    assert.deepEqual({ code, out, err }, { code: 42, out: 'out\n', err: 'err\n' });
  });

  test('that was killed tells 128 and the signal', async () => {
    const { container } = await at.start(['sleep', '1000']);
    await at.runtime.kill(container.id, 9);
    assert.equal((await at.runtime.exited(container.id, never)).code, 137);
    await assert.rejects(at.runtime.kill(container.id, 9), { kind: 'conflict', message: /is not running/ });
    await at.runtime.remove(container.id);
    await at.runtime.remove(container.id);
  });

  test('reads its input to the end', async () => {
    const { out } = await at.run(['cat'], { config: { OpenStdin: true, StdinOnce: true }, input: 'x'.repeat(1_000_000) });
    assert.equal(out.length, 1_000_000);
  });

  test('has a terminal, of the size that it was given', async () => {
    const asked = at.request(['sh'], { config: { Tty: true, OpenStdin: true } });
    const { id } = asked.container;
    await at.runtime.create(asked);
    const streams = await at.runtime.attach(id);
    await at.runtime.start(id);
    await at.runtime.resize(id, { rows: 40, columns: 123 });
    streams.stdin?.write('stty size; tty; echo do""ne\n');
    const seen = await until(streams.stdout, 'done');
    assert.match(seen, /40 123\r\n\/dev\/pts\/0\r\n/);
    streams.stdin?.write('exit 3\n');
    assert.equal((await at.runtime.exited(id, never)).code, 3);
    streams.close();
    await at.runtime.remove(id);
  });

  test('runs other programs beside its own', async () => {
    const asked = await at.start(['sleep', '1000'], { config: { Env: ['A=1'], WorkingDir: '/tmp' } });
    const { id } = asked.container;
    const exec = await at.exec(asked, ['sh', '-c', 'echo $A $B $FROM_IMAGE; pwd; cat; exit 7'], { env: ['B=2'], stdin: true });
    const streams = await at.runtime.attach(id, exec.id);
    const output = collect(streams);
    streams.stdin?.end('typed');
    assert.equal((await at.runtime.execExited(id, exec.id, never)).code, 7);
    assert.deepEqual(await output, ['1 2 1\n/tmp\ntyped', '']);
    const quick = await at.exec(asked, ['echo', 'quick']);
    await at.runtime.execExited(id, quick.id, never);
    assert.equal(await all((await at.runtime.attach(id, quick.id)).stdout), 'quick\n');
    await at.runtime.remove(id);
  });

  const noInit = existsSync('/usr/bin/tini-static') ? false : 'tini-static is not installed';
  test('may have an init that reaps what others leave', { skip: noInit }, async () => {
    const script = 'sh -c "sleep 0.01 & exit"; sleep 0.2; cat /proc/1/cmdline | tr "\\0" " "; ps -o stat | grep -c Z; exit 3';
    const { code, out } = await at.run(['sh', '-c', script], { host: { Init: true } });
    assert.equal(code, 3);
    assert.match(out, /^\/sbin\/docker-init -- sh -c .*\n?0\n$/s);
  });

  test('that cannot start says why, as Docker does, and leaves nothing', async () => {
    await assert.rejects(at.run(['no-such-program']), {
      kind: 'invalid',
      message:
        'failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: ' +
        'unable to start container process: exec: "no-such-program": executable file not found in $PATH: unknown',
    });
    assert.deepEqual(await at.runtime.known(), []);
  });
});
