// test-timeout: 120 s
/**
 * Ten thousand peers in the real kernel: that none of their routes is missing for a moment, whatever happens to them, `ip monitor` says. Times are told, not
 * judged.
 */
import '../support/isolated.ts';
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { silentLogger } from '../../src/base/clock.ts';
import { parseIfAddress, parseIp, parsePrefix } from '../../src/base/ip.ts';
import { parseMac } from '../../src/base/mac.ts';
import { createKernel } from '../../src/kernel/kernel.ts';
import type { Peer, Underlay } from '../../src/model/node.ts';
import { INSTANCE, newWorld, start, type World } from '../engine/setup.ts';
import { FakeCluster, networkFrom } from '../support/fake-cluster.ts';

const COUNT = 10_000;
const ip = (...args: readonly string[]): string => execFileSync('ip', args, { encoding: 'utf8', maxBuffer: 64 << 20 });

/** @param shift of its address on the underlay */
function peerOf(n: number, shift = 0): Peer {
  const hex = (byte: number): string => byte.toString(16).padStart(2, '0');
  return {
    node: `n${String(n).padStart(5, '0')}`,
    address: parseIp(`10.${64 + ((n + shift) >> 8)}.${(n + shift) & 255}.9`),
    subnets: [parsePrefix(`10.${128 + (n >> 8)}.${n & 255}.0/24`)],
    vtep4: parseMac(`02:00:00:00:${hex(n >> 8)}:${hex(n & 255)}`),
    own: true,
  };
}
const peers = (shift = 0): Peer[] => Array.from({ length: COUNT }, (_, i) => peerOf(i, shift));

/** What the kernel told meanwhile. @returns destinations that had no route for a moment, and how many changes there were */
async function watching(work: () => Promise<void>): Promise<{ gaps: string[]; changes: number }> {
  const present = new Map<string, number>();
  const count = (destination: string, by: number): number => {
    const now = (present.get(destination) ?? 0) + by;
    present.set(destination, now);
    return now;
  };
  const destinationOf = (line: string): string | null => /(?:^|\s)(10\.1[2-6]\d\.\d+\.0\/24)\s/.exec(line)?.[1] ?? null;
  for (const line of ip('-o', '-4', 'route').split('\n')) {
    const destination = destinationOf(line);
    if (destination !== null) count(destination, 1);
  }
  const monitor = spawn('ip', ['-rcvbuf', String(64 << 20), '-o', '-4', 'monitor', 'route'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: monitor.stdout });
  const gaps: string[] = [];
  let changes = 0;
  let mark = '';
  lines.on('line', (line) => {
    const marked = /blackhole (198\.51\.100\.\d+)/.exec(line)?.[1];
    if (marked !== undefined) mark = marked;
    const destination = destinationOf(line);
    if (destination === null) return;
    changes++;
    if (count(destination, line.startsWith('Deleted') ? -1 : line.includes('replaced') ? 0 : 1) === 0) gaps.push(destination);
  });
  const sync = async (address: string): Promise<void> => {
    // What is there already, the kernel does not tell of again.
    while (mark !== address) {
      ip('route', 'add', 'blackhole', address);
      ip('route', 'del', 'blackhole', address);
      await sleep(20);
    }
  };
  await sync('198.51.100.1');
  await work();
  await sync('198.51.100.2');
  monitor.kill();
  return { gaps, changes };
}

async function until(condition: () => boolean): Promise<void> {
  const end = Date.now() + 60_000;
  while (!condition()) {
    assert.ok(Date.now() < end, 'it did not happen');
    await sleep(20);
  }
}

const routeCount = (): number => ip('-o', '-4', 'route').match(/^10\.1[2-6]\d\.\d+\.0\/24 /gm)?.length ?? 0;

