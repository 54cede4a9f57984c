/**
 * From one list of changes to another, for thousands of entries in tables of the kernel: what comes in the place of something goes right behind its removal, so
 * that the kernel swaps the two; what is new comes first, what only goes, last. So no packet finds neither. Pure.
 */
import { familyOf } from '../base/ip.ts';
import type { Change } from '../contracts/change.ts';
import { inverse } from '../contracts/inverse.ts';

/** Changes that go to the kernel at a time: some 20 ms of it. Others get their turn in between. */
const BATCH = 1_000;

/** @returns in batches, none of which is empty */
export function transition(before: readonly Change[], after: readonly Change[]): readonly (readonly Change[])[] {
  const keys = (list: readonly Change[]): Map<string, Change> => new Map(list.map((change) => [JSON.stringify(change), change]));
  const [old, wanted] = [keys(before), keys(after)];
  const gone = before.flatMap((change) => (wanted.has(JSON.stringify(change)) ? [] : [change]));
  const come = after.filter((change) => !old.has(JSON.stringify(change)));
  const rivals = new Map<string, Change>();
  for (const change of gone) {
    const slot = slotOf(change);
    if (slot !== null) rivals.set(slot, change);
  }
  const replaced = new Set<Change>();
  const batches: Change[][] = [];
  let batch: Change[] = [];
  const put = (...changes: readonly Change[]): void => {
    if (batch.length + changes.length > BATCH) {
      batches.push(batch);
      batch = [];
    }
    batch.push(...changes);
  };
  for (const change of come) {
    const slot = slotOf(change);
    const rival = slot === null ? undefined : rivals.get(slot);
    const removal = rival === undefined ? null : inverse(rival);
    if (slot !== null && rival !== undefined && removal !== null) {
      rivals.delete(slot);
      replaced.add(rival);
      put(removal, change);
    } else put(change);
  }
  for (const change of gone.toReversed()) {
    const removal = replaced.has(change) ? null : inverse(change);
    if (removal !== null) put(removal);
  }
  if (batch.length > 0) batches.push(batch);
  return batches;
}

/** The place in a table of the kernel, which only one can have; null: of none that this is about. */
function slotOf(change: Change): string | null {
  switch (change.kind) {
    case 'route': {
      const { destination, metric = familyOf(destination) === 6 ? METRIC6 : 0, table = MAIN } = change.route;
      return `route ${change.netns} ${destination} ${metric} ${table}`;
    }
    case 'neighbour':
      return `neighbour ${change.netns} ${change.neighbour.device} ${change.neighbour.address}`;
    case 'fdb':
      return `fdb ${change.netns} ${change.entry.device} ${change.entry.mac}`;
    default:
      return null;
  }
}

/** RT_TABLE_MAIN; IP6_RT_PRIO_USER: what the kernel gives an IPv6 route that names no metric. */
const MAIN = 254;
const METRIC6 = 1024;
