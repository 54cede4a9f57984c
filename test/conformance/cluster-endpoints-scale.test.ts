// test-timeout: 120 s
/**
 * 10,000 endpoints of other hosts on one network, in the store in memory: what one more costs each host that takes part, and those that do not. The
 * counts are checked; what the clock says is printed (src/cluster/README.md has a run).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { IpAddress } from '../../src/base/ip.ts';
import type { Mac } from '../../src/base/mac.ts';
import { endpointText } from '../../src/cluster/endpoint-values.ts';
import { endpointKey, nodeKey } from '../../src/cluster/keys.ts';
import { nodeText } from '../../src/cluster/values.ts';
import type { LocalEndpoint } from '../../src/model/node.ts';
import { createMemoryStore } from '../../src/store/memory/store.ts';
import { Line, VirtualTime } from '../support/virtual-cluster.ts';
import { endpoint } from './cluster-endpoints.ts';
import { overlay, pool } from './cluster-segments.ts';
import { type ClusterWorld, TestNode, until } from './cluster-world.ts';

const ENDPOINTS = 10_000;
const NODES = 50;
const MORE = 100;

const hex = (value: number): string => value.toString(16).padStart(2, '0');
const addressOf = (i: number): string => `10.5.${(i >> 8) + 1}.${i & 255}`;
const far = (i: number): LocalEndpoint =>
  endpoint(`container-${i}`, addressOf(i), { mac: `02:42:0a:05:${hex(i >> 8)}:${hex(i & 255)}` as Mac });

test('one endpoint more among 10,000 is one message to who takes part, and none to others', async (t) => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  await using store = createMemoryStore({ history: 20_000 });
  const time = new VirtualTime();
  const lines = new Map<TestNode, Line>();
  let last: Line | null = null;
  const world: ClusterWorld = {
    clock: time,
    sleep: time.sleep,
    ttlMs: 30_000,
    store,
    line: async () => {
      const line = (last = new Line(store, time));
      return { store: line.store, cut: () => line.cut(), mend: () => line.mend(), kill: async () => line.kill() };
    },
    pass: (ms) => time.pass(ms),
    compact: async () => {},
    [Symbol.asyncDispose]: async () => {},
  };
  const [taking, idle] = [new TestNode(world, 1), new TestNode(world, 2)];
  for (const node of [taking, idle]) {
    await node.start();
    if (last) lines.set(node, last);
  }
  const { network } = await taking.cluster.create(overlay('net', { pools: [pool('10.5.0.0/16')] }));
  await until(world, () => idle.network('net') !== undefined);
  const generation = 1_767_225_600_000;
  for (let n = 0; n < NODES; n++) {
    const node = {
      ...{ name: `host-${n}`, addresses: [`172.16.0.${n + 1}` as IpAddress], mtu: 1500, version: '0', features: [] },
      started: '2026-01-01T00:00:00.000Z',
    };
    await store.commit([
      { type: 'put', key: nodeKey(node.name), value: nodeText({ node, generation, life: crypto.randomUUID() }) },
    ]);
  }
  const write = async (i: number): Promise<void> => {
    const one = far(i);
    const value = endpointText({ ...one, node: `host-${i % NODES}`, generation });
    await store.commit([{ type: 'put', key: endpointKey(network.id, one.id), value }]);
  };
  for (let i = 0; i < ENDPOINTS; i++) await write(i);
  await time.idle();
  collect();
  const heap = process.memoryUsage().heapUsed;
  const began = process.cpuUsage();
  taking.cluster.tell(network.id, endpoint('own', '10.5.0.2'));
  await until(world, () => taking.network('net')?.endpoints.size === ENDPOINTS);
  const started = process.cpuUsage(began);
  collect();
  const bytes = (process.memoryUsage().heapUsed - heap) / ENDPOINTS;
  await world.pass(20_000);

  for (const { calls } of lines.values()) Object.assign(calls, { get: 0, list: 0, commit: 0, lease: 0, events: 0, messages: 0 });
  taking.events = [];
  let map = taking.network('net')?.endpoints;
  const before = process.cpuUsage();
  for (let i = 0; i < MORE; i++) {
    await write(ENDPOINTS + i);
    await new Promise((resolve) => setImmediate(resolve));
    // The engine looks each time, and finds what is new by identity.
    const now = taking.network('net')?.endpoints;
    const come = [...(now?.values() ?? [])].filter((one) => map?.get(one.id) !== one);
    assert.equal(come.length, 1);
    map = now;
  }
  const more = process.cpuUsage(before);
  const quiet = { get: 0, list: 0, commit: 0, lease: 0 };
  assert.deepEqual(lines.get(taking)?.calls, { ...quiet, events: MORE, messages: MORE });
  assert.deepEqual(lines.get(idle)?.calls, { ...quiet, events: 0, messages: 0 });
  assert.equal(taking.events.filter(({ type }) => type === 'endpoints').length, MORE);

  const micro = ({ user, system }: NodeJS.CpuUsage): number => user + system;
  t.diagnostic(`taking part among ${ENDPOINTS}: ${(micro(started) / 1000).toFixed(0)} ms of CPU, ${bytes.toFixed(0)} bytes each`);
  t.diagnostic(`one more: 1 message, ${(micro(more) / MORE).toFixed(0)} µs of CPU with the engine's look`);
  for (const node of [taking, idle]) await node.stop();
});
