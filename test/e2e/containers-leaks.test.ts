// test-timeout: 240 s
/** `docker run --rm` again and again, one after the other and many at once: nothing of it stays. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { after, before, test } from 'node:test';
import { run, type TestDaemon } from '../support/daemon.ts';
import { cgroupsOf, CLIS, daemonWithBusybox, type Docker, dockerOf } from '../support/docker.ts';
import { until } from '../support/snapshot.ts';

let daemon: TestDaemon;
let docker: Docker;
before(async () => {
  daemon = await daemonWithBusybox();
  docker = dockerOf(daemon);
  await docker.ok('run', '--rm', 'busybox', 'true');
});
after(() => daemon[Symbol.asyncDispose]());

/**
 * Keys of the store, from a copy: the daemon keeps its database locked. It is idle when this is called. The log goes first: what a
 * checkpoint moves meanwhile is then in both.
 */
function rows(): readonly string[] {
  const copy = mkdtempSync(`${daemon.directory}/rows-`);
  using cleanup = new DisposableStack();
  cleanup.defer(() => rmSync(copy, { recursive: true }));
  const data = `${daemon.directory}/data`;
  for (const name of ['state.db-wal', 'state.db']) copyFileSync(`${data}/${name}`, `${copy}/${name}`);
  const database = cleanup.use(new DatabaseSync(`${copy}/state.db`));
  return database
    .prepare('select key from entries order by key')
    .all()
    .map(({ key }) => String(key).replace(/^journal\/.*/, 'journal'));
}

/** What there is of all that a container has, as the kernel and the file system tell it. */
async function state(): Promise<Readonly<Record<string, unknown>>> {
  const lines = async (script: string): Promise<readonly string[]> =>
    (await daemon.inside('sh', '-c', script)).stdout.split('\n').filter(Boolean);
  const files = (folder: string): readonly string[] =>
    readdirSync(`${daemon.directory}/${folder}`, { recursive: true, encoding: 'utf8' })
      // The database's own files; its rows are counted below.
      .filter((name) => !/state\.db/.test(name))
      .toSorted();
  // What a removal leaves in the journal goes with the next commit: this one is the last.
  await docker.ok('network', 'create', 'last');
  await docker.ok('network', 'rm', 'last');
  return {
    mounts: await lines(`cut -d' ' -f5 /proc/1/mountinfo | sort`),
    links: await lines(`ip -o link | awk -F': ' '{ print $2 }'`),
    elements: await lines(`nft -j list table inet moor | tr ',' '\\n' | grep -c veth; true`),
    // Those of processes, and those that only a mount holds.
    namespaces: await lines('for one in net mnt pid ipc uts; do readlink /proc/[0-9]*/ns/$one | sort -u; done'),
    pins: await lines("cat /proc/[0-9]*/mountinfo | grep ' nsfs ' | cut -d' ' -f4,5 | sort -u"),
    processes: await lines(`ps -eo comm= | grep -vE '^(sh|ps|grep|sort|nsenter)$' | sort`),
    descriptors: readdirSync(`/proc/${daemon.pid()}/fd`).length,
    rows: rows(),
    data: files('data'),
    exec: files('exec'),
    containers: await docker.ok('ps', '-aq'),
  };
}

/** The kernel takes a namespace apart some time after its last user has gone; a container of `--rm` goes when its client has ended. */
async function same(before: Readonly<Record<string, unknown>>, ids: readonly string[]): Promise<void> {
  let now = await state();
  await until(async () => {
    now = await state();
    return JSON.stringify(now) === JSON.stringify(before);
  });
  assert.deepEqual(now, before);
  assert.deepEqual(cgroupsOf(ids), []);
}

/** Ids of all containers that are made while `work` runs. */
async function made(work: () => Promise<unknown>): Promise<readonly string[]> {
  const file = `${daemon.directory}/made`;
  const words = `${CLIS[0]} -H ${daemon.host} events --filter event=create --format '{{.ID}}' >${file}`;
  const listener = spawn('sh', ['-c', `exec ${words}`], { stdio: 'ignore' });
  const ended = once(listener, 'exit');
  const ids = (): readonly string[] => readFileSync(file, 'utf8').split('\n').filter(Boolean);
  try {
    // It listens when it hears of one.
    await until(async () => {
      await docker.ok('rm', await docker.ok('create', 'busybox'));
      return ids().length > 0;
    });
    await work();
    return ids();
  } finally {
    listener.kill('SIGTERM');
    await ended;
    rmSync(file);
  }
}

test('200 times docker run --rm busybox true', async () => {
  const before = await state();
  assert.ok((before['rows'] as readonly string[]).length > 0, 'rows are found');
  const loop = `set -e; i=0; while [ $i -lt 200 ]; do ${CLIS[0]} -H ${daemon.host} run --rm busybox true; i=$((i+1)); done`;
  const ids = await made(async () => {
    const { code, stdout, stderr } = await run('sh', ['-c', loop], { timeoutMs: 200_000 });
    assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: '', stderr: '' });
  });
  assert.ok(ids.length >= 200, `${ids.length} were made`);
  await same(before, ids);
});

test('20 at once, each with its own address', async () => {
  const before = await state();
  let all: readonly string[] = [];
  const ids = await made(async () => {
    const words = (i: number): readonly string[] => [
      'run',
      '--rm',
      'busybox',
      'sh',
      '-c',
      `ip -o -4 a show eth0; sleep 1; echo mine ${i}`,
    ];
    all = await Promise.all(Array.from({ length: 20 }, (_, i) => docker.ok(...words(i))));
  });
  const addresses = all.map((text, i) => {
    assert.ok(text.endsWith(`mine ${i}`), text);
    return / inet (\S+) /.exec(text)?.[1];
  });
  assert.equal(new Set(addresses).size, 20, addresses.join(' '));
  assert.deepEqual(daemon.log().match(/.* (ERROR|FATAL) .*/g), null);
  await same(before, ids);
});
