/** What `npm run bench` may be told. */
import { parseArgs } from 'node:util';

/** The parts of a run, in the order in which they run: memory first, because it wants daemons that have done nothing yet. */
export const PARTS = [
  'memory',
  'networks',
  'attach',
  'parallel',
  'scale',
  'restart',
  'many-networks',
  'containers',
  'dns',
  'ports',
  'published',
  'flush',
  'hosts',
  'overlay',
  'cli',
] as const;
export type Part = (typeof PARTS)[number];

export interface BenchOptions {
  readonly quick: boolean;
  readonly json: boolean;
  readonly parts: readonly Part[];
  /** Contestants of the part `hosts`; none named: all. */
  readonly hosts: readonly string[];
  /** Of the part `hosts`: before everything else on the machine. */
  readonly realTime: boolean;
}

/** How much is measured. Chosen so that a part takes a minute or two on two cores. */
export interface Sizes {
  /** Rounds in which each contestant takes a turn. */
  readonly rounds: number;
  /** How often in a row a contestant does a thing in its turn. */
  readonly inRow: number;
  /** Rounds before those, not counted: first use of code paths, JIT, kernel modules. */
  readonly warmup: number;
  /** The same where a daemon lives on: until the times of one that is compiled as it runs fall no more. The first ones are told beside. */
  readonly settled: number;
  /** Endpoints on one network before the one that is timed, plus one. */
  readonly points: readonly number[];
  /** The last point that the peers take part in: a Docker container costs half a second, and each of their endpoints rules. */
  readonly peerLimit: number;
  readonly networks: number;
  readonly parallel: number;
  /** Containers started at once. */
  readonly starts: number;
  readonly restarts: number;
  /** Milliseconds in which connections to a published port are counted. */
  readonly countMs: number;
  /** Networks beside the one whose rules are flushed, with it. */
  readonly flushed: readonly number[];
  /** Milliseconds of rest before memory is read. */
  readonly restMs: number;
  /** Who takes part in `hosts`; none named: all. */
  readonly hosts: readonly string[];
  /** What carries packets there has real-time priority. */
  readonly realTime: boolean;
}

const FULL: Omit<Sizes, 'hosts' | 'realTime'> = {
  rounds: 15,
  inRow: 5,
  warmup: 2,
  settled: 10,
  points: [1, 10, 100, 1000],
  peerLimit: 100,
  networks: 1000,
  parallel: 20,
  starts: 50,
  restarts: 3,
  countMs: 1000,
  flushed: [1, 100, 1000],
  restMs: 5000,
};

const QUICK: Omit<Sizes, 'hosts' | 'realTime'> = {
  rounds: 3,
  inRow: 5,
  warmup: 1,
  settled: 10,
  points: [1, 10, 200],
  peerLimit: 10,
  networks: 50,
  parallel: 20,
  starts: 10,
  restarts: 1,
  countMs: 300,
  flushed: [1, 100],
  restMs: 1000,
};

export const sizesOf = ({ quick, hosts, realTime }: BenchOptions): Sizes => ({ ...(quick ? QUICK : FULL), hosts, realTime });

export const HELP = `Usage: npm run bench -- [--quick] [--only PART]... [--json]

Measures Moorline beside Docker Engine, the CNI bridge plugin and netavark, in namespaces of its own (root).

  --quick      fewer rounds, smaller numbers: a few minutes
  --only PART  one of ${PARTS.join(', ')}; may be repeated
  --host NAME  in the part hosts only these take part, such as udp and "kernel vxlan"; may be repeated
  --real-time  what carries packets in the parts hosts and overlay runs before everything else: for a machine with other work, which waits
  --json       the result as JSON on stdout instead of the table`;

/** @throws Error that says what is wrong @returns null when help was asked for */
export function parseOptions(args: readonly string[]): BenchOptions | null {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: [] },
      host: { type: 'string', multiple: true, default: [] },
      'real-time': { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return null;
  const unknown = values.only.find((name) => !isPart(name));
  if (unknown !== undefined) throw new Error(`unknown part ${unknown}: it is one of ${PARTS.join(', ')}`);
  const parts = values.only.length === 0 ? PARTS : PARTS.filter((part) => values.only.includes(part));
  return { quick: values.quick, json: values.json, parts, hosts: values.host, realTime: values['real-time'] };
}

const isPart = (name: string): name is Part => (PARTS as readonly string[]).includes(name);
