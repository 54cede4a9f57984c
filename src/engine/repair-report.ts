/** Tells of repairs: one line of the log for each owner, an event for each thing, and a list of the latest for `moor status`. */
import type { Change } from '../contracts/change.ts';
import type { Context } from './context.ts';
import type { Failure } from './executor.ts';
import type { Repaired, Unrepaired } from './repair.ts';
import { subject } from './subject.ts';

/** Repairs that status shows. */
const KEPT = 100;
/** Things that one line of the log names. */
const NAMED = 8;

export interface KeptRepair {
  readonly time: number;
  readonly what: string;
  readonly why: string;
}

export class RepairReport {
  readonly #ctx: Context;
  /** The latest ones, oldest first. */
  readonly kept: KeptRepair[] = [];

  constructor(ctx: Context) {
    this.#ctx = ctx;
  }

  /** @param open the first pass is through: what is repaired from now on somebody has changed */
  tell(repaired: readonly Repaired[], failed: readonly Unrepaired[], open: boolean): void {
    const { clock, events } = this.#ctx;
    for (const lines of Map.groupBy(repaired, ({ owner }) => owner).values()) this.#say(lines, open);
    if (open) {
      const time = clock.now();
      for (const { owner, where, what, why } of repaired) {
        this.kept.push({ time, what: `${what} in ${where}`, why });
        if (this.kept.length > KEPT) this.kept.shift();
        events.emit({ type: 'daemon', action: 'repair', actorId: owner, attributes: { name: where, what, why }, time });
      }
    }
    for (const lines of Map.groupBy(failed, ({ owner }) => owner).values()) this.#complain(lines);
  }

  /** What hangs off a link fails with it. */
  #complain(lines: readonly Unrepaired[]): void {
    const [lead, ...others] = leadFirst(lines);
    if (lead === undefined) return;
    const { owner, where, what, why, error } = lead;
    this.#ctx.logger.error({ owner, what, why, error, ...also(others) }, `could not restore ${what} in ${where}: ${error}`);
  }

  tellSwept(swept: readonly Change[], failed: readonly Failure[]): void {
    const { logger } = this.#ctx;
    for (const { change, error } of failed)
      logger.error({ error: error.message }, `could not remove ${subject(change)}, which nobody owns`);
    if (swept.length > 0) logger.warn({ count: swept.length }, `removed what nobody owns: ${some(swept.map(subject))}`);
  }

  #say(lines: readonly Repaired[], open: boolean): void {
    const [lead, ...others] = leadFirst(lines);
    if (lead === undefined) return;
    const { owner, where, what, why } = lead;
    const fields = { owner, what, why, ...also(others) };
    const { logger } = this.#ctx;
    if (open) logger.warn(fields, `restored ${what} in ${where}: ${why}`);
    // Before the first pass is through, most of it is what a boot took away, or a first start has to make: nobody's doing.
    else logger.info(fields, `set up ${what} in ${where}: ${why}`);
  }
}

/** A link that went took its addresses and routes with it, and a namespace its links: those come first. */
function leadFirst<T extends Repaired>(lines: readonly T[]): readonly T[] {
  const first = (kind: string): T | undefined => lines.find(({ what }) => what.startsWith(kind));
  const lead = first('network namespace ') ?? first('link ');
  return lead === undefined ? lines : [lead, ...lines.filter((line) => line !== lead)];
}

const also = (others: readonly Repaired[]): { readonly also?: string } =>
  others.length > 0 ? { also: others.map(({ what }) => what).join(', ') } : {};

const some = (names: readonly string[]): string =>
  [...names.slice(0, NAMED), ...(names.length > NAMED ? [`${names.length - NAMED} more`] : [])].join(', ');
