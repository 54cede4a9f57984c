/** What a daemon takes up from the one before it: an orderly end, a crash at any write, ends that nobody saw. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newId } from '../../src/base/ids.ts';
import type { Store } from '../../src/contracts/store.ts';
import { type Bench, eventually, leftovers, newWorld, NOTHING, spec, start, type World } from './setup.ts';

test('a running container goes on, and its end is noticed by the next daemon', async () => {
  using world = newWorld();
  let id: string;
  {
    await using bench = await start(world);
    ({ id } = (
      await bench.containers.create(spec({ name: 'web', config: { Healthcheck: { Test: ['CMD', 'true'] } } }))
    ).container);
    await bench.containers.start('web');
  }
  await using bench = await start(world);
  const { containers } = bench;
  const { state } = containers.get('web');
  assert.deepEqual([state.status, state.health?.status], ['running', 'starting']);
  assert.equal(bench.engine.sandboxes.get('web').id, id);
  await assert.rejects(containers.create(spec({ name: 'web' })), { kind: 'conflict' });
  const waiting = containers.wait('web', 'not-running', new AbortController().signal);
  const [process] = world.runtime.containers.values();
  assert.ok(process);
  world.runtime.end(process.request.container.id, 5);
  assert.equal((await waiting).code, 5);
  await containers.remove('web', { force: false, volumes: true });
  assert.deepEqual(await leftovers(world), NOTHING);
});

test('an end during the outage: its true code, its restart policy, its removal', async () => {
  using world = newWorld();
  const ids = new Map<string, Parameters<World['runtime']['end']>[0]>();
  {
    await using bench = await start(world);
    const make = async (name: string, host: Parameters<typeof spec>[0] & object): Promise<void> => {
      ids.set(name, (await bench.containers.create(spec({ name, ...host }))).container.id);
      await bench.containers.start(name);
    };
    await make('plain', {});
    await make('again', { host: { RestartPolicy: { Name: 'always', MaximumRetryCount: 0 } } });
    await make('rm', { host: { AutoRemove: true } });
    await make('lost', {});
  }
  for (const [name, id] of ids) world.runtime.end(id, name === 'plain' ? 42 : 1, { oomKilled: name === 'plain' });
  // As after a reboot: the runtime has forgotten it.
  world.runtime.containers.delete(ids.get('lost') ?? newId());
  await using bench = await start(world);
  const { containers } = bench;
  const plain = containers.get('plain').state;
  assert.deepEqual([plain.status, plain.exitCode, plain.oomKilled], ['exited', 42, true]);
  assert.equal(containers.get('lost').state.exitCode, 255);
  await eventually(() => assert.equal(containers.get('again').state.status, 'running'));
  await eventually(() => assert.throws(() => containers.get('rm'), { kind: 'not-found' }));
  assert.ok(bench.actions().includes('container oom'));
});

test('what a policy wants is started with the daemon; what the user stopped only with `always`', async () => {
  using world = newWorld();
  {
    await using bench = await start(world);
    for (const name of ['always', 'unless-stopped'] as const) {
      for (const stopped of [true, false]) {
        const RestartPolicy = { Name: name, MaximumRetryCount: 0 };
        const { id } = (await bench.containers.create(spec({ name: `${name}-${stopped}`, host: { RestartPolicy } }))).container;
        await bench.containers.start(id);
        if (stopped) await bench.containers.stop(id, { timeout: 0 });
      }
    }
  }
  for (const [id] of world.runtime.containers) world.runtime.end(id, 0);
  await using bench = await start(world);
  await eventually(() =>
    assert.deepEqual(
      bench.containers.list().map(({ name, state }) => [name, state.status]),
      [
        ['always-true', 'running'],
        ['always-false', 'running'],
        ['unless-stopped-true', 'exited'],
        ['unless-stopped-false', 'running'],
      ],
    ),
  );
});

test('what nobody knows of is swept, a damaged row is left alone', async () => {
  using world = newWorld();
  {
    await using bench = await start(world);
    for (const name of ['gone', 'damaged']) {
      const { id } = (await bench.containers.create(spec({ name }))).container;
      await bench.containers.start(id);
      const key = `container/${id}`;
      await world.store.commit([name === 'gone' ? { type: 'delete', key } : { type: 'put', key, value: '{"schema":9}' }]);
    }
  }
  await using bench = await start(world);
  assert.deepEqual(bench.containers.list(), []);
  assert.deepEqual(
    bench.engine.sandboxes.list().map(({ name }) => name),
    ['damaged'],
  );
  assert.equal(world.runtime.containers.size, 1);
  assert.ok(bench.logger.messages('error').some((line) => line.includes('has schema 9')));
});

interface Fault {
  /** Commits that work before it. */
  readonly after: number;
  /** The one that fails reaches the disk all the same. */
  readonly carriesOut: boolean;
  /** Every later one fails as well: what a killed daemon would still do changes nothing on disk. */
  readonly forGood: boolean;
}

