/**
 * What a packet between containers on two hosts costs: each backend beside the same made by hand with the kernel's means, and beside socat.
 * Every contestant has a pair of hosts of its own, all alike; the same servers and clients for everybody.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Pair, pairByHand, pairOfDaemons } from '../hosts.ts';
import { type Row, type Summary, summarise } from '../result.ts';
import { numbers } from '../rounds.ts';
import { output, startServer } from '../running.ts';
import type { Part } from '../world.ts';

const WHO = ['routes', 'host-gw', 'kernel vxlan', 'vxlan', 'udp', 'socat'] as const;
type Who = (typeof WHO)[number];

const MEASURES = ['1 on', '4 on', '1 off', '4 off', 'packets', 'ping'] as const;
type Measure = (typeof MEASURES)[number];
type Samples = Readonly<Record<Measure, Record<Who, number[]>>>;

const STREAMS = [1, 4] as const;
/** Rounds of a full run: a turn of everybody takes most of a minute. */
const ROUNDS = 5;
/** Milliseconds between two turns. */
const PAUSE = 50;
/** Packets/s that are offered, rising until more than LOSS_PERCENT of them do not arrive. */
const OFFERED = [25_000, 50_000, 100_000, 200_000, 400_000] as const;
const LOSS_PERCENT = 1;
/** Bytes of payload of an IPv4 packet of 64 with UDP in it. */
const PAYLOAD = 36;

export const hosts: Part = async ({ sizes, say }) => {
  await using stack = new AsyncDisposableStack();
  const pairs: Readonly<Record<Who, Pair>> = {
    routes: stack.use(await pairByHand('routes')),
    'kernel vxlan': stack.use(await pairByHand('kernel vxlan')),
    socat: stack.use(await pairByHand('socat')),
    'host-gw': stack.use(await pairOfDaemons('host-gw')),
    vxlan: stack.use(await pairOfDaemons('vxlan')),
    udp: stack.use(await pairOfDaemons('udp')),
  };
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
  let most = 0;
  for (const offered of OFFERED) {
    const rate = ['--udp', '--length', String(PAYLOAD), '--bitrate', String(offered * PAYLOAD * 8)];
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

/** What each backend is compared with. */
const LIKE = { 'host-gw': 'routes', vxlan: 'kernel vxlan', udp: 'kernel vxlan' } as const;
const BACKENDS = ['host-gw', 'vxlan', 'udp'] as const;
/** Of the same by hand, with offloads on the underlay and without (issue 5). */
const GOAL = {
  'host-gw': { on: 0.98, off: 0.98 },
  vxlan: { on: 0.98, off: 0.98 },
  udp: { on: 0.9, off: 0.8 },
} as const;
const GOAL_SOCAT = 10;
const GOAL_PACKETS = 200_000;

function rowsOf(samples: Samples): readonly Row[] {
  const row = (what: string, values: Row['values'], more: Partial<Row> & Pick<Row, 'unit'>): Row => ({
    part: 'hosts',
    what,
    values,
    ...more,
  });
  const beside = (measure: Measure, backend: (typeof BACKENDS)[number]): Row['values'] => ({
    moorline: summarise(samples[measure][backend]),
    kernel: summarise(samples[measure][LIKE[backend]]),
    ...(backend === 'udp' ? { socat: summarise(samples[measure].socat) } : {}),
  });
  /** Round by round, so that both numbers are of the same few seconds. */
  const over = (measure: Measure, one: Who, reference: Who): Summary =>
    summarise(samples[measure][one].map((value, round) => value / (samples[measure][reference][round] ?? Number.NaN)));
  const tcp = (['on', 'off'] as const).flatMap((state) =>
    STREAMS.flatMap((streams) =>
      BACKENDS.flatMap((backend) => {
        const measure: Measure = `${streams} ${state}`;
        const like = over(measure, backend, LIKE[backend]);
        const ratio = { unit: 'x', rate: true, ...(streams === 1 ? { budget: GOAL[backend][state] } : {}) } as const;
        const first = row(`TCP, ${streams} x, offloads ${state}, ${backend}`, beside(measure, backend), {
          unit: 'Gbit/s',
          rate: true,
        });
        const rows = [first, row(`- over ${LIKE[backend]} by hand`, { moorline: like }, ratio)];
        if (backend !== 'udp') return rows;
        const socat = { moorline: over(measure, 'udp', 'socat') };
        return [...rows, row('- over socat', socat, { unit: 'x', rate: true, budget: GOAL_SOCAT })];
      }),
    ),
  );
  return [
    ...tcp,
    ...BACKENDS.map((backend) =>
      row(`packets of 64 bytes, ${backend}`, beside('packets', backend), {
        unit: 'packets/s',
        rate: true,
        ...(backend === 'udp' ? { budget: GOAL_PACKETS, note: `iperf3, at most ${LOSS_PERCENT} % lost` } : {}),
      }),
    ),
    ...BACKENDS.map((backend) => row(`round trip, ${backend}`, beside('ping', backend), { unit: 'ms' })),
  ];
}
