/**
 * What a published port costs whoever uses it: bytes and new connections a second by it, beside those to the container's own address,
 * from another machine and from the host. The same servers and clients for everybody.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Place, Publisher } from '../contestant.ts';
import { startMoorline } from '../moorline.ts';
import { type Contestant, type Row, type Summary, summarise } from '../result.ts';
import { numbers } from '../rounds.ts';
import { output, program, startServer } from '../running.ts';
import { connectRemote } from '../wire.ts';
import type { Part } from '../world.ts';

/** Ports of the servers, and on the host. */
const RATE = { inside: 80, outside: 8080 };
const BYTES = { inside: 5201, outside: 8081 };
const PORTS = [RATE, BYTES].map(({ inside, outside }) => `${outside}:${inside}`);
/** Connections that are made at a time. */
const WIDTH = 16;
/** Milliseconds of a look at each way that is not counted. */
const WARMUP_MS = 200;
/** Milliseconds between two turns. */
const PAUSE = 50;
/** What counts as equal: two runs of the same differ by as much. */
const EQUAL = 0.95;

/** How a client gets to the server. */
interface Way {
  readonly enter: readonly string[];
  readonly address: string;
  readonly ports: 'inside' | 'outside';
}

const WAYS = [
  'moorline direct remote',
  'moorline published remote',
  'docker direct remote',
  'docker published remote',
  'moorline direct host',
  'moorline published host',
  'docker direct host',
  'docker published host',
  'bare published host',
] as const;
type WayName = (typeof WAYS)[number];

type Measure = 'bytes' | 'rate';
type Samples = Readonly<Record<Measure, Record<WayName, number[]>>>;

export const published: Part = async ({ sizes, docker, ownDocker, say }) => {
  await using stack = new AsyncDisposableStack();
  const ours = stack.use(await startMoorline('default-network'));
  const theirs = await docker();
  // Ends with the part what others of the same daemon would meet.
  stack.defer(async () => void (await theirs.client.call('DELETE', '/containers/served?force=1')));
  say('published: Docker without its proxy');
  const bare = stack.use(await ownDocker('bare', '--userland-proxy=false'));

  // In the usual gateway mode nobody but the host gets to a sandbox by its own address.
  const mode = { 'com.docker.network.bridge.gateway_mode_ipv4': 'nat-unprotected' };
  await ours.client.call('POST', '/networks/create', { Name: 'open', Driver: 'bridge', Options: mode });
  const servers = async ({ enter }: Place): Promise<void> => {
    stack.use(await startServer(enter, ...program('rate.child.ts', 'serve', RATE.inside)));
    stack.use(await startServer(enter, 'iperf3', '--server', '--port', String(BYTES.inside), '--forceflush'));
  };
  const place = async (who: Publisher, network?: string): Promise<Place> => {
    const options = network === undefined ? { ports: PORTS } : { ports: [], network };
    const made = await who.publish(network ?? 'served', options);
    await servers(made);
    return made;
  };
  const [served, open] = [await place(ours), await place(ours, 'open')];
  const container = await place(theirs);
  await place(bare);
  const wires = {
    moorline: stack.use(await connectRemote(ours.holder)),
    docker: stack.use(await connectRemote(theirs.holder)),
    bare: stack.use(await connectRemote(bare.holder)),
  };
  const remote = (who: 'moorline' | 'docker', address: string, ports: Way['ports']): Way => ({
    enter: wires[who].remote,
    address,
    ports,
  });
  const host = (who: keyof typeof wires, address: string, ports: Way['ports']): Way => ({
    enter: wires[who].host,
    address,
    ports,
  });
  const ways: Readonly<Record<WayName, Way>> = {
    'moorline direct remote': remote('moorline', open.address, 'inside'),
    'moorline published remote': remote('moorline', wires.moorline.address, 'outside'),
    'docker direct remote': remote('docker', container.address, 'inside'),
    'docker published remote': remote('docker', wires.docker.address, 'outside'),
    'moorline direct host': host('moorline', served.address, 'inside'),
    'moorline published host': host('moorline', '127.0.0.1', 'outside'),
    'docker direct host': host('docker', container.address, 'inside'),
    'docker published host': host('docker', '127.0.0.1', 'outside'),
    'bare published host': host('bare', '127.0.0.1', 'outside'),
  };

  const rounds = Math.ceil(sizes.rounds / 3);
  say(`published: ${WAYS.length} ways, ${rounds} rounds`);
  for (const name of WAYS) await connections(ways[name], WARMUP_MS);
  const samples = emptySamples();
  for (const round of numbers(1, rounds)) {
    // Back and forth: what is compared is measured in the same few seconds, and in both orders.
    for (const name of round % 2 === 1 ? WAYS : WAYS.toReversed()) {
      samples.bytes[name].push(await throughput(ways[name]));
      samples.rate[name].push(await connections(ways[name], sizes.countMs));
      await sleep(PAUSE);
    }
  }
  return [
    ...rowsOf('bytes', samples, 'iperf3, one stream, 1 s a round'),
    ...rowsOf('rate', samples, `${WIDTH} at a time, ${sizes.countMs} ms a round; a byte comes back, then a reset ends it`),
  ];
};

