/** Clusters whose store fails them in every way it can, for a while: afterwards everything is as if it had not. */
import assert from 'node:assert/strict';
import { MoorError } from '../../src/base/errors.ts';
import type { Id } from '../../src/base/ids.ts';
import type { IpAddress, Prefix } from '../../src/base/ip.ts';
import type { ClusterNetwork } from '../../src/contracts/cluster.ts';
import { subnetKey } from '../../src/cluster/keys.ts';
import type { Store } from '../../src/contracts/store.ts';
import type { LocalEndpoint } from '../../src/model/node.ts';
import { faultyStore, type Faults } from '../support/faulty-store.ts';
import { createRandom } from '../support/random.ts';
import { checker, type ClusterSuite, isKind } from './cluster-check.ts';
import { endpoint } from './cluster-endpoints.ts';
import { overlay, pool } from './cluster-segments.ts';
import { routed, TestNode, until } from './cluster-world.ts';

/** What a node has in this test's own books. */
interface Had {
  readonly network: Id;
  readonly endpoint: LocalEndpoint;
  readonly address: IpAddress;
}

const sorted = (list: Iterable<string>): string[] => [...list].sort();

export interface FaultSuite extends ClusterSuite {
  readonly seeds: readonly number[];
  readonly steps: number;
}

export function faultConformance(suite: FaultSuite): void {
  const check = checker(suite);

  for (const seed of suite.seeds) {
    check(`a store that fails one call in ten, seed ${seed}: nothing is given twice, nothing stays behind`, async (world) => {
      const { below, pick } = createRandom(seed);
      const random = (): number => below(2 ** 30) / 2 ** 30;
      const faults: Faults = { random, rate: 0.1 };
      const nodes = [1, 2, 3].map((number) => new TestNode(world, number));
      const had = new Map<TestNode, Map<string, Had>>();
      const subnets = new Map<Id, Prefix>();
      const subnetOf = (network: Id): Prefix => subnets.get(network) ?? assert.fail();
      const begin = async (node: TestNode): Promise<void> => {
        const line = await world.line();
        await node.start({ line: { ...line, store: faultyStore(line.store, faults) }, random });
        for (const { network, endpoint: one, address } of had.get(node)?.values() ?? []) {
          node.cluster.addresses.hold(network, address, { subnet: subnetOf(network), owner: `sandbox ${one.sandbox}` });
          node.cluster.tell(network, one);
        }
        const ready = node.cluster.complete();
        await world.pass(100);
        await ready;
      };
      for (const node of nodes) had.set(node, new Map());
      faults.rate = 0;
      for (const node of nodes) await begin(node);
      const networks: ClusterNetwork[] = [];
      for (const i of [0, 1])
        networks.push(await nodes[0]!.cluster.create(overlay(`net${i}`, { pools: [pool(`10.${i}.0.0/26`)] })));
      for (const { network } of networks) subnets.set(network.id, network.pools[0]!.subnet);
      await until(world, () => nodes.every(({ cluster }) => cluster.networks().length === 2));
      faults.rate = 0.1;

      let serial = 0;
      for (let step = 0; step < suite.steps; step++) {
        const node = pick(nodes);
        const own = had.get(node)!;
        const dice = random();
        if (dice < 0.5) {
          const { network } = pick(networks);
          const name = `s${++serial}`;
          const subnet = subnetOf(network.id);
          try {
            const address = await node.cluster.addresses.claim(network.id, { subnet, owner: `sandbox ${name}` });
            for (const others of had.values())
              for (const other of others.values())
                assert.ok(other.network !== network.id || other.address !== address, `${address} is given twice`);
            const one = endpoint(name, address);
            own.set(name, { network: network.id, endpoint: one, address });
            node.cluster.tell(network.id, one);
          } catch (error) {
            if (!(error instanceof MoorError && ['unavailable', 'timeout', 'exhausted'].includes(error.kind))) throw error;
          }
        } else if (dice < 0.85 && own.size > 0) {
          const [name, { network, endpoint: one, address }] = pick([...own]);
          own.delete(name);
          node.cluster.untell(network, one.id);
          await node.cluster.addresses.release(network, address);
        } else if (dice < 0.9) {
          node.line.cut();
          await world.pass(below(2 * world.ttlMs));
          node.line.mend();
        } else if (dice < 0.94) {
          await node.cluster[Symbol.asyncDispose]();
          await node.line.kill();
          await begin(node);
        } else await world.pass(below(1_000));
      }

      faults.rate = 0;
      const all = [...had.values()].flatMap((own) => [...own.values()]);
      for (const { network } of networks) {
        const here = all.filter((one) => one.network === network.id);
        const stored = async (folder: string): Promise<readonly string[]> =>
          (await world.store.list(`${folder}/${network.id}/`)).entries.map(({ key }) => key.split('/')[2] ?? '');
        const wanted = {
          endpoints: sorted(here.map(({ endpoint: one }) => one.id)),
          addresses: sorted([network.pools[0]!.gateway ?? '', ...here.map(({ address }) => address)]),
        };
        let found: object = {};
        await until(
          world,
          async () => {
            found = { endpoints: sorted(await stored('endpoints')), addresses: sorted(await stored('addresses')) };
            return JSON.stringify(found) === JSON.stringify(wanted);
          },
          () => ({ found, wanted }),
        );
        // Who takes part sees all the others have, and nothing else.
        for (const node of nodes) {
          const own = [...had.get(node)!.values()].filter((one) => one.network === network.id);
          const others = own.length === 0 ? [] : here.filter((one) => !own.includes(one)).map(({ endpoint: one }) => one.id);
          await until(
            world,
            () => JSON.stringify(sorted(node.network(network.name)!.endpoints.keys())) === JSON.stringify(sorted(others)),
            () => {
              const seen = new Set<string>(node.network(network.name)!.endpoints.keys());
              return {
                node: node.name,
                own: own.length,
                missing: others.filter((id) => !seen.has(id)).length,
                ghosts: [...seen].filter((id) => !others.includes(id as Id)).length,
                store: node.cluster.status().store,
                nodes: node.cluster.status().nodes.map(({ name }) => name),
                warnings: node.warnings.slice(-4),
              };
            },
          );
        }
      }
      for (const node of nodes) {
        await node.cluster[Symbol.asyncDispose]();
        await node.line.kill();
      }
    });
  }

  check('a subnet whose network is heard of later than itself is no orphan', async (world) => {
    const node = new TestNode(world, 1);
    await node.start();
    const { revision } = await world.store.list('');
    const { network } = await node.cluster.create(routed());
    const key = subnetKey(network.id, node.subnet() as Prefix);
    await node.stop();
    node.kept = null;
    const line = await world.line();
    const store: Store = {
      ...line.store,
      list: async (prefix) => (prefix === 'networks/' ? { entries: [], revision } : await line.store.list(prefix)),
      watch: async function* (prefix, from, signal) {
        if (prefix === 'networks/') await world.sleep(world.ttlMs / 2, signal);
        yield* line.store.watch(prefix, from, signal);
      },
    };
    await node.start({ line: { ...line, store } });
    await world.pass(world.ttlMs / 4);
    assert.equal(node.network(), undefined);
    assert.notEqual(await world.store.get(key), null);
    await until(world, () => node.network() !== undefined);
    await world.pass(world.ttlMs / 2);
    assert.equal(subnetKey(network.id, node.subnet() as Prefix), key);
  });

  check(
    'an address whose lease of a day ran out is another node’s then, and who had it is not told of any more',
    async (world) => {
      const [a, b] = [new TestNode(world, 1), new TestNode(world, 2)];
      await a.start();
      await b.start({ subnetTtlMs: world.ttlMs });
      const { network } = await a.cluster.create(overlay('net', { pools: [pool('10.5.0.0/24')] }));
      await until(world, () => b.network('net') !== undefined);
      const { subnet } = network.pools[0]!;
      const claim = (node: TestNode, owner: string, address?: string): Promise<IpAddress> =>
        node.cluster.addresses.claim(network.id, {
          subnet,
          owner,
          ...(address === undefined ? {} : { address: address as IpAddress }),
        });
      const [own, theirs] = [await claim(a, 'sandbox watcher'), await claim(b, 'sandbox old')];
      a.cluster.tell(network.id, endpoint('watcher', own));
      const old = endpoint('old', theirs);
      b.cluster.tell(network.id, old);
      const seen = (): string[] => sorted([...a.network('net')!.endpoints.values()].map(({ sandbox }) => sandbox));
      await until(world, () => seen().join() === 'old');
      await assert.rejects(claim(a, 'sandbox new', theirs), isKind('conflict', /in use/));
      b.line.cut();
      await until(world, async () => (await world.store.get(`addresses/${network.id}/${theirs}`)) === null);
      assert.equal(await claim(a, 'sandbox new', theirs), theirs);
      b.line.mend();
      await until(world, () => b.warnings.some(({ why }) => String(why).includes('sandbox old')));
      await until(world, () => b.cluster.status().store.reachable);
      await world.pass(2 * world.ttlMs);
      assert.deepEqual(seen(), []);
      assert.match((await world.store.get(`addresses/${network.id}/${theirs}`))?.value ?? '', /"n1"/);
      // When the other one goes, it is this one's again.
      await a.cluster.addresses.release(network.id, theirs);
      await until(world, () => seen().join() === 'old');
      for (const node of [a, b]) {
        await node.cluster[Symbol.asyncDispose]();
        await node.line.kill();
      }
    },
  );
}