for (const backend of ['host-gw', 'vxlan'] as const) {
  test(`${COUNT} peers by ${backend}`, async (t: TestContext) => {
    ip('link', 'add', 'eth1', 'type', 'veth', 'peer', 'name', 'wire');
    ip('link', 'set', 'wire', 'up');
    ip('address', 'add', '10.64.0.1/10', 'dev', 'eth1');
    ip('link', 'set', 'eth1', 'up');
    const real = await createKernel({ instance: INSTANCE, tableName: 'moor_many', logger: silentLogger });
    const world: World = newWorld();
    const underlay: Partial<Underlay> = { device: 'eth1', addresses: [parseIfAddress('10.64.0.1/10')] };
    const cluster = new FakeCluster();
    const network = { ...networkFrom({ backend }), ranges: [parsePrefix('10.128.0.0/9')] };
    const open = (): ReturnType<typeof start> => start({ world, cluster, underlay, between: { kernel: () => real } });
    const timed = async (what: string, work: () => Promise<void>): Promise<void> => {
      const began = performance.now();
      await work();
      t.diagnostic(`${what}: ${Math.round(performance.now() - began)} ms`);
    };
    try {
      {
        await using bench = await open();
        cluster.put(network, []);
        await until(() => bench.engine.networks.list().some(({ name }) => name === 'pods'));
        await timed('all of them at once', async () => {
          cluster.put(network, peers());
          // Others get their turn meanwhile.
          await sleep(50);
          const began = performance.now();
          await bench.engine.networks.create({ name: 'other', pools: [{ subnet: '192.168.77.0/24' }] });
          t.diagnostic(`another network made meanwhile: ${Math.round(performance.now() - began)} ms`);
          await until(() => bench.engine.networks.peers(network.id).length === COUNT && routeCount() === COUNT);
        });
        const resync = await watching(async () =>
          timed('compared, and right', async () => void (await bench.engine.reconcile())),
        );
        assert.deepEqual(resync, { gaps: [], changes: 0 });
      }
      // A restart.
      const restart = await watching(() =>
        timed('a restart', async () => {
          await using bench = await open();
          assert.equal(bench.engine.networks.peers(network.id).length, COUNT);
        }),
      );
      assert.deepEqual(restart, { gaps: [], changes: 0 });
      // All of them at other addresses.
      await using bench = await open();
      const moved = await watching(() =>
        timed('all of them at other addresses', async () => {
          cluster.put(network, peers(1));
          await until(() => bench.engine.networks.peers(network.id)[0]?.address === '10.64.1.9');
          await bench.engine.reconcile();
        }),
      );
      assert.deepEqual(moved.gaps, []);
      assert.equal(routeCount(), COUNT);
      if (backend === 'host-gw') assert.ok(ip('-4', 'route', 'show', '10.128.7.0/24').includes('via 10.64.8.9 '));
      else {
        const fdb = execFileSync('bridge', ['fdb', 'show', 'dev', 'moor-vx1'], { encoding: 'utf8', maxBuffer: 64 << 20 })
          .trim()
          .split('\n');
        assert.equal(fdb.length, COUNT);
        assert.ok(fdb.includes('02:00:00:00:00:07 dst 10.64.8.9 self permanent'));
      }
      // A thousand of them go.
      const gone = await watching(async () => {
        cluster.put(network, peers(1).slice(1000));
        await until(() => bench.engine.networks.peers(network.id).length === COUNT - 1000 && routeCount() === COUNT - 1000);
      });
      assert.equal(gone.gaps.length, 1000);
      // All that are left go with the network, and with all else.
      if (backend === 'host-gw') {
        await bench.engine.networks.remove('pods');
        assert.equal(routeCount(), 0);
        cluster.put(network, peers());
        await until(() => routeCount() === COUNT);
      }
      const { warnings } = await bench.engine.reset();
      assert.deepEqual([warnings, routeCount()], [[], 0]);
    } finally {
      await real[Symbol.asyncDispose]();
      ip('link', 'del', 'eth1');
    }
  });
}