function failing(store: Store, { after, carriesOut, forGood }: Fault): { readonly store: Store; readonly died: () => boolean } {
  let [left, dead] = [after, false];
  const commit: Store['commit'] = async (writes) => {
    if (dead && forGood) throw new Error('killed');
    if (dead || left-- > 0) return store.commit(writes);
    dead = true;
    if (carriesOut) await store.commit(writes);
    throw new Error('killed');
  };
  return { store: { ...bound(store), commit }, died: () => dead };
}

const bound = (store: Store): Store => ({
  get: store.get,
  list: store.list,
  commit: store.commit,
  watch: store.watch,
  lease: store.lease,
  [Symbol.asyncDispose]: async () => {},
});

const LIFE: readonly ((bench: Bench) => Promise<unknown>)[] = [
  ({ containers }) => containers.create(spec({ name: 'web', host: { Binds: ['data:/data'] } })),
  ({ containers }) => containers.start('web'),
  ({ containers }) => containers.stop('web', { timeout: 0 }),
  ({ containers }) => containers.remove('web', { force: true, volumes: true }),
];

test('killed at each write of a life: the next daemon has it whole or not at all, and can finish it', async () => {
  for (const carriesOut of [false, true]) {
    for (let after = 0; ; after++) {
      const where = `commit ${after}, ${carriesOut ? 'on disk' : 'lost'}`;
      using world = newWorld();
      let died: boolean;
      const failed: unknown[] = [];
      {
        const { store, died: hasDied } = failing(world.store, { after, carriesOut, forGood: true });
        await using bench = await start(world, { store: () => store });
        for (const step of LIFE) await step(bench).catch((error: unknown) => failed.push(error));
        died = hasDied();
        assert.equal(failed.length > 0, died, where);
      }
      {
        await using bench = await start(world);
        const { containers } = bench;
        for (const { id, state } of containers.list()) {
          assert.ok(['created', 'running', 'exited'].includes(state.status), `${where}: ${state.status}`);
          assert.equal(world.runtime.containers.has(id), state.status === 'running', where);
          assert.equal(world.roots.mounted.has(id), state.status === 'running', where);
          if (state.status !== 'running') await containers.start(id);
          await containers.remove(id, { force: true, volumes: true });
        }
        for (const { name } of containers.volumes.list()) await containers.volumes.remove(name, { force: false });
      }
      assert.deepEqual(await leftovers(world), NOTHING, where);
      if (!died) break;
    }
  }
});

/** The write that fails may be one of these. */
const twice = (step: () => Promise<void>): Promise<void> => step().catch(step);

test('a full disk at each write of a life: refused or done, and the same daemon goes on', async () => {
  for (let after = 0; ; after++) {
    using world = newWorld();
    const { store, died } = failing(world.store, { after, carriesOut: false, forGood: false });
    const where = `commit ${after}`;
    await using bench = await start(world, { store: () => store });
    const { containers } = bench;
    for (const step of LIFE) await step(bench).catch(() => {});
    for (const { id, state } of containers.list()) {
      assert.equal(world.runtime.containers.has(id), state.status === 'running', where);
      await twice(() => containers.remove(id, { force: true, volumes: true }));
    }
    for (const { name } of containers.volumes.list()) await twice(() => containers.volumes.remove(name, { force: false }));
    assert.deepEqual(await leftovers(world), NOTHING, where);
    if (!died()) break;
  }
});
