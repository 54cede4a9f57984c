/**
 * Removals of operations that run at the same time go to the kernel together: its work for one message goes on for two RCU grace periods
 * of some 15 milliseconds (docs/adr/0005), and for many links in one message it is little more.
 */
import type { Change } from '../contracts/change.ts';
import type { Applied, Kernel } from '../contracts/kernel.ts';

interface Waiting {
  readonly changes: readonly Change[];
  readonly resolve: (applied: readonly Applied[]) => void;
  readonly reject: (error: unknown) => void;
}

export class Removals {
  readonly #kernel: Pick<Kernel, 'apply'>;
  #waiting: Waiting[] = [];
  #busy = false;

  constructor(kernel: Pick<Kernel, 'apply'>) {
    this.#kernel = kernel;
  }

  /** Tries all of the changes. @returns one result for each. */
  apply(changes: readonly Change[]): Promise<readonly Applied[]> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ changes, resolve, reject });
      void this.#run();
    });
  }

  /** What arrives while a batch is under way is the next batch. */
  async #run(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        const applied = await this.#linksFirst(batch.flatMap(({ changes }) => changes));
        let from = 0;
        for (const { changes, resolve } of batch) {
          resolve(applied.slice(from, from + changes.length));
          from += changes.length;
        }
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.#busy = false;
  }

  /** Links that stand side by side are one message to the kernel; nothing in a removal must come before its links. */
  async #linksFirst(changes: readonly Change[]): Promise<readonly Applied[]> {
    const order = [...changes.keys()].toSorted((a, b) => Number(isLink(changes[b])) - Number(isLink(changes[a])));
    const applied = await this.#kernel.apply(
      order.flatMap((i) => changes[i] ?? []),
      { keepGoing: true },
    );
    const out: Applied[] = changes.map(() => ({ state: 'skipped' }));
    for (const [at, i] of order.entries()) out[i] = applied[at] ?? { state: 'skipped' };
    return out;
  }
}

const isLink = (change: Change | undefined): boolean => change?.kind === 'link' && change.op === 'remove';
