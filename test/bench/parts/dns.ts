/**
 * Ask 127.0.0.11 for names of one's network: as many as can be answered, and a few at a time. dnsperf is the same for both and runs on the same
 * cores, so that a faster server leaves it less time.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { type Attacher, network, stackName } from '../contestant.ts';
import type { Client } from '../http.ts';
import type { Contestant } from '../result.ts';
import { interleave, numbers, type Turn } from '../rounds.ts';
import type { Part } from '../world.ts';

const NAMES = network('names', 65);
const RESOLVER = '127.0.0.11';
const MANY = 10_000;
/** dnsperf's own connections, and how many queries it leaves unanswered at a time, in all. */
const LOAD = ['-c', '4', '-q', '200'];
/** Queries per second of the run that looks at single ones: far below what either can do. */
const PACE = 1000;

type Steps = 'one' | 'many' | 'median' | 'late';

export const dns: Part = async ({ sizes, directory, moorline, docker, say }) => {
  const contestants = { moorline: await moorline(), docker: await docker() };
  const [one, many] = [`${directory}/one.names`, `${directory}/many.names`];
  writeFileSync(one, 'web1 A\n');
  writeFileSync(
    many,
    numbers(1, MANY)
      .map((k) => `web${k} A\n`)
      .join(''),
  );
  const seconds = String(Math.max(1, Math.round(sizes.rounds / 8)));

  const turns: Partial<Record<Contestant, Turn<Steps>>> = {};
  for (const [who, contestant] of Object.entries(contestants) as [Contestant, Attacher & { readonly client: Client }][]) {
    say(`dns: ${MANY} names of ${who}`);
    await contestant.stacks(2);
    await contestant.network(NAMES);
    const connect = (stack: number, aliases: readonly string[]): Promise<unknown> =>
      contestant.client.call('POST', `/networks/${NAMES.name}/connect`, {
        Container: stackName(stack),
        EndpointConfig: { Aliases: aliases },
      });
    await connect(1, []);
    await connect(
      2,
      numbers(1, MANY).map((k) => `web${k}`),
    );
    const enter = await contestant.enter(1);
    const perf = (...options: readonly string[]): string => run([...enter, 'dnsperf', '-s', RESOLVER, ...options]);
    turns[who] = async () => {
      const rate = (file: string): number => number(/Queries per second:\s+([\d.]+)/, perf('-d', file, '-l', seconds, ...LOAD));
      const [single, all] = [rate(one), rate(many)];
      const times = [...perf('-d', many, '-l', seconds, '-Q', String(PACE), '-v').matchAll(/^> NOERROR \S+ \S+ ([\d.]+)/gm)]
        .map(([, text]) => Number(text) * 1000)
        .toSorted((a, b) => a - b);
      if (times.length === 0) throw new Error('dnsperf shows no answers');
      const at = (share: number): number => times[Math.floor(times.length * share)] ?? 0;
      return { one: [single], many: [all], median: [at(0.5)], late: [at(0.99)] };
    };
  }
  const few = { rounds: Math.ceil(sizes.rounds / 3), warmup: 1 };
  const { one: single, many: all, median, late } = await interleave(turns, { ...few, steps: ['one', 'many', 'median', 'late'] });
  const note = `dnsperf ${LOAD.join(' ')} on the same cores, ${seconds} s a round`;
  const paced = `at ${PACE} queries a second`;
  return [
    { part: 'dns', what: 'queries for one name', unit: 'queries/s', rate: true, budget: 130_000, values: single, note },
    { part: 'dns', what: `queries for ${MANY} names`, unit: 'queries/s', rate: true, budget: 130_000, values: all },
    { part: 'dns', what: '- time of an answer, median', unit: 'ms', values: median, note: paced },
    { part: 'dns', what: '- time of an answer, 99th of 100', unit: 'ms', values: late, note: paced },
  ];
};

function run([command = '', ...args]: readonly string[]): string {
  return execFileSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'pipe'] });
}

function number(pattern: RegExp, text: string): number {
  const found = pattern.exec(text)?.[1];
  if (found === undefined || !/Queries lost:\s+\d+ \([0-4]\./.test(text)) throw new Error(`dnsperf says: ${text}`);
  return Number(found);
}
