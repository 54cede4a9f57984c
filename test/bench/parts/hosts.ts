/**
 * What a packet between containers on two hosts costs: each backend beside the same made by hand with the kernel's means, beside tunnels of
 * others, and with IPv6. Every contestant has a pair of hosts of its own, all alike; the same servers and clients for everybody.
 */
import { isIPv6 } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Pair, pairBy, pairByHand, pairOfDaemons } from '../hosts.ts';
import { LOSS_PERCENT, type Measure, MEASURES, rowsOf, type Samples, STREAMS, WHO, type Who } from '../hosts-rows.ts';
import { numbers } from '../rounds.ts';
import { output, startServer } from '../running.ts';
import type { Part } from '../world.ts';

const CONTESTANTS = {
  routes: () => pairByHand('routes'),
  'host-gw': () => pairOfDaemons('host-gw'),
  'kernel vxlan': () => pairByHand('kernel vxlan'),
  vxlan: () => pairOfDaemons('vxlan'),
  udp: () => pairOfDaemons('udp'),
  socat: () => pairBy('socat'),
  tinc: () => pairBy('tinc'),
  'tinc, no crypto': () => pairBy('tinc, no crypto'),
  nebula: () => pairBy('nebula'),
  'wireguard-go': () => pairBy('wireguard-go'),
  'routes 6': () => pairByHand('routes', 6),
  'host-gw 6': () => pairOfDaemons('host-gw', 6),
  'kernel vxlan 6': () => pairByHand('kernel vxlan', 6),
  'vxlan 6': () => pairOfDaemons('vxlan', 6),
  'udp 6': () => pairOfDaemons('udp', 6),
} as const satisfies Readonly<Record<Who, () => Promise<Pair>>>;

/** Rounds of a full run: a turn of everybody takes two minutes. */
const ROUNDS = 5;
/** Milliseconds between two turns. */
const PAUSE = 50;
/** Packets/s that are offered, rising until more than LOSS_PERCENT of them do not arrive. */
const OFFERED = [25_000, 50_000, 100_000, 200_000, 400_000] as const;
/** Bytes of payload of a packet of 64 with UDP in it: less 8, and the IP header. */
const PAYLOAD = { 4: 36, 6: 16 } as const;

export const hosts: Part = async ({ sizes, say }) => {
  await using stack = new AsyncDisposableStack();
  const made = new Map<Who, Pair>();
  for (const who of WHO) made.set(who, stack.use(await CONTESTANTS[who]()));
  const pairs = Object.fromEntries(made) as Readonly<Record<Who, Pair>>;
  for (const who of WHO) {
    await reached(who, pairs[who]);
    stack.use(await startServer(pairs[who].server, 'iperf3', '--server', '--forceflush'));
  }
  const rounds = Math.min(sizes.rounds, ROUNDS);
  say(`hosts: ${WHO.length} contestants, ${rounds} rounds`);
  const none = (): Record<Who, number[]> => Object.fromEntries(WHO.map((who) => [who, []])) as never;
  const samples = Object.fromEntries(MEASURES.map((measure) => [measure, none()])) as Samples;
  for (const round of numbers(1, rounds)) {
    // Measure by measure, and back and forth: what is compared is of the same few seconds, and in both orders.
    const order = round % 2 === 1 ? WHO : WHO.toReversed();
    const all = async (measure: Measure, measured: (pair: Pair) => Promise<number>): Promise<void> => {
      for (const who of order) {
        samples[measure][who].push(await measured(pairs[who]));
        await sleep(PAUSE);
      }
    };
    for (const state of ['off', 'on'] as const) {
      for (const who of WHO) pairs[who].offload(state);
      for (const streams of STREAMS) await all(`${streams} ${state}`, (pair) => throughput(pair, streams));
    }
    await all('packets', packets);
    await all('ping', roundTrip);
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

/** Gbit/s of TCP, as it arrives. */
async function throughput({ client, address }: Pair, streams: number): Promise<number> {
  const line = ['iperf3', '--client', address, '--time', '1', '--parallel', String(streams), '--json'];
  const { end } = JSON.parse(await output(client, ...line)) as {
    readonly end: { readonly sum_received: { readonly bits_per_second: number } };
  };
  return end.sum_received.bits_per_second / 1e9;
}

/** The most packets/s that arrived of an offered rate of which hardly any were lost; 0: of the lowest too many were. */
async function packets({ client, address }: Pair): Promise<number> {
  const payload = PAYLOAD[isIPv6(address) ? 6 : 4];
  let most = 0;
  for (const offered of OFFERED) {
    const rate = ['--udp', '--length', String(payload), '--bitrate', String(offered * payload * 8)];
    const text = await output(client, 'iperf3', '--client', address, ...rate, '--time', '1', '--json');
    const { sum } = (JSON.parse(text) as { readonly end: { readonly sum: Readonly<Record<string, number>> } }).end;
    const { packets: sent = 0, lost_percent: lost = 100, seconds = 1 } = sum;
    if (lost > LOSS_PERCENT) break;
    most = Math.max(most, (sent * (1 - lost / 100)) / seconds);
  }
  return most;
}

/** Milliseconds, the mean of 100. */
async function roundTrip({ client, address }: Pair): Promise<number> {
  const text = await output(client, 'ping', '-n', '-q', '-c', '100', '-i', '0.005', address);
  const mean = /= [\d.]+\/([\d.]+)\//.exec(text)?.[1];
  if (mean === undefined) throw new Error(`ping does not tell a time: ${text}`);
  return Number(mean);
}
