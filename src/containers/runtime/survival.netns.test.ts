/** What outlives the daemon, and what is left of containers: nothing. */
import '../../../test/support/isolated.ts';
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, globSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { silentLogger } from '../../base/clock.ts';
import type { Id } from '../../base/ids.ts';
import { readLogs } from '../logs/read.ts';
import { createRuntime } from './runtime.ts';
import { collect, lab, never, until } from './runtime.testing.ts';

const at = await lab();
after(() => at[Symbol.asyncDispose]());

const url = (name: string): string => JSON.stringify(new URL(name, import.meta.url).href);
const ended = AbortSignal.abort();

async function logged(id: Id): Promise<string> {
  let text = '';
  const query = { follow: false, tail: 'all', since: null, until: null } as const;
  for await (const { data } of readLogs({ path: at.runtime.logPath(id), ended }, query, never))
    text += Buffer.from(data).toString();
  return text;
}

/** A daemon of its own that starts a container and is killed in the middle; the container's id. */
function killedDaemon(script: string): Promise<Id> {
  return killed(
    script,
    `await runtime.create(request);
    const { stdout } = await runtime.attach(request.container.id);
    await runtime.start(request.container.id);
    stdout.once('data', () => process.kill(process.pid, 'SIGKILL'));`,
  );
}

/** @param steps of the daemon, with `runtime` and `request` */
async function killed(script: string, steps: string, path = ''): Promise<Id> {
  const asked = at.request(['sh', '-c', script], { config: { OpenStdin: true } });
  const options = JSON.stringify({ dataRoot: join(at.directory, 'data'), execRoot: join(at.directory, 'run') });
  const code = `import(${url('./runtime.ts')}).then(async ({ createRuntime }) => {
    const logger = { debug() {}, info() {}, warn() {}, error() {} };
    const runtime = await createRuntime({ ...${options}, logger });
    const request = ${JSON.stringify(asked)};
    ${steps}
  });`;
  const env = { ...process.env, PATH: `${path}:${process.env['PATH']}` };
  const daemon = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'inherit', 'inherit'], env });
  const [, signal] = (await once(daemon, 'exit')) as [number | null, string | null];
  assert.equal(signal, 'SIGKILL');
  return asked.container.id;
}

/** A folder with one program that does something before it becomes the real one. */
function wrapped(program: 'conmon' | 'runc', before: string): string {
  const folder = mkdtempSync(join(at.directory, 'slow-'));
  const real = execFileSync('which', [program], { encoding: 'utf8' }).trim();
  writeFileSync(join(folder, program), `#!/bin/sh\n${before}\nexec ${real} "$@"\n`, { mode: 0o755 });
  return folder;
}

/** Pids of all processes that belong to a container, or whose command names it. */
const related = (id: Id): readonly string[] =>
  readdirSync('/proc').filter(
    (pid) => /^\d+$/.test(pid) && [commandOf(pid), textOf(`/proc/${pid}/cgroup`)].some((text) => text.includes(id)),
  );

