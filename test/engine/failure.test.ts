/** Every change of every plan fails in turn, and every write to the store: what was before is there again. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MoorError } from '../../src/base/errors.ts';
import { HOST } from '../../src/contracts/change.ts';
import type { OperationOptions, Outcome } from '../../src/contracts/engine.ts';
import type { Store } from '../../src/contracts/store.ts';
import { type Bench, kernelState, rows, start, usage } from './setup.ts';

const everything = async ({ kernel, store, ipam, engine, resolver }: Bench): Promise<unknown> => ({
  kernel: kernelState(kernel),
  rows: await rows(store),
  ipam: usage(ipam),
  networks: engine.networks.list(),
  sandboxes: engine.sandboxes.list(),
  names: [[...resolver.clients], [...resolver.records]],
});

/** Two networks, one of them dual stack, and a sandbox on the first. */
async function prepared(options: Parameters<typeof start>[0] = {}): Promise<Bench> {
  const bench = await start(options);
  await bench.engine.networks.create({ name: 'net', pools: [{ subnet: '10.1.0.0/24' }] });
  await bench.engine.networks.create({ name: 'dual', ipv6: true, options: { 'com.docker.network.bridge.enable_icc': 'false' } });
  await bench.engine.sandboxes.create({ name: 'web', networks: [{ network: 'net' }] });
  return bench;
}

type Operation = (bench: Bench, options?: OperationOptions) => Promise<Outcome<unknown>>;

const MAKING: Record<string, Operation> = {
  'create network': ({ engine }, options) => engine.networks.create({ name: 'new', ipv6: true }, options),
  'create internal network': ({ engine }, options) => engine.networks.create({ name: 'new', internal: true }, options),
  connect: ({ engine }, options) => engine.networks.connect('dual', { sandbox: 'web', endpoint: {} }, options),
  'create sandbox': ({ engine }, options) =>
    engine.sandboxes.create({ name: 'new', networks: [{ network: 'net' }, { network: 'dual' }] }, options),
};

for (const [name, operation] of Object.entries(MAKING)) {
  test(`${name}: each change that fails leaves everything as before`, async () => {
    await using bench = await prepared();
    const { changes } = (await operation(bench, { dryRun: true })).plan;
    const before = await everything(bench);
    assert.ok(changes.length > 3);
    for (const failing of changes.keys()) {
      let nth = 0;
      bench.kernel.failWhen = () => nth++ === failing;
      await assert.rejects(
        operation(bench),
        (error) => error instanceof MoorError && /Operation not permitted/.test(error.message),
      );
      bench.kernel.failWhen = undefined;
      assert.deepEqual(await everything(bench), before, `change ${failing}: ${JSON.stringify(changes[failing])}`);
    }
    await operation(bench);
    assert.notDeepEqual(await everything(bench), before);
  });
}

test('what was only tried, or undone, takes no address', async () => {
  await using bench = await prepared();
  const { engine, kernel } = bench;
  const second = { name: 'second', networks: [{ network: 'net' }, { network: 'dual' }] };
  const tried = (await engine.sandboxes.create(second, { dryRun: true })).value;
  kernel.failWhen = (change) => change.kind === 'route';
  await assert.rejects(engine.sandboxes.create(second));
  await assert.rejects(engine.networks.connect('dual', { sandbox: 'web', endpoint: { gatewayPriority: 1 } }));
  kernel.failWhen = undefined;
  const { endpoints } = (await engine.sandboxes.create(second)).value;
  assert.deepEqual(
    endpoints.map(({ ipv4, ipv6 }) => [ipv4, ipv6]),
    tried.endpoints.map(({ ipv4, ipv6 }) => [ipv4, ipv6]),
  );
  assert.equal(endpoints[0]?.ipv4, '10.1.0.3/24', 'web has the one before');
});

test('what cannot be undone is named in the error, and swept later', async () => {
  await using bench = await prepared();
  const before = await everything(bench);
  bench.kernel.failWhen = (change) => (change.kind === 'nft-element' ? true : change.kind === 'link' && change.op === 'remove');
  await assert.rejects(bench.engine.networks.create({ name: 'new' }), /not undone: ip link del br-/);
  bench.kernel.failWhen = undefined;
  const repaired = await bench.engine.reconcile();
  assert.match(repaired.join('\n'), /ip link del br-.*nobody owns it/);
  assert.deepEqual(await everything(bench), before);
});

