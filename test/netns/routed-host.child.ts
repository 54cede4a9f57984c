/**
 * One host of routed-lab.ts: a process in the host's network namespace, with the real kernel layer and, where the network has one, the real tunnel. Does
 * what its parent says, one thing after the other.
 */
import { mkdirSync } from 'node:fs';
import { silentLogger } from '../../src/base/clock.ts';
import { prefixOf } from '../../src/base/ip.ts';
import type { Change } from '../../src/contracts/change.ts';
import { describe } from '../../src/contracts/describe.ts';
import { inversePlan, subsume } from '../../src/contracts/inverse.ts';
import type { HostFacts, Kernel } from '../../src/contracts/kernel.ts';
import type { Tunnel } from '../../src/contracts/tunnel.ts';
import { createBridgeDriver } from '../../src/drivers/bridge/index.ts';
import { createRoutedDriver } from '../../src/drivers/routed/index.ts';
import { Actual } from '../../src/engine/diff/actual.ts';
import { missing } from '../../src/engine/diff/missing.ts';
import { createKernel } from '../../src/kernel/kernel.ts';
import { type Instance, tableName } from '../../src/model/instance.ts';
import type { Network } from '../../src/model/network.ts';
import type { Peer, Underlay } from '../../src/model/node.ts';
import type { Endpoint } from '../../src/model/sandbox.ts';
import { openUdpTunnel } from '../../src/tunnel/udp/tunnel.ts';

export type Order =
  | { readonly do: 'up'; readonly network: Network; readonly underlay: Underlay }
  /** @returns what is not reached, in words */
  | { readonly do: 'peers'; readonly peers: readonly Peer[] }
  /** @param order.on default: the network of `up`; otherwise a bridge network, which is made */
  | { readonly do: 'sandbox'; readonly endpoint: Endpoint; readonly place: string; readonly on?: Network }
  /** @returns what of the plans of host, network and peers is not found to be there as planned, in words: by the kernel layer, and by the engine's comparison */
  | { readonly do: 'again' }
  /** This host has another address: what the engine's comparison finds wrong is put right. @returns what that was */
  | { readonly do: 'move'; readonly underlay: Underlay }
  | { readonly do: 'part' | 'tunnel' | 'down' | 'end' };

const [, , name = ''] = process.argv;
const instance: Instance = { id: 't', dataRoot: `/run/moor-${name}-data`, execRoot: `/run/moor-${name}` };
for (const folder of [instance.execRoot, instance.dataRoot]) mkdirSync(folder, { recursive: true });
const bridge = createBridgeDriver({ instance });
const driver = createRoutedDriver({ instance, local: bridge, flannelFolder: '/run/flannel' });
const kernel: Kernel = await createKernel({ instance, tableName: tableName(instance), logger: silentLogger });
const before = await kernel.facts();

let network: Network | null = null;
let underlay: Underlay | undefined;
let undo: Change[] = [];
let made: readonly Change[] = [];
let tunnel: Tunnel | null = null;
const peers = new Map<string, readonly Change[]>();

const facts = async (): Promise<HostFacts> => ({
  ...(await kernel.facts()),
  sysctls: before.sysctls,
  ...(underlay === undefined ? {} : { underlay }),
});

async function apply(changes: readonly Change[]): Promise<void> {
  const applied = await kernel.apply(changes);
  undo = [...inversePlan(changes, applied), ...undo];
  for (const [at, result] of applied.entries()) {
    const change = changes[at];
    if (result.state === 'failed' && change) throw new Error(`${name}: ${describe(change)}: ${result.error.message}`);
  }
}

async function remove(changes: readonly Change[]): Promise<void> {
  for (const result of await kernel.apply(subsume(changes), { keepGoing: true }))
    if (result.state === 'failed') throw new Error(`${name}: ${result.error.message}`);
}