describe('after kill -9 of the daemon', () => {
  test('a container runs on, keeps its log, and is taken up again', async () => {
    const id = await killedDaemon('echo before; read line; echo "after $line"; exit 9');
    const next = await createRuntime({
      dataRoot: join(at.directory, 'data'),
      execRoot: join(at.directory, 'run'),
      logger: silentLogger,
    });
    assert.deepEqual(await next.known(), [id]);
    assert.equal((await next.processes(id)).length, 1);
    const streams = await next.attach(id);
    streams.stdin?.write('restart\n');
    await until(streams.stdout, 'after restart');
    assert.equal((await next.exited(id, never)).code, 9);
    assert.equal(await logged(id), 'before\nafter restart\n');
    streams.close();
    await next.remove(id);
    next[Symbol.dispose]();
  });

  test('an end that nobody saw is told with its own exit code and time', async () => {
    const id = await killedDaemon('echo x; sleep 0.2; exit 11');
    const monitor = Number(readFileSync(join(at.directory, 'run/containers', id, 'monitor.pid'), 'utf8'));
    while (existsSync(`/proc/${monitor}`)) await new Promise((resolve) => setTimeout(resolve, 20));
    const { code, finishedAt, oomKilled } = await at.runtime.exited(id, never);
    assert.deepEqual({ code, oomKilled }, { code: 11, oomKilled: false });
    assert.ok(Date.parse(finishedAt) <= Date.now());
    await at.runtime.remove(id);
  });

  for (const [what, program, before] of [
    ['its monitor had not written its number', 'conmon', 'touch "$MARK"; sleep 1'],
    ['the runtime had not begun', 'runc', 'case " $* " in *" create "*) touch "$MARK"; sleep 1;; esac'],
  ] as const) {
    test(`a container that was being made is removed whole: ${what}`, async () => {
      const mark = join(at.directory, `mark-${program}`);
      const steps = `runtime.create(request).catch(() => {});
        const { existsSync } = await import('node:fs');
        setInterval(() => existsSync(${JSON.stringify(mark)}) && process.kill(process.pid, 'SIGKILL'), 5);`;
      const id = await killed('echo x', steps, wrapped(program, before.replace('$MARK', mark)));
      assert.ok(existsSync(mark));
      assert.notDeepEqual(related(id), []);
      assert.deepEqual(await at.runtime.known(), [id]);
      await at.runtime.remove(id);
      assert.deepEqual(related(id), []);
      assert.deepEqual(await at.runtime.known(), []);
      assert.deepEqual(globSync(`/sys/fs/cgroup/{,*/}moor/${id}`), []);
    });
  }

  test('a container whose monitor was killed, too, is ended', async () => {
    const { container } = await at.start(['sleep', '1000']);
    const waiting = at.runtime.exited(container.id, never);
    process.kill(Number(readFileSync(join(at.directory, 'run/containers', container.id, 'monitor.pid'), 'utf8')), 'SIGKILL');
    assert.equal((await waiting).code, 137);
    assert.deepEqual(await at.runtime.processes(container.id), []);
    await at.runtime.remove(container.id);
  });
});

test('a log has the size that was asked for, and a follow goes on over its new beginnings', async () => {
  const script = 'for i in $(seq 1 300); do echo "line $i of some length"; [ $((i % 20)) = 0 ] && sleep 0.05; done; true';
  const asked = at.request(['sh', '-c', script], { host: { LogConfig: { Type: 'json-file', Config: { 'max-size': '4k' } } } });
  const { id } = asked.container;
  await at.runtime.create(asked);
  const done = new AbortController();
  const lines: string[] = [];
  const reading = (async () => {
    const query = { follow: true, tail: 'all', since: null, until: null } as const;
    for await (const { data } of readLogs({ path: at.runtime.logPath(id), ended: done.signal }, query, never)) {
      lines.push(Buffer.from(data).toString());
    }
  })();
  await at.runtime.start(id);
  await at.runtime.exited(id, never);
  done.abort();
  await reading;
  assert.ok(statSync(at.runtime.logPath(id)).size <= 4096);
  assert.deepEqual(
    lines,
    Array.from({ length: 300 }, (_, index) => `line ${index + 1} of some length\n`),
  );
  await at.runtime.remove(id);
});

test('waiting ends with its signal, and for nothing it is an error', async () => {
  const { container } = await at.start(['sleep', '1000']);
  const stop = new AbortController();
  const waiting = at.runtime.exited(container.id, stop.signal);
  stop.abort();
  await assert.rejects(waiting, { kind: 'cancelled' });
  await at.runtime.remove(container.id);
  await assert.rejects(at.runtime.exited(container.id, never), { kind: 'not-found' });
});