/** Gbit/s of a TCP stream, as it arrives. */
async function throughput({ enter, address, ports }: Way): Promise<number> {
  const text = await output(enter, 'iperf3', '--client', address, '--port', String(BYTES[ports]), '--time', '1', '--json');
  const { end } = JSON.parse(text) as { readonly end: { readonly sum_received: { readonly bits_per_second: number } } };
  return end.sum_received.bits_per_second / 1e9;
}

/** TCP connections a second that are made and served. */
async function connections({ enter, address, ports }: Way, ms: number): Promise<number> {
  return Number(await output(enter, ...program('rate.child.ts', 'connect', address, RATE[ports], WIDTH, ms)));
}

function emptySamples(): Samples {
  const none = (): Record<WayName, number[]> => Object.fromEntries(WAYS.map((name) => [name, []])) as never;
  return { bytes: none(), rate: none() };
}

const WORDS = {
  bytes: { what: 'throughput', unit: 'Gbit/s' },
  rate: { what: 'new connections', unit: 'connections/s' },
} as const satisfies Readonly<Record<Measure, object>>;

function rowsOf(measure: Measure, all: Samples, note: string): readonly Row[] {
  const { what, unit } = WORDS[measure];
  const samples = all[measure];
  const row = (text: string, values: Row['values'], more: Partial<Row> = {}): Row => ({
    part: 'published',
    what: text,
    unit,
    values,
    rate: true,
    ...more,
  });
  const both = (rest: 'direct remote' | 'published remote' | 'direct host' | 'published host'): Row['values'] => ({
    moorline: summarise(samples[`moorline ${rest}`]),
    docker: summarise(samples[`docker ${rest}`]),
  });
  /** Round by round, so that both numbers are of the same few seconds. */
  const over = (one: WayName, other: WayName): Summary =>
    summarise(samples[one].map((value, round) => value / (samples[other][round] ?? Number.NaN)));
  const times = (text: string, values: Partial<Record<Contestant, Summary>>): Row =>
    row(`- ${text}`, values, { unit: 'x', budget: EQUAL });
  const overDirect = (from: 'remote' | 'host'): Row['values'] => ({
    moorline: over(`moorline published ${from}`, `moorline direct ${from}`),
    docker: over(`docker published ${from}`, `docker direct ${from}`),
  });
  return [
    row(`${what}, remote, to the container's address`, both('direct remote'), { note }),
    row(`${what}, remote, to the published port`, both('published remote')),
    times('over direct', overDirect('remote')),
    times("over Docker's", { moorline: over('moorline published remote', 'docker published remote') }),
    row(`${what}, host, to the container's address`, both('direct host')),
    row(`${what}, host, through 127.0.0.1`, both('published host'), { note: "Docker's is docker-proxy" }),
    times('over direct', overDirect('host')),
    times("over Docker's", { moorline: over('moorline published host', 'docker published host') }),
    row('- of Docker without docker-proxy', { docker: summarise(samples['bare published host']) }),
    times('over that', { moorline: over('moorline published host', 'bare published host') }),
  ];
}
