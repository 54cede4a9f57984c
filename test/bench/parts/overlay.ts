/**
 * Overlay networks: throughput beside a VXLAN made by hand in namespaces alike, how long a new container takes to be reached from another host, and
 * ten thousand endpoints of others at once.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { newId } from '../../../src/base/ids.ts';
import { parseIp } from '../../../src/base/ip.ts';
import { macFromIpv4 } from '../../../src/base/mac.ts';
import { endpointText } from '../../../src/cluster/endpoint-values.ts';
import { dockerOf, loadBusybox } from '../../support/docker.ts';
import { base64 } from '../../support/etcd.ts';
import { cpuOf, FIRST, namespaceOf } from '../cpu.ts';
import type { Sizes } from '../options.ts';
import { type Row, summarise } from '../result.ts';
import { numbers } from '../rounds.ts';
import { output, startServer } from '../running.ts';
import { type Ends, inSegment, NETWORK, type Segments, startSegments } from '../segments.ts';
import type { Part } from '../world.ts';

const PART = 'overlay';
/** Of what the kernel does by hand. */
const GOAL = 0.97;
/** Endpoints of another host, told at once. */
const MANY = 10_000;
/** Who has them. */
const PRETENDED = 'h9';
/** etcd takes 128 operations in a transaction. */
const TRANSACTION = 100;
/** Milliseconds between two turns. */
const PAUSE = 50;
/** Milliseconds of rest before memory is read. */
const REST = 3_000;

export const overlay: Part = async ({ sizes, say }) => {
  await using segments = await startSegments();
  const rows = await throughput(segments, sizes);
  say('overlay: throughput');
  rows.push(...(await firstPing(segments, sizes.rounds * 4)));
  say('overlay: from docker run to a ping');
  rows.push(...(await many(segments)));
  return rows;
};

/** Gbit/s of TCP, as it arrives. */
async function rate({ client, address }: Ends, streams: number, first: readonly string[]): Promise<number> {
  const text = await output(
    [...client, ...first],
    'iperf3',
    '--client',
    address,
    '--time',
    '1',
    '--parallel',
    String(streams),
    '--json',
  );
  const { end } = JSON.parse(text) as { readonly end: { readonly sum_received: { readonly bits_per_second: number } } };
  return end.sum_received.bits_per_second / 1e9;
}

async function throughput({ ours, byHand }: Segments, { rounds, realTime }: Sizes): Promise<Row[]> {
  await using stack = new AsyncDisposableStack();
  // Both ends; what is between them is done by the kernel in their name.
  const run = realTime ? FIRST : [];
  for (const { server } of [ours, byHand])
    stack.use(await startServer([...server, ...run], 'iperf3', '--server', '--forceflush'));
  const rows: Row[] = [];
  for (const streams of [1, 4]) {
    const samples: { readonly ours: number; readonly byHand: number }[] = [];
    for (const round of numbers(0, rounds)) {
      // In both orders.
      const first = round % 2 === 0;
      const a = await rate(first ? ours : byHand, streams, run);
      await sleep(PAUSE);
      const b = await rate(first ? byHand : ours, streams, run);
      await sleep(PAUSE);
      if (round > 0) samples.push({ ours: first ? a : b, byHand: first ? b : a });
    }
    rows.push(
      {
        part: PART,
        what: `TCP, ${streams} x`,
        unit: 'Gbit/s',
        rate: true,
        values: {
          moorline: summarise(samples.map((one) => one.ours)),
          kernel: summarise(samples.map((one) => one.byHand)),
        },
      },
      {
        part: PART,
        what: '- over VXLAN by hand, of pairs',
        unit: 'x',
        rate: true,
        budget: GOAL,
        values: { moorline: summarise(samples.map((one) => one.ours / one.byHand)) },
      },
    );
  }
  return rows;
}