async function setPeers(list: readonly Peer[]): Promise<string> {
  if (network === null) throw new Error('no network');
  const host = await facts();
  const plans = list.map((peer) => ({ peer, plan: driver.planPeer?.(network ?? fail(), peer, host) ?? fail() }));
  for (const [node, changes] of peers) {
    if (list.some((peer) => peer.node === node)) continue;
    await remove(inversePlan(changes));
    peers.delete(node);
  }
  for (const { peer, plan } of plans) {
    const wanted = new Set(plan.changes.map(describe));
    await remove(inversePlan((peers.get(peer.node) ?? []).filter((change) => !wanted.has(describe(change)))));
    const applied = await kernel.apply(plan.changes);
    for (const result of applied) if (result.state === 'failed') throw new Error(`${name}: ${result.error.message}`);
    peers.set(peer.node, plan.changes);
  }
  const spec = driver.tunnelOf?.(network, list, host) ?? null;
  if (spec !== null && tunnel === null) {
    const directory = `${instance.execRoot}/tunnel`;
    tunnel = await openUdpTunnel({ ...spec, directory, logger: silentLogger });
  } else if (spec !== null) await tunnel?.setPeers(spec);
  return plans.map(({ plan }) => plan.trouble).join('');
}

async function wrong(changes: readonly Change[]): Promise<ReturnType<typeof missing>> {
  const places = [
    ...new Set(changes.flatMap((change) => ('netns' in change && change.netns !== undefined ? [change.netns] : []))),
  ];
  const states = await kernel.snapshot(places, ['links', 'addresses', 'routes', 'rules', 'neighbours', 'fdb']);
  const table = await kernel.listTable({ family: 'inet', name: tableName(instance) });
  return missing(changes, new Actual(states, [table], await kernel.facts()), { unseen: false });
}

async function again(): Promise<readonly string[]> {
  // In two lists: of a device that a list has to do with, the kernel layer does not look at neighbours first.
  const lists = [made, [...peers.values()].flat()];
  const changes = lists.flat();
  const repairs = await wrong(changes);
  const applied = (await Promise.all(lists.map((list) => kernel.apply(list, { keepGoing: true })))).flat();
  return [
    ...repairs.map(({ change, why }) => `${describe(change)}: ${why}`),
    ...applied.flatMap((result, at) => {
      const change = changes[at];
      if (result.state === 'already' || change === undefined) return [];
      return [`${describe(change)}: ${result.state === 'failed' ? result.error.message : result.state}`];
    }),
  ];
}

async function move(): Promise<readonly string[]> {
  made = [...(bridge.planHost?.(await facts()) ?? []), ...driver.planNetwork(network ?? fail(), await facts())];
  const repairs = await wrong([...made, ...[...peers.values()].flat()]);
  for (const result of await kernel.apply(repairs.map(({ change }) => change)))
    if (result.state === 'failed') throw new Error(`${name}: ${result.error.message}`);
  return repairs.map(({ change, why }) => `${describe(change)}: ${why}`);
}

const fail = (): never => {
  throw new Error('the driver has no peers');
};

async function obey(order: Order): Promise<unknown> {
  switch (order.do) {
    case 'up':
      ({ network, underlay } = order);
      driver.check(network, []);
      made = [...(bridge.planHost?.(await facts()) ?? []), ...driver.planNetwork(network, await facts())];
      return apply(made);
    case 'peers':
      return setPeers(order.peers);
    case 'sandbox': {
      const { endpoint, place, on } = order;
      if (on !== undefined) await apply(bridge.planNetwork(on, await facts()));
      const plan = (on === undefined ? driver : bridge).planJoin(
        on ?? network ?? fail(),
        { endpoint, netns: place },
        await facts(),
      );
      await apply([{ kind: 'netns', op: 'add', path: place }, ...plan.changes]);
      // What the engine adds to a join.
      for (const via of [plan.gateway4, plan.gateway6]) {
        if (via === null) continue;
        const route = { destination: prefixOf(via, 0), via, device: endpoint.interfaceName };
        await apply([{ kind: 'route', op: 'add', netns: place, route }]);
      }
      return null;
    }
    case 'again':
      return again();
    case 'move':
      ({ underlay } = order);
      return move();
    case 'part':
      return driver.peerData?.(network ?? fail(), await facts());
    case 'tunnel':
      return tunnel?.status() ?? null;
    case 'down':
      await setPeers([]);
      await tunnel?.end();
      tunnel = null;
      await remove(undo);
      undo = [];
      made = [];
      return null;
    case 'end':
      await tunnel?.end();
      await kernel[Symbol.asyncDispose]();
      return null;
  }
}

process.on('message', (order: Order) => {
  obey(order).then(
    (value) => process.send?.({ value: value ?? null }, () => order.do === 'end' && process.exit(0)),
    (error: unknown) => process.send?.({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  );
});
process.send?.({ value: 'ready' });
