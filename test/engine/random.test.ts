/** Random operations against a model of names and attachments; drift and restarts in between. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MoorError } from '../../src/base/errors.ts';
import { HOST } from '../../src/contracts/change.ts';
import { assertNames, type Bench, kernelState, newWorld, start, usage } from './setup.ts';

const NETWORKS = ['n0', 'n1', 'n2'] as const;
const SANDBOXES = ['s0', 's1'] as const;

type Step =
  | { readonly do: 'make-network' | 'drop-network'; readonly network: string; readonly six: boolean }
  | { readonly do: 'make-sandbox' | 'drop-sandbox'; readonly sandbox: string; readonly networks: readonly string[] }
  | { readonly do: 'connect' | 'disconnect'; readonly network: string; readonly sandbox: string }
  | { readonly do: 'restart' | 'reboot' | 'flush' | 'cut' };

const network = fc.constantFrom(...NETWORKS);
const sandbox = fc.constantFrom(...SANDBOXES);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constantFrom('make-network', 'make-network', 'drop-network'), network, six: fc.boolean() }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom('make-sandbox', 'make-sandbox', 'drop-sandbox'),
      sandbox,
      networks: fc.uniqueArray(network, { maxLength: 3 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('connect', 'disconnect'), network, sandbox }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('restart', 'reboot', 'flush', 'cut') }) },
);

/** network -> exists; sandbox -> networks */
interface Model {
  readonly networks: Set<string>;
  readonly sandboxes: Map<string, Set<string>>;
}

/** Whether the model lets a step happen; if so, it has. */
function allowed({ networks, sandboxes }: Model, one: Step): boolean {
  switch (one.do) {
    case 'make-network':
      if (networks.has(one.network)) return false;
      networks.add(one.network);
      return true;
    case 'drop-network':
      if (!networks.has(one.network) || [...sandboxes.values()].some((on) => on.has(one.network))) return false;
      networks.delete(one.network);
      return true;
    case 'make-sandbox':
      if (sandboxes.has(one.sandbox) || one.networks.some((name) => !networks.has(name))) return false;
      sandboxes.set(one.sandbox, new Set(one.networks));
      return true;
    case 'drop-sandbox':
      return sandboxes.delete(one.sandbox);
    case 'connect': {
      const on = sandboxes.get(one.sandbox);
      if (on === undefined || !networks.has(one.network) || on.has(one.network)) return false;
      on.add(one.network);
      return true;
    }
    case 'disconnect':
      return sandboxes.get(one.sandbox)?.delete(one.network) ?? false;
    case 'restart':
    case 'reboot':
    case 'flush':
    case 'cut':
      return true;
  }
}

async function perform(bench: Bench, one: Step): Promise<void> {
  const { engine } = bench;
  switch (one.do) {
    case 'make-network':
      await engine.networks.create({ name: one.network, ipv6: one.six });
      break;
    case 'drop-network':
      await engine.networks.remove(one.network);
      break;
    case 'make-sandbox':
      await engine.sandboxes.create({ name: one.sandbox, networks: one.networks.map((name) => ({ network: name })) });
      break;
    case 'drop-sandbox':
      await engine.sandboxes.remove(one.sandbox);
      break;
    case 'connect':
      await engine.networks.connect(one.network, { sandbox: one.sandbox, endpoint: {} });
      break;
    case 'disconnect':
      await engine.networks.disconnect(one.network, one.sandbox);
      break;
    case 'flush':
      bench.kernel.tables.clear();
      break;
    case 'cut': {
      const host = bench.kernel.spaces.get(HOST);
      const [first] = [...host.links.keys()].filter((name) => name.startsWith('veth') || name.startsWith('br-'));
      if (first !== undefined) host.removeLink(first);
      break;
    }
    case 'restart':
    case 'reboot':
      break;
  }
}

function compare(bench: Bench, { networks, sandboxes }: Model): void {
  const { engine, kernel, ipam } = bench;
  assertNames(bench);
  const own = engine.networks.list().filter(({ predefined }) => !predefined);
  assert.deepEqual(new Set(own.map(({ name }) => name)), networks);
  const found = new Map(
    engine.sandboxes
      .list()
      .map(({ name, endpoints }) => [name, new Set(endpoints.map(({ networkId }) => engine.networks.get(networkId).name))]),
  );
  assert.deepEqual(found, sandboxes);
  const addresses = engine.sandboxes
    .list()
    .flatMap(({ endpoints }) => endpoints.flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6].filter((one) => one !== null)));
  assert.equal(new Set(addresses).size, addresses.length, 'an address was given twice');
  const gateways = engine.networks.list().flatMap(({ pools }) => pools.filter(({ gateway }) => gateway !== null));
  const used = usage(ipam).reduce((sum, pool) => sum + pool.used, 0n);
  assert.equal(used, BigInt(gateways.length + addresses.length), 'an address was lost or kept');
  for (const { netns, endpoints } of engine.sandboxes.list()) {
    if (netns.type === 'host') continue;
    const inside = kernel.spaces.get(netns.path);
    assert.deepEqual(
      [...inside.links.keys()].toSorted(),
      ['lo', ...endpoints.map(({ interfaceName }) => interfaceName)].toSorted(),
    );
    const ways = inside.routes.filter(({ destination, table = 254 }) => destination === '0.0.0.0/0' && table === 254);
    assert.equal(ways.length, endpoints.length > 0 ? 1 : 0);
  }
}

test('any sequence of operations, restarts and drift does what the model says, and goes without a trace', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 40 }), async (steps) => {
      let world = newWorld();
      let bench = await start({ world });
      const empty = JSON.stringify(kernelState(world.kernel));
      const model: Model = { networks: new Set(), sandboxes: new Map() };
      for (const one of steps) {
        if (one.do === 'restart' || one.do === 'reboot') {
          await bench[Symbol.asyncDispose]();
          if (one.do === 'reboot') world = { ...newWorld(), store: world.store };
          bench = await start({ world });
        } else if (allowed(model, one)) {
          await perform(bench, one);
          if (one.do === 'flush' || one.do === 'cut') await bench.engine.reconcile();
        } else await assert.rejects(perform(bench, one), MoorError);
        compare(bench, model);
      }
      for (const name of model.sandboxes.keys()) await bench.engine.sandboxes.remove(name);
      for (const name of model.networks) await bench.engine.networks.remove(name);
      assert.deepEqual(
        usage(bench.ipam).map(({ used }) => used),
        [1n],
      );
      assert.deepEqual(await bench.engine.reconcile(), []);
      assert.equal(withoutForwarding(JSON.stringify(kernelState(world.kernel))), withoutForwarding(empty));
      await bench[Symbol.asyncDispose]();
      const left = (await world.store.list('')).entries.map(({ key }) => key.slice(0, key.indexOf('/')));
      assert.deepEqual(left, ['meta', 'meta', 'network', 'network', 'network']);
    }),
    { numRuns: 100 },
  );
});

const withoutForwarding = (state: string): string => state.replaceAll(/"mac":"[0-9a-f:]*"/g, '');
