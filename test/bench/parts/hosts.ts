/**
 * What a packet between containers on two hosts costs: each backend beside the same made by hand with the kernel's means, beside tunnels of
 * others, and with IPv6. Every contestant has a pair of hosts of its own, all alike; the same servers and clients for everybody.
 */
import { isIPv6 } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { cpuOf, FIRST, namespaceOf, prefer } from '../cpu.ts';
import { type Flooded, startFlooded } from '../flood.ts';
import { type Pair, pairBy, pairByHand, pairOfDaemons } from '../hosts.ts';
import { LOSS_PERCENT, type Measure, MEASURES, rowsOf, type Samples, STREAMS, WHO, type Who } from '../hosts-rows.ts';
import { numbers } from '../rounds.ts';
import { output, startServer } from '../running.ts';
import type { Part } from '../world.ts';

const CONTESTANTS = {
  routes: () => pairByHand('routes'),
  'routes, firewall': () => pairByHand('routes', { firewall: true }),
  'host-gw': () => pairOfDaemons('host-gw'),
  'kernel vxlan, firewall': () => pairByHand('kernel vxlan', { firewall: true }),
  vxlan: () => pairOfDaemons('vxlan'),
  'kernel vxlan': () => pairByHand('kernel vxlan'),
  udp: () => pairOfDaemons('udp'),
  socat: () => pairBy('socat'),
  tinc: () => pairBy('tinc'),
  'tinc, no crypto': () => pairBy('tinc, no crypto'),
  nebula: () => pairBy('nebula'),
  'wireguard-go': () => pairBy('wireguard-go'),
  'routes 6': () => pairByHand('routes', { family: 6 }),
  'host-gw 6': () => pairOfDaemons('host-gw', 6),
  'kernel vxlan 6': () => pairByHand('kernel vxlan', { family: 6 }),
  'vxlan 6': () => pairOfDaemons('vxlan', 6),
  'udp 6': () => pairOfDaemons('udp', 6),
} as const satisfies Readonly<Record<Who, () => Promise<Pair>>>;

interface Run {
  readonly pair: Pair;
  readonly flooded: Flooded;
  /** Of both hosts, and of the second container. */
  readonly namespaces: ReadonlySet<string>;
}

/** Rounds of a full run: a turn of everybody takes two minutes. */
const ROUNDS = 5;
/** Milliseconds between two turns. */
const PAUSE = 50;
/** Packets/s that are offered, rising until more than LOSS_PERCENT of them do not arrive. */
const OFFERED = [50_000, 100_000, 200_000, 250_000, 300_000] as const;
/** Bytes of payload of a packet of 64 with UDP in it: less 8, and the IP header. */
const PAYLOAD = { 4: 36, 6: 16 } as const;

export const hosts: Part = async ({ sizes, say }) => {
  await using stack = new AsyncDisposableStack();
  const all = WHO.filter((who) => sizes.hosts.length === 0 || sizes.hosts.includes(who));
  if (all.length === 0) throw new Error(`nobody takes part: --host is one of ${WHO.join(', ')}`);
  const runs: { readonly who: Who; readonly run: Run }[] = [];
  for (const who of all) {
    const pair = stack.use(await CONTESTANTS[who]());
    await reached(who, pair);
    const server = stack.use(await startServer(pair.server, 'iperf3', '--server', '--forceflush'));
    const client = sizes.realTime ? [...pair.client, ...FIRST] : pair.client;
    const flooded = stack.use(await startFlooded({ ...pair, client }));
    const namespaces = new Set([...pair.hosts, server.child.pid ?? 0].map(namespaceOf));
    if (sizes.realTime) prefer(namespaces);
    runs.push({ who, run: { pair: { ...pair, client }, flooded, namespaces } });
  }
  const rounds = Math.min(sizes.rounds, ROUNDS);
  say(`hosts: ${runs.length} contestants, ${rounds} rounds`);
  const none = (): Record<Who, number[]> => Object.fromEntries(WHO.map((who) => [who, []])) as never;
  const samples = Object.fromEntries(MEASURES.map((measure) => [measure, none()])) as Samples;
  for (const round of numbers(1, rounds)) {
    // Measure by measure, and back and forth: what is compared is of the same few seconds, and in both orders.
    const order = round % 2 === 1 ? runs : runs.toReversed();
    const turns = async (measured: (run: Run) => Promise<Partial<Record<Measure, number>>>): Promise<void> => {
      for (const { who, run } of order) {
        for (const [measure, value] of Object.entries(await measured(run))) samples[measure as Measure][who].push(value);
        await sleep(PAUSE);
      }
    };
    for (const state of ['off', 'on'] as const) {
      for (const { run } of runs) run.pair.offload(state);
      for (const streams of STREAMS) {
        await turns(async (run) => {
          const { rate, cpu } = await throughput(run, streams);
          return { [`${streams} ${state}`]: rate, ...(streams === 1 ? { [`cpu ${state}`]: cpu } : {}) };
        });
      }
    }
    await turns(async (run) => ({ packets: await packets(run) }));
    await turns(async (run) => ({ ping: await roundTrip(run) }));
    say(`hosts: round ${round}`);
  }
  return rowsOf(samples);
};

/** @throws Error when the containers do not reach each other within 20 s: moords learn of each other after their start */
async function reached(who: Who, { client, address }: Pair): Promise<void> {
  for (const end = Date.now() + 20_000; ; await sleep(500)) {
    try {
      await output(client, 'ping', '-n', '-q', '-c', '1', '-W', '1', address);
      return;
    } catch (error) {
      if (Date.now() > end) throw new Error(`${who}: the containers do not reach each other`, { cause: error });
    }
  }
}

/** Gbit/s of TCP, as it arrives, and milliseconds of CPU for each Gbit: of both ends, and of what carries it where that is a process. */
async function throughput({ pair, namespaces }: Run, streams: number): Promise<{ readonly rate: number; readonly cpu: number }> {
  const line = ['iperf3', '--client', pair.address, '--time', '1', '--parallel', String(streams), '--json'];
  const before = cpuOf(namespaces);
  const { end } = JSON.parse(await output(pair.client, ...line)) as {
    readonly end: {
      readonly sum_received: { readonly bits_per_second: number; readonly seconds: number };
      readonly cpu_utilization_percent: { readonly host_total: number };
    };
  };
  const { bits_per_second: bits, seconds } = end.sum_received;
  // The client has ended, and tells for itself.
  const client = end.cpu_utilization_percent.host_total * seconds * 10;
  return { rate: bits / 1e9, cpu: (cpuOf(namespaces) - before + client) / ((bits * seconds) / 1e9) };
}

/** The most packets/s that arrived of an offered rate of which hardly any were lost; 0: of the lowest too many were. */
async function packets({ pair: { address }, flooded }: Run): Promise<number> {
  const payload = PAYLOAD[isIPv6(address) ? 6 : 4];
  let most = 0;
  for (const offered of OFFERED) {
    const { sent, came } = await flooded.flood(offered, payload);
    if (came < sent * (1 - LOSS_PERCENT / 100)) break;
    most = Math.max(most, came);
  }
  return most;
}

/** Milliseconds, the mean of 100. */
async function roundTrip({ pair: { client, address } }: Run): Promise<number> {
  const text = await output(client, 'ping', '-n', '-q', '-c', '100', '-i', '0.005', address);
  const mean = /= [\d.]+\/([\d.]+)\//.exec(text)?.[1];
  if (mean === undefined) throw new Error(`ping does not tell a time: ${text}`);
  return Number(mean);
}