/** From `docker run` on one host to the first answer to a ping from a container on the other, which begins when that one knows the address. */
async function firstPing({ hosts, ours }: Segments, times: number): Promise<Row[]> {
  await loadBusybox(hosts[2].daemon);
  const docker = dockerOf(hosts[2].daemon);
  const samples: number[] = [];
  for (const n of numbers(1, times)) {
    const address = `10.0.9.${n}`;
    const known = knows(inSegment(hosts[1]), address);
    await known.watching;
    const began = performance.now();
    const run = docker.ok('run', '-d', '--name', `b${n}`, '--network', NETWORK, '--ip', address, 'busybox', 'sleep', '1000');
    await known.told;
    while (!(await answers(ours.client, address))) await sleep(1);
    samples.push(performance.now() - began);
    await run;
    await docker.ok('rm', '-f', `b${n}`);
  }
  const sorted = samples.toSorted((a, b) => a - b);
  const worst = sorted[Math.ceil(0.99 * sorted.length) - 1] ?? 0;
  return [
    { part: PART, what: 'docker run to a ping from another host', unit: 'ms', values: { moorline: summarise(samples) } },
    { part: PART, what: '- 99th percentile', unit: 'ms', values: { moorline: summarise([worst]) } },
  ];
}

/** When the other host has an entry for an address: ip-monitor(8). */
function knows(
  segment: readonly string[],
  address: string,
): { readonly watching: Promise<unknown>; readonly told: Promise<void> } {
  const line = [...segment, 'sh', '-c', 'echo watching; exec ip monitor neigh'];
  const child = spawn(line[0] ?? '', line.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout });
  const watching = once(lines, 'line');
  const told = (async () => {
    for await (const line of lines) if (line.startsWith(`${address} `)) break;
    child.kill('SIGKILL');
  })();
  return { watching, told };
}

async function answers(client: readonly string[], address: string): Promise<boolean> {
  try {
    await output(client, 'ping', '-n', '-q', '-c', '1', '-W', '1', address);
    return true;
  } catch {
    return false;
  }
}

/** Endpoints of a host that does not exist, put into the store in its name: until the last one's entries are in this host's kernel. */
async function many({ hosts, store }: Segments): Promise<Row[]> {
  const { daemon } = hosts[1];
  const { Id: network } = (await daemon.request('GET', `/networks/${NETWORK}`)).json() as { readonly Id: string };
  const generation = await pretend(store, PRETENDED);
  const segment = inSegment(hosts[1]);
  const count = async (): Promise<number> =>
    Number(await output(segment, 'sh', '-c', 'ip neigh show dev vxlan0 nud permanent | wc -l; true'));
  const before = await count();
  await sleep(REST);
  const memory = residentOf(daemon.pid());
  const puts = Array.from({ length: MANY }, (_, i) => {
    const [id, address] = [newId(), parseIp(`10.0.${20 + (i >> 8)}.${i & 255}`)];
    const value = endpointText({
      ...{ id, sandbox: `x${i}`, sandboxId: newId(), mac: macFromIpv4(address), addresses: [address], names: [`x${i}`] },
      ...{ node: PRETENDED, generation },
    });
    return { request_put: { key: base64(`/test/endpoints/${network}/${id}`), value: base64(value) } };
  });
  const moord = new Set([namespaceOf(daemon.holder)]);
  const cpu = cpuOf(moord);
  const began = performance.now();
  for (let at = 0; at < MANY; at += TRANSACTION) await store.gateway('kv/txn', { success: puts.slice(at, at + TRANSACTION) });
  const stored = performance.now();
  while ((await count()) < before + MANY) await sleep(10);
  const done = performance.now();
  await sleep(REST);
  const one = (value: number, unit: Row['unit'], what: string): Row => ({
    part: PART,
    what,
    unit,
    values: { moorline: summarise([value]) },
  });
  return [
    one(done - began, 'ms', `${MANY} endpoints of another host, from the first in the store to the last in the kernel`),
    one(done - stored, 'ms', '- after the last was in the store'),
    one(cpuOf(moord) - cpu, 'ms', '- of a CPU for moord'),
    one((residentOf(daemon.pid()) - memory) / MANY, 'kB', 'memory of moord for one of them'),
  ];
}

/** A third host, as the second one is, that is nothing but an entry of the store. @returns its generation */
async function pretend(store: Segments['store'], name: string): Promise<number> {
  const { kvs = [] } = (await store.gateway('kv/range', { key: base64('/test/nodes/h2') })) as {
    readonly kvs?: readonly { readonly value: string }[];
  };
  const node = JSON.parse(Buffer.from(kvs[0]?.value ?? '', 'base64').toString()) as { readonly generation: number };
  await store.put(`/test/nodes/${name}`, JSON.stringify({ ...node, addresses: ['10.9.0.9'] }));
  return node.generation;
}

/** kB */
const residentOf = (pid: number): number => Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
