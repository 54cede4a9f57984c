/** The daemon dies before and after each thing that the service waits for: the next one has every container whole or not at all. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { RootFiles, Runtime } from '../../src/contracts/containers.ts';
import type { Kernel } from '../../src/contracts/kernel.ts';
import type { Store } from '../../src/contracts/store.ts';
import { type Bench, leftovers, newWorld, NOTHING, spec, start, type World } from './setup.ts';

/** Never resolves: the process is gone. */
const gone = <T>(): Promise<T> => new Promise<T>(() => {});

/** Counts the moments before and after each call that is put through it, and dies at one of them. */
class Death {
  readonly #at: number;
  #moment = 0;
  #armed = false;
  dead = false;

  constructor(at: number) {
    this.#at = at;
  }

  arm(): void {
    this.#armed = true;
  }

  #here(): boolean {
    if (this.#armed && this.#moment++ === this.#at) this.dead = true;
    return this.dead;
  }

  readonly #through =
    <A extends unknown[], R>(call: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      if (this.#here()) return gone();
      try {
        return await call(...args);
      } finally {
        if (this.#here()) await gone();
      }
    };

  readonly store = (store: Store): Store => ({
    get: store.get,
    list: store.list,
    watch: store.watch,
    lease: store.lease,
    commit: this.#through(store.commit),
    [Symbol.asyncDispose]: async () => {},
  });

  readonly kernel = (kernel: Kernel): Kernel => ({
    ...kernel,
    apply: this.#through(kernel.apply),
    [Symbol.asyncDispose]: async () => {},
  });

  runtime(runtime: Runtime): Runtime {
    const { create, start: begin, kill, remove } = runtime;
    const through = {
      create: this.#through(create),
      start: this.#through(begin),
      kill: this.#through(kill),
      remove: this.#through(remove),
    };
    return { ...runtime, ...through };
  }

  roots({ create, mount, unmount, remove, size }: World['roots']): Pick<RootFiles, keyof World['roots'] & keyof RootFiles> {
    return {
      create: this.#through(create),
      mount: this.#through(mount),
      unmount: this.#through(unmount),
      remove: this.#through(remove),
      size,
    };
  }
}

const image = { config: { Cmd: ['sh'], Volumes: { '/cache': {} } } };
const binds = { Binds: ['data:/data'] };

interface Operation {
  readonly before?: (bench: Bench) => Promise<unknown>;
  readonly run: (bench: Bench) => Promise<unknown>;
}

const create = ({ containers }: Bench): Promise<unknown> => containers.create(spec({ name: 'web', host: binds }));
const run = async (bench: Bench): Promise<void> => {
  await create(bench);
  await bench.containers.start('web');
};

const OPERATIONS: Readonly<Record<string, Operation>> = {
  create: { run: create },
  'create, which fails': {
    run: async (bench) => {
      bench.world.roots.failure = new Error('no space left on device');
      await create(bench).catch(() => {});
    },
  },
  start: { before: create, run: ({ containers }) => containers.start('web') },
  'start, which fails': {
    before: create,
    run: async ({ world, containers }) => {
      world.runtime.failing.set('create', new Error('no such program'));
      await containers.start('web').catch(() => {});
    },
  },
  stop: { before: run, run: ({ containers }) => containers.stop('web', { timeout: 0 }) },
  'remove with volumes': { before: create, run: ({ containers }) => containers.remove('web', { force: false, volumes: true }) },
  'remove by force': { before: run, run: ({ containers }) => containers.remove('web', { force: true, volumes: false }) },
  'the end of one that goes with it': {
    before: async ({ containers }) => {
      await containers.create(spec({ name: 'web', host: { ...binds, AutoRemove: true } }));
      await containers.start('web');
    },
    run: ({ containers }) => containers.kill('web', 'KILL'),
  },
  rename: { before: run, run: ({ containers }) => containers.rename('web', 'other') },
  'volume create': { run: ({ containers }) => containers.volumes.create({ name: 'data' }) },
  'volume remove': {
    before: ({ containers }) => containers.volumes.create({ name: 'data' }),
    run: ({ containers }) => containers.volumes.remove('data', { force: false }),
  },
};

const namesIn = (path: string): readonly string[] => (existsSync(path) ? readdirSync(path) : []);

/** Everything that exists belongs to something that is listed. */
function assertAgreement({ world, containers, engine, logger }: Bench, where: string): void {
  const all = containers.list();
  const ids = all.map(({ id }) => id);
  const up = all.filter(({ state }) => state.status === 'running').map(({ id }) => id);
  for (const { state } of all) assert.ok(['created', 'running', 'exited'].includes(state.status), `${where}: ${state.status}`);
  assert.deepEqual(
    [...world.roots.layers].filter((id) => !ids.includes(id)),
    [],
    `${where}: layers`,
  );
  assert.deepEqual([...world.roots.mounted], up, `${where}: mounts`);
  assert.deepEqual([...world.runtime.containers.keys()], up, `${where}: in the runtime`);
  assert.deepEqual(
    engine.sandboxes.list().map(({ id }) => id),
    up,
    `${where}: sandboxes`,
  );
  const folders = new Set([...world.kernel.files.keys()].map((path) => path.split('/').at(-2)));
  assert.deepEqual([...folders], up, `${where}: files`);
  const volumes = containers.volumes.list().map(({ name }) => name);
  assert.deepEqual(
    namesIn(join(world.directory, 'volumes')).filter((name) => !volumes.includes(name)),
    [],
    `${where}: volumes`,
  );
  assert.deepEqual(logger.messages('error'), [], where);
}

/** Turns of the event loop and of the file system until nothing goes on any more. */
async function finished(work: Promise<unknown>, death: Death): Promise<void> {
  let done = false;
  // A dead daemon's timers go on here, and find that nothing answers.
  work.then(
    () => (done = true),
    () => {},
  );
  for (let quiet = 0; quiet < 10; quiet++) {
    if (!done && !death.dead) quiet = 0;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  if (!death.dead) await work;
}

for (const [name, { before, run: operation }] of Object.entries(OPERATIONS)) {
  test(`${name}: whenever the daemon dies, the next one agrees with what is there`, async () => {
    let moments = 0;
    for (; ; moments++) {
      using world = newWorld();
      const death = new Death(moments);
      const deps = { runtime: death.runtime(world.runtime), rootFiles: death.roots(world.roots) };
      const bench = await start(world, {
        image,
        deps,
        store: death.store,
        between: { kernel: death.kernel, store: death.store },
      });
      await before?.(bench);
      const kept = bench.containers.volumes.list().filter(({ anonymous }) => anonymous);
      death.arm();
      await finished(operation(bench), death);
      world.roots.failure = null;
      world.runtime.failing.clear();
      {
        await using next = await start(world, { image });
        const where = `moment ${moments}`;
        assertAgreement(next, where);
        // `docker rm` without -v leaves them, also when it was cut short.
        if (name !== 'remove with volumes' && name !== 'the end of one that goes with it') {
          for (const volume of kept) assert.equal(next.containers.volumes.get(volume.name).name, volume.name, where);
        }
        for (const { id } of next.containers.list()) await next.containers.remove(id, { force: true, volumes: true });
        for (const volume of next.containers.volumes.list()) await next.containers.volumes.remove(volume.name, { force: false });
      }
      assert.deepEqual(await leftovers(world), NOTHING);
      assert.deepEqual(namesIn(join(world.directory, 'volumes')), []);
      if (!death.dead) break;
    }
    assert.ok(moments > 1, `${moments} moments`);
  });
}