const UNMAKING: Record<string, { readonly run: Operation; readonly prepare?: (bench: Bench) => Promise<unknown> }> = {
  'remove network': { run: ({ engine }, options) => engine.networks.remove('dual', options) },
  disconnect: {
    run: ({ engine }, options) => engine.networks.disconnect('dual', 'web', options),
    prepare: ({ engine }) => engine.networks.connect('dual', { sandbox: 'web', endpoint: {} }),
  },
  'remove sandbox': {
    run: ({ engine }, options) => engine.sandboxes.remove('web', options),
    prepare: ({ engine }) => engine.networks.connect('dual', { sandbox: 'web', endpoint: {} }),
  },
};

for (const [name, { run, prepare }] of Object.entries(UNMAKING)) {
  test(`${name}: a change that fails does not stop the rest, and the sweep finds what it left`, async () => {
    await using twin = await prepared();
    await prepare?.(twin);
    const { changes } = (await run(twin, { dryRun: true })).plan;
    assert.ok(changes.length > 1);
    for (const failing of changes.keys()) {
      await using bench = await prepared();
      await prepare?.(bench);
      const before = await everything(bench);
      let nth = 0;
      bench.kernel.failWhen = () => nth++ === failing;
      let refused = false;
      const outcome = await run(bench).catch(() => {
        refused = true;
      });
      bench.kernel.failWhen = undefined;
      if (refused) {
        assert.deepEqual(await everything(bench), before, 'refused only when nothing changed');
        await run(bench);
      } else assert.ok((outcome?.warnings.length ?? 0) > 0);
      await bench.engine.reconcile();
      assert.deepEqual(await bench.engine.reconcile(), []);
      const state = JSON.stringify(kernelState(bench.kernel));
      const gone = changes.flatMap((change) => (change.kind === 'link' && change.op === 'remove' ? [change] : []));
      assert.equal(gone.length > 0, true);
      const owners = new Set(
        [...bench.engine.networks.list(), ...bench.engine.sandboxes.list().flatMap((one) => [one, ...one.endpoints])].map(
          ({ id }) => id as string,
        ),
      );
      for (const { state: link } of bench.kernel.spaces.get(HOST).links.values()) {
        if (link.alias !== '') assert.ok(owners.has(link.alias.split(':')[2] ?? ''), `${link.name} is an orphan in ${state}`);
      }
    }
  });

  test(`${name}: when nothing can be removed, nothing has changed`, async () => {
    await using bench = await prepared();
    await prepare?.(bench);
    const before = await everything(bench);
    bench.kernel.failWhen = () => true;
    await assert.rejects(run(bench), /Operation not permitted/);
    bench.kernel.failWhen = undefined;
    assert.deepEqual(await everything(bench), before);
    await run(bench);
  });
}

test('each write to the store that fails leaves everything as before', async () => {
  let failing = Number.POSITIVE_INFINITY;
  let nth = 0;
  const between = {
    store: (store: Store): Store => ({
      ...store,
      get: store.get,
      list: store.list,
      watch: store.watch,
      lease: store.lease,
      commit: async (writes) => {
        if (nth++ === failing) throw new MoorError('unavailable', 'disk full');
        return await store.commit(writes);
      },
      [Symbol.asyncDispose]: async () => {},
    }),
  };
  await using bench = await prepared({ between });
  const before = await everything(bench);
  for (const operation of [
    ...Object.values(MAKING),
    ...Object.values(UNMAKING)
      .slice(0, 1)
      .map(({ run }) => run),
  ]) {
    for (failing = 0; ; failing++) {
      nth = 0;
      const done = await operation(bench).then(
        () => true,
        (error: unknown) => {
          assert.match(String(error), /disk full/);
          return false;
        },
      );
      if (done) break;
      assert.deepEqual(await everything(bench), before);
    }
    assert.ok(failing > 0, 'at least one write');
    // Back to the start for the next one.
    failing = Number.POSITIVE_INFINITY;
    for (const { name } of bench.engine.sandboxes.list()) if (name === 'new') await bench.engine.sandboxes.remove(name);
    for (const { name } of bench.engine.networks.list()) if (name === 'new') await bench.engine.networks.remove(name);
    if (bench.engine.sandboxes.get('web').endpoints.length > 1) await bench.engine.networks.disconnect('dual', 'web');
  }
});