test('a paused container does nothing until it goes on, and can be killed', async () => {
  const { container } = await at.start(['sh', '-c', 'while :; do echo tick; sleep 0.02; done']);
  const { stdout, close } = await at.runtime.attach(container.id);
  await until(stdout, 'tick');
  await at.runtime.pause(container.id);
  const state = (): string => readFileSync(join('/sys/fs/cgroup/freezer/moor', container.id, 'freezer.state'), 'utf8').trim();
  assert.equal(state(), 'FROZEN');
  await at.runtime.resume(container.id);
  assert.equal(state(), 'THAWED');
  await at.runtime.pause(container.id);
  await at.runtime.kill(container.id, 9);
  assert.equal((await at.runtime.exited(container.id, never)).code, 137);
  close();
  await at.runtime.remove(container.id);
});

test('counters are in the shape of Docker’s', async () => {
  const { container } = await at.start(['sh', '-c', 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo ready; sleep 1000'], {
    host: { Memory: 64 * 2 ** 20, PidsLimit: 50 },
  });
  const { stdout, close } = await at.runtime.attach(container.id);
  await until(stdout, 'ready').catch(() => ''); // it may have been said before
  const stats = (await at.runtime.stats(container.id)) as {
    readonly cpu_stats: {
      readonly cpu_usage: { readonly total_usage: number };
      readonly system_cpu_usage: number;
      readonly online_cpus: number;
    };
    readonly memory_stats: { readonly usage: number; readonly limit: number; readonly stats: Readonly<Record<string, number>> };
    readonly pids_stats: { readonly current: number; readonly limit: number };
    readonly blkio_stats: Readonly<Record<string, unknown>>;
  };
  assert.ok(stats.cpu_stats.cpu_usage.total_usage > 1e6);
  assert.ok(stats.cpu_stats.system_cpu_usage > stats.cpu_stats.cpu_usage.total_usage);
  assert.ok(stats.cpu_stats.online_cpus >= 1);
  assert.ok(stats.memory_stats.usage > 0 && stats.memory_stats.usage < 64 * 2 ** 20);
  assert.equal(stats.memory_stats.limit, 64 * 2 ** 20);
  assert.equal(typeof stats.memory_stats.stats['total_inactive_file'], 'number');
  assert.equal(stats.pids_stats.limit, 50);
  assert.ok(stats.pids_stats.current >= 1);
  assert.ok(Array.isArray(stats.blkio_stats['io_service_bytes_recursive']));
  close();
  await at.runtime.remove(container.id);
});

test('50 containers, some of them at once, leave nothing', async () => {
  const found = (): Readonly<Record<string, unknown>> => ({
    mounts: readFileSync('/proc/self/mountinfo', 'utf8'),
    cgroups: at.ids.flatMap((id) => globSync(`/sys/fs/cgroup/{,*/}moor/${id}`)),
    processes: readdirSync('/proc').filter((name) => /^\d+$/.test(name) && commandOf(name).match(/conmon|runc/)),
    files: readdirSync(join(at.directory, 'run/containers')),
    runtime: readdirSync(join(at.directory, 'run/oci')),
    descriptors: readdirSync('/proc/self/fd')
      .map((fd) => targetOf(fd))
      .filter((target) => !target.startsWith('/proc/')).length,
  });
  await at.run(['true']);
  const before = found();
  for (let round = 0; round < 10; round++) {
    await Promise.all(
      Array.from({ length: 5 }, async () =>
        assert.equal((await at.run(['sh', '-c', 'echo x; exit 1'], { host: { IpcMode: 'shareable' } })).code, 1),
      ),
    );
  }
  assert.deepEqual(found(), before);
  assert.deepEqual(await at.runtime.known(), []);
});

test('a container that was never started is removed as well, and one that runs', async () => {
  const created = at.request(['true']);
  await at.runtime.create(created);
  await assert.rejects(at.runtime.create(created), { kind: 'conflict' });
  await at.runtime.remove(created.container.id);
  const { container } = await at.start(['sleep', '1000']);
  const output = collect(await at.runtime.attach(container.id));
  await at.runtime.remove(container.id);
  assert.deepEqual(await output, ['', '']);
  assert.deepEqual(await at.runtime.known(), []);
});

const commandOf = (pid: string): string => textOf(`/proc/${pid}/cmdline`);

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // ended meanwhile
  }
}

function targetOf(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return '/proc/'; // the one that reads the directory
  }
}
