// test-timeout: 120 s
/**
 * 5,000 nodes, most of them only their entries in the store in memory: what it costs each other node when one joins. The counts are
 * checked; what the clock says is printed (src/cluster/README.md has a run).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { IpAddress, Prefix } from '../../src/base/ip.ts';
import { nodeKey, subnetKey } from '../../src/cluster/keys.ts';
import { nodeText, subnetText } from '../../src/cluster/values.ts';
import type { Mac } from '../../src/base/mac.ts';
import type { Id } from '../../src/base/ids.ts';
import type { Write } from '../../src/contracts/store.ts';
import { createMemoryStore } from '../../src/store/memory/store.ts';
import { Line, VirtualTime } from '../support/virtual-cluster.ts';
import { type ClusterWorld, routed, TestNode, until } from './cluster-world.ts';

const NODES = 5_000;
const OBSERVERS = 10;
const JOINS = 100;

const hex = (value: number): string => value.toString(16).padStart(2, '0');

/** The entries of a node as it writes them itself. */
function entriesOf(network: Id, i: number): readonly Write[] {
  const address = `172.16.${i >> 8}.${i & 255}` as IpAddress;
  const features = ['vxlan', 'tun', 'nft', 'udp-gso', 'udp-gro'];
  const node = {
    name: `host-${i}`,
    addresses: [address],
    mtu: 1500,
    version: '0.1.0',
    features,
    started: '2026-01-01T00:00:00.000Z',
  };
  const part = { vtep4: `0e:00:00:00:${hex(i >> 8)}:${hex(i & 255)}` as Mac, inUse: true };
  const generation = 1_767_225_600_000;
  const subnet = `10.${64 + (i >> 8)}.${i & 255}.0/24` as Prefix;
  return [
    { type: 'put', key: nodeKey(node.name), value: nodeText({ node, generation, life: crypto.randomUUID() }) },
    { type: 'put', key: subnetKey(network, subnet), value: subnetText({ node: node.name, generation, reserved: false, part }) },
  ];
}

test('one join among 5,000 nodes costs each other node two messages, and work that does not grow with their number', async (t) => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  await using store = createMemoryStore({ history: 20_000 });
  const time = new VirtualTime();
  const lines: Line[] = [];
  const world: ClusterWorld = {
    clock: time,
    sleep: time.sleep,
    ttlMs: 30_000,
    store,
    line: async () => {
      const line = new Line(store, time);
      lines.push(line);
      return { store: line.store, cut: () => line.cut(), mend: () => line.mend(), kill: async () => line.kill() };
    },
    pass: (ms) => time.pass(ms),
    compact: async () => {},
    [Symbol.asyncDispose]: async () => {},
  };
  const maker = new TestNode(world, 1);
  await maker.start();
  const network = routed('pods', '10.64.0.0/10');
  await maker.cluster.create(network);
  for (let i = 256; i < 256 + NODES; i++) await store.commit(entriesOf(network.id, i));
  await until(world, () => maker.network()?.peers.length === NODES);

  collect();
  const heap = process.memoryUsage().heapUsed;
  const began = process.cpuUsage();
  const observers = Array.from({ length: OBSERVERS }, (_, i) => new TestNode(world, 10 + i));
  for (const node of observers) await node.start();
  const peers = NODES + OBSERVERS;
  await until(world, () => observers.every((node) => node.network()?.peers.length === peers));
  const started = process.cpuUsage(began);
  collect();
  const bytes = (process.memoryUsage().heapUsed - heap) / OBSERVERS;
  await world.pass(20_000);

  // Nothing happens: nobody hears anything, and looks for itself once in 10 s.
  for (const line of lines) Object.assign(line.calls, { get: 0, list: 0, commit: 0, lease: 0, events: 0, messages: 0 });
  await world.pass(60_000);
  for (const { calls } of lines) assert.deepEqual(calls, { get: 6, list: 0, commit: 0, lease: 0, events: 0, messages: 0 });

  for (const line of lines) Object.assign(line.calls, { get: 0 });
  for (const node of observers) node.events = [];
  const before = process.cpuUsage();
  for (let i = 0; i < JOINS; i++) {
    // As a joining node does it: registration, then the lease.
    for (const write of entriesOf(network.id, 6_000 + i)) {
      await store.commit([write]);
      await new Promise((resolve) => setImmediate(resolve));
    }
    // The engine looks each time.
    for (const node of observers) node.network();
  }
  await time.idle();
  const joins = process.cpuUsage(before);
  for (const node of observers) {
    assert.equal(node.network()?.peers.length, peers + JOINS);
    assert.equal(node.events.filter(({ type }) => type === 'peers').length, JOINS);
  }
  for (const { calls } of lines)
    assert.deepEqual(calls, { get: 0, list: 0, commit: 0, lease: 0, events: 2 * JOINS, messages: 2 * JOINS });

  const micro = ({ user, system }: NodeJS.CpuUsage): number => user + system;
  const kept = performance.now();
  await world.pass(5_000);
  await observers[0]!.cluster[Symbol.asyncDispose]();
  t.diagnostic(
    `start of a node among ${NODES}: ${(micro(started) / OBSERVERS / 1000).toFixed(0)} ms of CPU, ${(bytes / 2 ** 20).toFixed(1)} MiB`,
  );
  t.diagnostic(
    `a join, for each other node: 2 messages, 2 entries, ${(micro(joins) / JOINS / (OBSERVERS + 1)).toFixed(0)} µs of CPU`,
  );
  t.diagnostic(
    `what it keeps on its disk: ${((observers[0]!.kept?.length ?? 0) / 2 ** 20).toFixed(1)} MiB; 11 nodes wrote it in ${(performance.now() - kept).toFixed(0)} ms`,
  );
  for (const node of [maker, ...observers]) await node.stop();
});
