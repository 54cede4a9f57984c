/** The daemon dies at each point where it waits, also in the middle of a plan: the next one converges, and what was acknowledged is there. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Kernel } from '../../src/contracts/kernel.ts';
import type { Store } from '../../src/contracts/store.ts';
import { parsePortSpec } from '../../src/model/ports-parse.ts';
import { bindingText } from '../../src/model/ports-text.ts';
import { assertNames, type Bench, kernelState, newWorld, rows, start, usage, type World } from './setup.ts';

/** Never resolves: the process is gone. */
const gone = <T>(): Promise<T> => new Promise<T>(() => {});

/** Counts the points at which a process can die, and dies at one of them. */
class Death {
  at = Number.POSITIVE_INFINITY;
  #point = 0;
  dead = false;

  arm(at: number): void {
    this.at = at;
    this.#point = 0;
  }

  /** @returns whether the process dies here. */
  here(): boolean {
    if (this.dead || this.#point++ === this.at) this.dead = true;
    return this.dead;
  }

  kernel(kernel: Kernel): Kernel {
    return {
      ...kernel,
      apply: async (changes, options) => {
        // Before anything, after each change, and before the result is known.
        for (let done = 0; done <= changes.length; done++) {
          if (!this.here()) continue;
          await kernel.apply(changes.slice(0, done), options);
          return gone();
        }
        return await kernel.apply(changes, options);
      },
      [Symbol.asyncDispose]: async () => {},
    };
  }

  store(store: Store): Store {
    return {
      get: store.get,
      list: store.list,
      watch: store.watch,
      lease: store.lease,
      commit: async (writes) => {
        if (this.here()) return gone();
        const revision = await store.commit(writes);
        return this.here() ? gone() : revision;
      },
      [Symbol.asyncDispose]: async () => {},
    };
  }
}

async function prepared(world: World, death: Death): Promise<Bench> {
  const bench = await start({
    world,
    between: { kernel: (kernel) => death.kernel(kernel), store: (store) => death.store(store) },
  });
  await bench.engine.networks.create({ name: 'net', pools: [{ subnet: '10.1.0.0/24' }] });
  await bench.engine.networks.create({ name: 'dual', ipv6: true });
  await bench.engine.sandboxes.create({ name: 'web', networks: [{ network: 'net' }] });
  const ports = ['8080:80', '7000-7009:7000-7009', '53:53/udp'].map(parsePortSpec);
  await bench.engine.sandboxes.create({ name: 'two', networks: [{ network: 'net' }, { network: 'dual' }], ports });
  return bench;
}

const OPERATIONS: Record<string, (bench: Bench) => Promise<unknown>> = {
  'create network': ({ engine }) => engine.networks.create({ name: 'new', ipv6: true }),
  'remove network': async ({ engine }) => {
    await engine.networks.disconnect('dual', 'two');
    await engine.networks.remove('dual');
  },
  connect: ({ engine }) => engine.networks.connect('dual', { sandbox: 'web', endpoint: {} }),
  disconnect: ({ engine }) => engine.networks.disconnect('net', 'two'),
  'create sandbox': ({ engine }) => engine.sandboxes.create({ name: 'new', networks: [{ network: 'net' }, { network: 'dual' }] }),
  'remove sandbox': ({ engine }) => engine.sandboxes.remove('two'),
  publish: ({ engine }) => engine.sandboxes.publish('two', ['8443:443', '54:53/udp'].map(parsePortSpec)),
  unpublish: ({ engine }) => engine.sandboxes.unpublish('two', ['80', '7002-7003'].map(parsePortSpec)),
  reset: ({ engine }) => engine.reset(),
};

const expectedPorts = ({ engine }: Bench): string[] =>
  engine.sandboxes
    .list()
    .flatMap(({ ports = [] }) =>
      ports.flatMap(({ protocol, hostAddress, hostPorts: { from, to } }) =>
        Array.from({ length: to - from + 1 }, (_, i) => `${protocol} ${hostAddress} ${from + i}`),
      ),
    )
    .toSorted();

/** Names, addresses and ports, which is what a user was promised. */
const promised = ({ engine }: Bench): unknown => ({
  networks: engine.networks.list().map(({ name, pools }) => [name, ...pools.map(({ subnet }) => subnet)]),
  sandboxes: engine.sandboxes
    .list()
    .map(({ name, endpoints, ports = [] }) => [
      name,
      ...endpoints.map(({ ipv4, ipv6 }) => `${ipv4} ${ipv6}`),
      ...ports.map(bindingText),
    ]),
});

for (const [name, operation] of Object.entries(OPERATIONS)) {
  test(`${name}: whenever the daemon dies, the next one converges`, async () => {
    let points = 0;
    for (let at = 0; ; at++, points++) {
      const world = newWorld();
      const death = new Death();
      const bench = await prepared(world, death);
      const before = promised(bench);
      death.arm(at);
      let acknowledged = false;
      const finished = operation(bench).then(() => {
        acknowledged = true;
      });
      await Promise.race([finished, settled()]);
      const after = acknowledged ? promised(bench) : null;

      // Held ports end with their holder.
      world.kernel.hostPorts.drop();
      // Files of what was being made are for the sweep; those of what was being removed the journal has to know.
      const next = await start({ world, lists: name.startsWith('create') });
      try {
        const found = promised(next);
        if (after !== null && name !== 'reset') assert.deepEqual(found, after, `acknowledged, then lost (point ${at})`);
        if (name === 'connect' || name.startsWith('create')) {
          if (after === null) assert.ok(same(found, before) || isMore(found, before), `point ${at}`);
        }
        assert.deepEqual(next.logger.messages('error'), [], `point ${at}`);
        assert.deepEqual(await next.engine.reconcile(), [], `not converged at once (point ${at})`);
        assertNames(next);
        assert.deepEqual([...world.kernel.hostPorts.held].toSorted(), expectedPorts(next), `ports that are held (point ${at})`);
        // A machine that starts with these rows alone, and with no kernel state at all, comes to the same state.
        assert.deepEqual(await fresh(world), tidy(kernelState(world.kernel)), `point ${at}`);
        assert.deepEqual(
          usage(next.ipam).reduce((sum, { used }) => sum + used, 0n),
          expectedUse(next),
          `leaked addresses (point ${at})`,
        );
        const { entries } = await world.store.list('journal/');
        await next[Symbol.asyncDispose]();
        const left = await world.store.list('journal/');
        assert.deepEqual(left.entries, [], `journal rows stay (${entries.length})`);
      } finally {
        await next[Symbol.asyncDispose]();
      }
      if (acknowledged) break;
    }
    assert.ok(points > 3, `${points} points`);
  });
}

/** Rows are written side by side with the plan: whatever of the two is first, the kill may come between them. */
function unwritten(store: Store, armed: () => boolean): Store {
  return {
    get: store.get,
    list: store.list,
    watch: store.watch,
    lease: store.lease,
    commit: (writes) => (armed() ? gone() : store.commit(writes)),
    [Symbol.asyncDispose]: async () => {},
  };
}

const MAKES: Record<string, ((bench: Bench) => Promise<unknown>) | undefined> = {
  'create network': OPERATIONS['create network'],
  connect: OPERATIONS['connect'],
  'create sandbox': OPERATIONS['create sandbox'],
  rename: ({ engine }) => engine.sandboxes.rename('web', 'other'),
};

/** Everything that the operation must not have touched. */
async function whole({ kernel, store }: World): Promise<unknown> {
  // What the host had before is read anew at each start.
  const { 'meta/host': _, ...kept } = await rows(store);
  return { kernel: tidy(kernelState(kernel)), rows: kept };
}

for (const [name, operation] of Object.entries(MAKES)) {
  test(`${name}: killed while its plan is applied and before its rows are on disk, nothing of it stays`, async () => {
    for (let done = 0, all = Number.POSITIVE_INFINITY; done <= all; done++) {
      const world = newWorld();
      const death = new Death();
      const old = await prepared(world, death);
      await old[Symbol.asyncDispose]();
      const before = await whole(world);
      let armed = false;
      const apply: Kernel['apply'] = async (changes, options) => {
        if (!armed) return await world.kernel.apply(changes, options);
        all = changes.length;
        await world.kernel.apply(changes.slice(0, done), options);
        return gone();
      };
      const between = {
        kernel: (kernel: Kernel): Kernel => ({ ...kernel, apply, [Symbol.asyncDispose]: async () => {} }),
        store: (store: Store): Store => unwritten(store, () => armed),
      };
      const bench = await start({ world, between });
      armed = true;
      void operation?.(bench);
      await settled();
      assert.ok(Number.isFinite(all) && all > 0);
      await using next = await start({ world });
      assert.deepEqual(await whole(world), before, `after ${done} of ${all}`);
      assert.deepEqual(next.logger.messages('error'), []);
      assert.deepEqual(await next.engine.reconcile(), []);
    }
  });
}

test('killed between a refusal and the deletion of its rows: what cannot be made is listed, told, and can be removed', async () => {
  const world = newWorld();
  let refusing = false;
  const store = (real: Store): Store => ({
    get: real.get,
    list: real.list,
    watch: real.watch,
    lease: real.lease,
    // The rows go with the plan; what would delete them comes too late.
    commit: (writes) => (refusing && writes.some(({ type }) => type === 'delete') ? gone() : real.commit(writes)),
    [Symbol.asyncDispose]: async () => {},
  });
  const bench = await start({ world, between: { store } });
  const before = await whole(world);
  world.kernel.failWhen = (change) => change.kind === 'address';
  refusing = true;
  void bench.engine.networks.create({ name: 'new' });
  await settled();
  await using next = await start({ world });
  assert.deepEqual(
    next.engine.networks.list().map(({ name }) => name),
    ['bridge', 'host', 'none', 'new'],
  );
  assert.match(next.logger.messages('error')[0] ?? '', /^could not restore address 172\.\d+\.0\.1\/16 on .* in network new: /);
  await next.engine.networks.remove('new');
  world.kernel.failWhen = undefined;
  await next[Symbol.asyncDispose]();
  assert.deepEqual(await whole(world), before);
});

/** A few turns of the event loop: everything in memory that can go on has gone on. */
async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
const isMore = (a: unknown, b: unknown): boolean => JSON.stringify(a).length > JSON.stringify(b).length;

function expectedUse({ engine }: Bench): bigint {
  const gateways = engine.networks.list().flatMap(({ pools }) => pools.filter(({ gateway }) => gateway !== null));
  const addresses = engine.sandboxes
    .list()
    .flatMap(({ endpoints }) => endpoints.flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6].filter((one) => one !== null)));
  return BigInt(gateways.length + addresses.length);
}

/** What an empty kernel becomes with the rows of this world. */
async function fresh(world: World): Promise<unknown> {
  const twin = newWorld();
  await twin.store.commit(
    Object.entries(await rows(world.store)).map(([key, value]) => ({ type: 'put', key, value: JSON.stringify(value) })),
  );
  const bench = await start({ world: twin });
  const state = tidy(kernelState(twin.kernel));
  await bench[Symbol.asyncDispose]();
  return state;
}

/**
 * Without what the fake makes up (MAC addresses of host ends), and without chains that stay from the first published port until the machine starts
 * anew, as the setting of bridges that they are there for does.
 */
function tidy(state: unknown): unknown {
  const text = JSON.stringify(state).replaceAll(/"mac":"0a:00:[0-9a-f:]*"/g, '"mac":"made up"');
  return JSON.parse(text, (key, value: unknown) => (key === 'localhost' || key === 'answered' ? undefined : value));
}
