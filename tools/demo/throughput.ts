/** What passes between sandboxes of two hosts, measured with iperf3 and ping, as a table. */
import { addressOf, type Scene, settled } from './scene.ts';
import { DemoError } from './stage.ts';

export interface Throughput {
  /** Of the way between the hosts. */
  readonly name: string;
  /** Bytes. */
  readonly mtu: string;
  /** Gbit/s of TCP that arrive, with one stream and with four. */
  readonly streams: readonly [one: string, four: string];
  /** Milliseconds, the mean. */
  readonly roundTrip: string;
}

const STREAMS = [1, 4] as const;
/** iperf3's own. */
const PORT = 5201;

/** Between the first two hosts. @param name for the table */
export async function measure({ players: [from, to], signal }: Scene, name: string): Promise<Throughput> {
  const address = await addressOf(to);
  const enter = ['exec', from.sandbox, '--'];
  const rate = async (streams: number): Promise<string> => {
    await to.stage.moor(['exec', to.sandbox, '--', 'iperf3', '--server', '--one-off', '--daemon']);
    const listens = async (): Promise<boolean> =>
      (await to.daemon.moor('exec', to.sandbox, '--', 'ss', '-Hltn', `sport = :${PORT}`)).stdout !== '';
    await settled('iperf3 listens', listens, { signal });
    const line = [...enter, 'iperf3', '--client', address, '--time', '1', '--format', 'g', '--parallel', String(streams)];
    // The last of these lines is the sum, of as many streams as there are.
    const text = await from.stage.moor(line, { only: /receiver/, last: 1 });
    return last(text, /([\d.]+) Gbits\/sec\s+receiver/g);
  };
  const streams = [await rate(STREAMS[0]), await rate(STREAMS[1])] as const;
  const text = await from.stage.moor([...enter, 'ping', '-n', '-q', '-c', '100', '-i', '0.005', address], { last: 1 });
  const mtu = await from.daemon.moor(...enter, 'cat', '/sys/class/net/eth0/mtu');
  return { name, mtu: mtu.stdout.trim(), streams, roundTrip: last(text, /= [\d.]+\/([\d.]+)\//g) };
}

function last(text: string, wanted: RegExp): string {
  const value = [...text.matchAll(wanted)].at(-1)?.[1];
  if (value === undefined) throw new DemoError(`the output does not match ${wanted}: ${text}`);
  return value;
}

const HEADINGS = ['WAY', 'MTU', '1 STREAM', '4 STREAMS', 'ROUND TRIP'] as const;

/** @returns lines, with numbers to the right */
export function table(rows: readonly Throughput[]): readonly string[] {
  const cells = rows.map(({ name, mtu, streams: [one, four], roundTrip }) => [
    name,
    mtu,
    `${one} Gbit/s`,
    `${four} Gbit/s`,
    `${roundTrip} ms`,
  ]);
  const widths = HEADINGS.map((heading, i) => Math.max(heading.length, ...cells.map((row) => row[i]?.length ?? 0)));
  return [HEADINGS, ...cells].map((row) =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('   '),
  );
}
