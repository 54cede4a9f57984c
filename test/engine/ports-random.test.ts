/** Random publishing, unpublishing, connecting, restarts and drift against a model of what each sandbox has asked for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { coalesce, partAll } from '../../src/model/ports-list.ts';
import { parsePortSpec, portCount } from '../../src/model/ports-parse.ts';
import type { PortSpec } from '../../src/model/ports.ts';
import { type Bench, newWorld, start } from './setup.ts';

/** Each has its own numbers, so that the model need not know who was first. */
const ASKED = {
  s10: ['8080:80', '8081:81', '9000-9003:9000-9003', '53/udp', '[::]:8443:443', '127.0.0.1:8082:82'],
  s11: ['8180:80', '9100-9103:9000-9003', '54:53/udp', '7000-7002:99'],
} as const;
const SANDBOXES = ['s10', 's11'] as const;
type Sandbox = (typeof SANDBOXES)[number];
/** The second has IPv6, the third has no way out. */
const NETWORKS = ['net0', 'net1', 'net2'] as const;
type Network = (typeof NETWORKS)[number];

type Step =
  | { readonly do: 'publish' | 'unpublish'; readonly sandbox: Sandbox; readonly port: number }
  | { readonly do: 'connect' | 'disconnect'; readonly sandbox: Sandbox; readonly network: Network; readonly priority: number }
  | { readonly do: 'restart' | 'flush' };

const sandbox = fc.constantFrom(...SANDBOXES);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('publish', 'publish', 'unpublish'), sandbox, port: fc.nat(5) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom('connect', 'connect', 'disconnect'),
      sandbox,
      network: fc.constantFrom(...NETWORKS),
      priority: fc.integer({ min: -1, max: 1 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('restart', 'flush') }) },
);

interface Model {
  readonly ports: Record<Sandbox, Set<string>>;
  readonly networks: Record<Sandbox, Set<Network>>;
}

async function perform({ engine, kernel }: Bench, one: Step, { ports, networks }: Model): Promise<void> {
  switch (one.do) {
    case 'publish':
    case 'unpublish': {
      const list: readonly string[] = ASKED[one.sandbox];
      const text = list[one.port % list.length] ?? '';
      const has = ports[one.sandbox].has(text);
      if (one.do === 'publish' && !has) {
        await engine.sandboxes.publish(one.sandbox, [parsePortSpec(text)]);
        ports[one.sandbox].add(text);
      } else if (one.do === 'unpublish' && has) {
        await engine.sandboxes.unpublish(one.sandbox, [parsePortSpec(text)]);
        ports[one.sandbox].delete(text);
      }
      return;
    }
    case 'connect':
      if (networks[one.sandbox].has(one.network)) return;
      await engine.networks.connect(one.network, { sandbox: one.sandbox, endpoint: { gatewayPriority: one.priority } });
      networks[one.sandbox].add(one.network);
      return;
    case 'disconnect':
      if (networks[one.sandbox].delete(one.network)) await engine.networks.disconnect(one.network, one.sandbox);
      return;
    case 'flush':
      kernel.tables.clear();
      await engine.reconcile();
      return;
    case 'restart':
  }
}

/** `tcp 0.0.0.0 80` by container port: what the families of the way out allow. */
function expected(texts: ReadonlySet<string>, networks: ReadonlySet<Network>): string[] {
  const [v4, v6] = [networks.has('net0') || networks.has('net1'), networks.has('net1')];
  return [...texts].map(parsePortSpec).flatMap(({ protocol, hostAddress, containerPorts: { from } }) => {
    const addresses = hostAddress === null ? ['0.0.0.0', '::'] : [hostAddress];
    return addresses.filter((address) => (address.includes(':') ? v6 : v4)).map((address) => `${protocol} ${address} ${from}`);
  });
}

function compare(bench: Bench, { ports, networks }: Model): void {
  const { engine, kernel } = bench;
  const held: string[] = [];
  for (const name of SANDBOXES) {
    const { ports: bindings = [], publish = [] } = engine.sandboxes.get(name);
    assert.deepEqual(
      bindings.map(({ protocol, hostAddress, containerPorts }) => `${protocol} ${hostAddress} ${containerPorts.from}`).toSorted(),
      expected(ports[name], networks[name]).toSorted(),
    );
    assert.deepEqual(coalesce(publish).length, coalesce([...ports[name]].map(parsePortSpec)).length);
    for (const { protocol, hostAddress, hostPorts } of bindings) {
      for (let port = hostPorts.from; port <= hostPorts.to; port++) held.push(`${protocol} ${hostAddress} ${port}`);
    }
    // Both families of one request have the same numbers.
    for (const spec of publish.filter((one: PortSpec) => one.hostAddress === null)) {
      const own = partAll(bindings, [{ ...spec, hostPorts: null }]).taken;
      assert.equal(new Set(own.map(({ hostPorts }) => hostPorts.from)).size, own.length === 0 ? 0 : 1);
    }
  }
  assert.equal(new Set(held).size, held.length, 'a port was given twice');
  assert.deepEqual([...kernel.hostPorts.held].toSorted(), held.toSorted());
  const sets = Object.entries(kernel.tables.get('inet moor')?.sets ?? {});
  const found = sets
    .filter(([name]) => /^(port|range)[46]/.test(name))
    .flatMap(([, values]) => Object.keys(values).map((key) => key.replace(/.* /, '')));
  // A few ports in a row may be as many elements.
  const covered = found.reduce((sum, key) => sum + (key.includes('-') ? portCount(rangeOf(key)) : 1), 0);
  assert.equal(covered, held.length);
}

const rangeOf = (text: string): { readonly from: number; readonly to: number } => {
  const [from = 0, to = from] = text.split('-').map(Number);
  return { from, to };
};

test('whatever is published, connected and restarted: what is held, what is led, and what is told are the same', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      const world = newWorld();
      let bench = await start({ world });
      await bench.engine.networks.create({ name: 'net0' });
      await bench.engine.networks.create({ name: 'net1', ipv6: true });
      await bench.engine.networks.create({ name: 'net2', internal: true });
      for (const name of SANDBOXES) await bench.engine.sandboxes.create({ name, networks: [{ network: 'net0' }] });
      const model: Model = {
        ports: { s10: new Set(), s11: new Set() },
        networks: { s10: new Set(['net0']), s11: new Set(['net0']) },
      };
      for (const one of steps) {
        await perform(bench, one, model);
        if (one.do === 'restart') {
          await bench[Symbol.asyncDispose]();
          world.kernel.hostPorts.drop();
          bench = await start({ world });
        }
        compare(bench, model);
      }
      assert.deepEqual(await bench.engine.reconcile(), []);
      for (const name of SANDBOXES) await bench.engine.sandboxes.remove(name);
      assert.equal(world.kernel.hostPorts.held.size, 0);
      await bench[Symbol.asyncDispose]();
    }),
    { numRuns: 100 },
  );
});
