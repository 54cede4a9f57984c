/**
 * `nft flush ruleset` while another machine makes 1,000 connections a second to a published port: how long nobody is served, who is lost, and
 * what becomes of connections that are there.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Publisher } from '../contestant.ts';
import type { Docker } from '../dockerd.ts';
import { readAll, startMoorline } from '../moorline.ts';
import { firstServed, LATE_MS, type Outcome, outcomeOf } from '../outcome.ts';
import { type Row, type Summary, summarise } from '../result.ts';
import { inBatches, numbers } from '../rounds.ts';
import { type Flush, flushRules } from '../rules-back.ts';
import { program, startServer } from '../running.ts';
import { ESTABLISHED, now, PACE, type Steady } from '../steady.child.ts';
import { connectRemote } from '../wire.ts';
import type { Part } from '../world.ts';

const PORT = { inside: 80, outside: 8080 };
/** Fewer than make the daemon take it for a fight, and wait. */
const FLUSHES = 3;
/** Milliseconds between two of them: a SYN that got no answer is sent again after 1 s. */
const REST_MS = 1500;
/** Of connections before the first. */
const MARGIN_MS = 500;
/** Networks made at a time. */
const WIDTH = 4;

interface Flushed {
  readonly outcomes: readonly Outcome[];
  readonly lost: number;
  /** Milliseconds from the beginning of `finish` until a client is served and seen; null: never, or there was no `finish`. */
  readonly recovered: number | null;
}

export const flush: Part = async ({ sizes, ownDocker, say }) => {
  const rows: Row[] = [];
  for (const count of sizes.flushed) {
    say(`flush: ${count} networks`);
    await using own = await startMoorline('default-network');
    const spec = (k: number): object => ({ Name: `more${k}`, Driver: 'bridge' });
    await inBatches(numbers(2, count), WIDTH, (k) => own.client.call('POST', '/networks/create', spec(k)));
    const ours = await flushes(own, { times: FLUSHES, elements: count });
    if (count > 1) {
      rows.push(...rowsOf(`among ${count} networks`, ours));
      continue;
    }
    say('flush: Docker');
    const [usual, bare] = [await ofDocker(ownDocker('flush')), await ofDocker(ownDocker('flush-bare', '--userland-proxy=false'))];
    rows.push(...rowsOf('one network', ours, usual), ...rowsOfDocker(usual, bare));
  }
  return rows;
};

async function ofDocker(starting: Promise<Docker>): Promise<Flushed> {
  await using docker = await starting;
  const finish = async (): Promise<void> => {
    await docker.stop();
    await docker.start();
  };
  return await flushes(docker, { times: 1, elements: null, finish });
}

interface Options {
  readonly times: number;
  /** As `flushRules` has it. */
  readonly elements: number | null;
  /** What to do after the last, while connections go on. */
  readonly finish?: () => Promise<void>;
}

async function flushes(host: Publisher, { times, elements, finish }: Options): Promise<Flushed> {
  const { enter } = await host.publish('steady', { ports: [`${PORT.outside}:${PORT.inside}`] });
  await using _server = await startServer(enter, ...program('steady.child.ts', 'serve', PORT.inside));
  await using wire = await connectRemote(host.holder);
  const [command = '', ...args] = [...wire.remote, ...program('steady.child.ts', 'connect', wire.address, PORT.outside)];
  const client = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const text = readAll(client.stdout);
  await Promise.race([once(client.stdout, 'data'), once(client, 'exit')]);
  await sleep(MARGIN_MS);
  const seen: Flush[] = [];
  for (const _ of numbers(1, times)) {
    seen.push(await flushRules(host.holder, elements));
    await sleep(REST_MS);
  }
  const finished = now();
  await finish?.();
  if (finish !== undefined) await sleep(REST_MS);
  client.stdin.end();
  const steady = JSON.parse((await text).replace('ready\n', '')) as Steady;
  const outcomes = seen.map(({ gone, back }, i) => {
    // Whoever was under way when the rules went is this flush's, too.
    const from = gone - MARGIN_MS / 10;
    const to = (seen[i + 1]?.gone ?? finished) - MARGIN_MS / 10;
    return outcomeOf(steady, { gone, back, from, to });
  });
  const recovered = finish === undefined ? null : firstServed(steady.attempts, finished, ({ end }) => end === 'served');
  return { outcomes, lost: steady.lost.length, recovered };
}

type Unit = Row['unit'];

function row([what, unit]: readonly [string, Unit], values: Row['values'], more: Partial<Row> = {}): Row {
  return { part: 'flush', what, unit, values, ...more };
}

const known = (values: readonly (number | null)[]): readonly number[] => values.filter((value) => value !== null);

function summaries(who: Readonly<Partial<Record<'moorline' | 'docker', readonly (number | null)[]>>>): Row['values'] {
  const some = Object.entries(who).filter(([, values]) => known(values).length > 0);
  return Object.fromEntries(some.map(([name, values]): [string, Summary] => [name, summarise(known(values))]));
}

function rowsOf(title: string, moorline: Flushed, docker?: Flushed): readonly Row[] {
  const both = (pick: (flushed: Flushed) => readonly (number | null)[]): Row['values'] =>
    summaries({ moorline: pick(moorline), ...(docker && { docker: pick(docker) }) });
  const each = (key: keyof Outcome): Row['values'] => both(({ outcomes }) => outcomes.map((one) => one[key]));
  // The same for any number of networks: told once.
  const notes = (note: string): Partial<Row> => (docker === undefined ? {} : { note });
  return [
    row([`flush, ${title}: until a new connection is served`, 'ms'], each('served'), {
      budget: 100,
      ...notes(`${PACE} a second, from another machine to a published port; who asks Docker's gets docker-proxy`),
    }),
    row(['- until the rules are back', 'ms'], summaries({ moorline: moorline.outcomes.map(({ back }) => back) }), {
      ...notes("by the notifications of the kernel; Docker's do not come back while dockerd runs"),
    }),
    row([`- new connections refused, in ${REST_MS} ms`, 'connections'], each('refused')),
    row(['- reset, ended, or not served in 2 s', 'connections'], each('failed')),
    row([`- served after ${LATE_MS} ms or more`, 'connections'], each('late')),
    row(['- served by a proxy, which hides who asks', 'connections'], each('moved')),
    row(
      [`- established connections lost, of ${ESTABLISHED}`, 'connections'],
      both(({ lost }) => [lost]),
    ),
    row(['- the longest silence of one', 'ms'], summaries({ moorline: moorline.outcomes.map(({ silence }) => silence) }), {
      ...notes("one that is asked each 20 ms; up to 40 ms count as none; all of Docker's end at once"),
    }),
  ];
}

/** What only Docker has. */
function rowsOfDocker(usual: Flushed, bare: Flushed): readonly Row[] {
  const docker = (pick: (outcome: Outcome) => number): Row['values'] => summaries({ docker: bare.outcomes.map(pick) });
  return [
    row(
      [`flush, Docker without docker-proxy: lost in ${REST_MS} ms`, 'connections'],
      docker((one) => one.refused + one.failed),
    ),
    row(['- established connections lost', 'connections'], summaries({ docker: [bare.lost] })),
    row(['Docker after it: until a restart of dockerd serves again', 'ms'], summaries({ docker: [usual.recovered] }), {
      note: 'from its stop, with the address of who asks',
    }),
  ];
}
