/** The part `hosts` as rows: who takes part, what is measured, and what it is compared with. */
import { type Row, summarise } from './result.ts';

const BACKENDS = ['host-gw', 'vxlan', 'udp'] as const;
type Backend = (typeof BACKENDS)[number];

/** By hand, what a backend is compared with: the first two with a firewall, as they have one; `udp` with the kernel's best, which has none. */
const LIKE = { 'host-gw': 'routes, firewall', vxlan: 'kernel vxlan, firewall', udp: 'kernel vxlan' } as const;
/** The same without, which is all there is with IPv6. */
const BARE = { 'host-gw': 'routes', vxlan: 'kernel vxlan', udp: 'kernel vxlan' } as const;

const TUNNELS = ['socat', 'tinc', 'tinc, no crypto', 'nebula', 'wireguard-go'] as const;

/** In the order of their turns. With a 6: IPv6 on the wire and inside. */
export const WHO = [
  'routes',
  'routes, firewall',
  'host-gw',
  'kernel vxlan, firewall',
  'vxlan',
  'kernel vxlan',
  'udp',
  ...TUNNELS,
  'routes 6',
  'host-gw 6',
  'kernel vxlan 6',
  'vxlan 6',
  'udp 6',
] as const;
export type Who = (typeof WHO)[number];

export const STREAMS = [1, 4] as const;

/** `N on`: Gbit/s of TCP, N streams, offloads on; `cpu on`: milliseconds of CPU for a Gbit of one stream. */
export const MEASURES = ['1 on', '4 on', '1 off', '4 off', 'cpu on', 'cpu off', 'packets', 'ping'] as const;
export type Measure = (typeof MEASURES)[number];

/** A number a round. */
export type Samples = Readonly<Record<Measure, Readonly<Record<Who, number[]>>>>;

/** So many packets may be lost of a rate that counts as carried. */
export const LOSS_PERCENT = 1;

/** Of the same by hand, one stream, with offloads on the underlay and without (issue 5). */
const GOAL = {
  'host-gw': { on: 0.98, off: 0.98 },
  vxlan: { on: 0.98, off: 0.98 },
  udp: { on: 0.9, off: 0.8 },
} as const;
/** How many times as much `udp` has to carry (issue 5). */
const GOAL_OVER = { socat: 10, tinc: 10, 'tinc, no crypto': 10, nebula: 10, 'wireguard-go': 3 } as const;
const GOAL_PACKETS = 200_000;
/** Of IPv4: "as fast as"; 0.95 counts as equal, as everywhere here. */
const GOAL_IPV6 = 0.95;

type Options = Partial<Row> & Pick<Row, 'unit'>;

type Values = Row['values'];

/** No row, where ours took no part. */
const row = (what: string, values: Values, options: Options): readonly Row[] =>
  values.moorline === undefined ? [] : [{ part: 'hosts', what, values, ...options }];

/** @param samples who took no part has none */
export function rowsOf(samples: Samples): readonly Row[] {
  const measured = <Name extends keyof Values>(name: Name, numbers: readonly number[]): Values =>
    numbers.length === 0 ? {} : { [name]: summarise(numbers) };
  /** Round by round, so that both numbers are of the same few seconds. */
  const over = (measure: Measure, one: Who, reference: Who): Values => {
    const others = samples[measure][reference];
    if (others.length === 0) return {};
    return measured(
      'moorline',
      samples[measure][one].map((value, round) => value / (others[round] ?? Number.NaN)),
    );
  };
  const others = (measure: Measure): Values =>
    TUNNELS.reduce<Values>((all, tunnel) => ({ ...all, ...measured(tunnel, samples[measure][tunnel]) }), {});
  const beside = (measure: Measure, backend: Backend): Values => ({
    ...measured('moorline', samples[measure][backend]),
    ...measured('kernel', samples[measure][LIKE[backend]]),
    ...(backend === 'udp' ? others(measure) : {}),
  });
  const sixth = (measure: Measure, backend: Backend): Values => ({
    ...measured('moorline', samples[measure][`${backend} 6`]),
    ...measured('kernel', samples[measure][`${BARE[backend]} 6`]),
  });
  const rate = { unit: 'x', rate: true } as const;
  const tcp = (['on', 'off'] as const).flatMap((state) =>
    STREAMS.flatMap((streams) =>
      BACKENDS.flatMap((backend) => {
        const measure: Measure = `${streams} ${state}`;
        const like = LIKE[backend];
        const what = `TCP, ${streams} x, offloads ${state}, ${backend}`;
        const goal = streams === 1 ? { budget: GOAL[backend][state] } : {};
        return [
          ...row(what, beside(measure, backend), { unit: 'Gbit/s', rate: true }),
          ...row(`- over ${like} by hand`, over(measure, backend, like), { ...rate, ...goal }),
          ...(backend === 'udp' ? [] : row(`- over ${BARE[backend]} by hand`, over(measure, backend, BARE[backend]), rate)),
          ...(backend === 'udp' ? TUNNELS : []).flatMap((tunnel) =>
            row(`- over ${tunnel}`, over(measure, backend, tunnel), { ...rate, budget: GOAL_OVER[tunnel] }),
          ),
          ...row('- with IPv6', sixth(measure, backend), { unit: 'Gbit/s', rate: true }),
          ...row('- - over IPv4', over(measure, `${backend} 6`, backend), { ...rate, budget: GOAL_IPV6 }),
        ];
      }),
    ),
  );
  return [
    ...tcp,
    ...(['on', 'off'] as const).flatMap((state) =>
      BACKENDS.flatMap((backend) => [
        ...row(`CPU, 1 x, offloads ${state}, ${backend}`, beside(`cpu ${state}`, backend), { unit: 'ms/Gbit' }),
        ...row('- with IPv6', sixth(`cpu ${state}`, backend), { unit: 'ms/Gbit' }),
      ]),
    ),
    ...BACKENDS.flatMap((backend) => {
      const goal = backend === 'udp' ? { budget: GOAL_PACKETS, note: `at most ${LOSS_PERCENT} % lost` } : {};
      const unit = { unit: 'packets/s', rate: true } as const;
      return [
        ...row(`packets of 64 bytes, ${backend}`, beside('packets', backend), { ...unit, ...goal }),
        ...row('- with IPv6', sixth('packets', backend), unit),
      ];
    }),
    ...BACKENDS.flatMap((backend) => [
      ...row(`round trip, ${backend}`, beside('ping', backend), { unit: 'ms' }),
      ...row('- with IPv6', sixth('ping', backend), { unit: 'ms' }),
    ]),
  ];
}
