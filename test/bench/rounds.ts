/** Contestants take turns, so that whatever else the machine does falls on all of them alike. */
import { setTimeout as sleep } from 'node:timers/promises';
import { CONTESTANTS, type Contestant, type Summary, summarise } from './result.ts';

/** Between turns (milliseconds), so that what a turn leaves for the kernel to do does not fall on whoever is next. */
const PAUSE = 50;

/** One turn of one contestant: milliseconds by step, of each time that it did it. */
export type Turn<Step extends string> = () => Promise<Readonly<Record<Step, readonly number[]>>>;

/** Summaries by step, then by who took part. */
export type Outcome<Step extends string, Who extends string> = Readonly<Record<Step, Readonly<Partial<Record<Who, Summary>>>>>;

/** Each round every one takes its turn, and who begins moves on. */
export async function interleave<Step extends string, Who extends string>(
  turns: Readonly<Partial<Record<Who, Turn<Step>>>>,
  { rounds, warmup, steps }: { readonly rounds: number; readonly warmup: number; readonly steps: readonly Step[] },
): Promise<Outcome<Step, Who>> {
  const list = Object.entries(turns) as [Who, Turn<Step>][];
  const samples = new Map<string, number[]>();
  for (let round = -warmup; round < rounds; round++) {
    for (let i = 0; i < list.length; i++) {
      const [who, turn] = list[(i + round + warmup) % list.length] ?? [];
      if (who === undefined || turn === undefined) continue;
      const times = await turn();
      await sleep(PAUSE);
      if (round < 0) continue;
      for (const step of steps) {
        const key = `${step} ${who}`;
        samples.set(key, [...(samples.get(key) ?? []), ...times[step]]);
      }
    }
  }
  return Object.fromEntries(
    steps.map((step) => [step, Object.fromEntries(list.map(([who]) => [who, summarise(samples.get(`${step} ${who}`) ?? [])]))]),
  ) as Outcome<Step, Who>;
}

/** Only those of a table that take part in rows. */
export const contestants = <T>(table: Readonly<Record<string, T>>): Partial<Record<Contestant, T>> =>
  Object.fromEntries(CONTESTANTS.flatMap((who) => (table[who] === undefined ? [] : [[who, table[who]]])));

/** Does a thing for each of many, a few at a time. */
export async function inBatches<T>(items: readonly T[], width: number, work: (item: T) => Promise<unknown>): Promise<void> {
  const queue = items.values();
  await Promise.all(
    Array.from({ length: width }, async () => {
      for (const item of queue) await work(item);
    }),
  );
}

export const numbers = (first: number, last: number): number[] =>
  Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => first + i);

/** Does a thing a few times in a row. @returns what each time took */
export async function inRow(times: number, work: (k: number) => Promise<number>): Promise<number[]> {
  const out: number[] = [];
  for (const k of numbers(1, times)) out.push(await work(k));
  return out;
}
