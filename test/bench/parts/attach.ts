/** Connect a running stack to a second network and disconnect it: alone, and twenty at once. */
import { execFileSync } from 'node:child_process';
import { type Attacher, network } from '../contestant.ts';
import { type Contestant, type Summary, summarise } from '../result.ts';
import { inRow, interleave, numbers, type Turn } from '../rounds.ts';
import type { Part } from '../world.ts';

const SECOND = network('second', 62);
const BURST = network('burst', 63);

type Steps = 'connect' | 'first' | 'disconnect';
/** Of a daemon that has just started: nothing of it is compiled, and not a page of it is in a cache. */
type Cold = Partial<Record<Contestant, Summary>>;
type BurstSteps = 'connect' | 'disconnect';

export const attach: Part = async ({ sizes, attachers, say }) => {
  const all = await attachers();
  const turns: Partial<Record<Contestant, Turn<Steps>>> = {};
  const cold: Cold = {};
  const resident = sizes.inRow + 1;
  for (const who of Object.keys(all) as Contestant[]) {
    const attacher = all[who];
    say(`attach: ${who}`);
    await attacher.stacks(resident);
    await attacher.network(SECOND);
    // Stays, as netavark takes a network away with its last endpoint.
    cold[who] = summarise([await attacher.connect(SECOND, resident)]);
    await attacher.connect(SECOND, 1);
    await reachesGateway(attacher, 1);
    await attacher.disconnect(SECOND, 1);
    turns[who] = async () => {
      const connect = await inRow(sizes.inRow, (stack) => attacher.connect(SECOND, stack));
      const disconnect = await inRow(sizes.inRow, (stack) => attacher.disconnect(SECOND, stack));
      return { connect, first: connect.slice(0, 1), disconnect };
    };
  }
  const { connect, first, disconnect } = await interleave<Steps, Contestant>(turns, {
    ...sizes,
    warmup: sizes.settled,
    steps: ['connect', 'first', 'disconnect'],
  });
  for (const attacher of Object.values(all)) await attacher.disconnect(SECOND, resident);
  const note = `${sizes.inRow} in a row, each timed`;
  return [
    { part: 'attach', what: 'connect to a second network', unit: 'ms', budget: 2.5, values: connect, note },
    { part: 'attach', what: '- the first after a pause', unit: 'ms', values: first },
    { part: 'attach', what: '- the very first', unit: 'ms', values: cold },
    { part: 'attach', what: 'disconnect', unit: 'ms', budget: 8, values: disconnect, note },
  ];
};

/** What is timed must have worked: a packet goes to the gateway and back. @throws Error with what ping says */
async function reachesGateway(attacher: Attacher, stack: number): Promise<void> {
  const [command = '', ...line] = await attacher.enter(stack);
  execFileSync(command, [...line, 'ping', '-n', '-c', '1', '-W', '2', attacher.gateway(SECOND)], { encoding: 'utf8' });
}

export const parallel: Part = async ({ sizes, attachers, say }) => {
  const all = await attachers();
  const stacks = numbers(1, sizes.parallel);
  const turns: Partial<Record<Contestant, Turn<BurstSteps>>> = {};
  const atOnce = async (work: (stack: number) => Promise<number>): Promise<number> => {
    const started = performance.now();
    await Promise.all(stacks.map(work));
    return performance.now() - started;
  };
  for (const who of Object.keys(all) as Contestant[]) {
    const attacher = all[who];
    say(`parallel: ${sizes.parallel} stacks of ${who}`);
    await attacher.stacks(sizes.parallel + 1);
    await attacher.network(BURST);
    await attacher.connect(BURST, sizes.parallel + 1);
    turns[who] = async () => ({
      connect: [await atOnce((stack) => attacher.connect(BURST, stack))],
      disconnect: [await atOnce((stack) => attacher.disconnect(BURST, stack))],
    });
  }
  const few = { rounds: Math.ceil(sizes.rounds / 3), warmup: 1 };
  const { connect, disconnect } = await interleave<BurstSteps, Contestant>(turns, { ...few, steps: ['connect', 'disconnect'] });
  for (const attacher of Object.values(all)) await attacher.disconnect(BURST, sizes.parallel + 1);
  const what = (verb: string): string => `${sizes.parallel} ${verb} at once, until the last`;
  return [
    { part: 'parallel', what: what('connects'), unit: 'ms', values: connect },
    { part: 'parallel', what: what('disconnects'), unit: 'ms', values: disconnect },
  ];
};
