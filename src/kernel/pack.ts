/**
 * Long lists of changes as they travel between threads. The structured clone costs some 5 µs an object, which is 30 ms for the 6,000 elements
 * of a thousand networks when their table has to come back; columns of strings cost a tenth of that.
 */
import type { Change } from '../contracts/change.ts';
import type { NftTableRef } from '../nft/types.ts';

type ElementChange = Extract<Change, { readonly kind: 'nft-element' }>;

/** Consecutive elements of one table, in order. */
interface Elements {
  readonly kind: 'nft-elements';
  readonly op: ElementChange['op'];
  readonly table: NftTableRef;
  readonly sets: string[];
  readonly keys: string[];
  readonly values: (string | undefined)[];
}

export type Packed = readonly (Change | Elements)[];

export function pack(changes: readonly Change[]): Packed {
  const out: (Change | Elements)[] = [];
  let run: Elements | null = null;
  for (const change of changes) {
    if (change.kind !== 'nft-element') {
      out.push(change);
      run = null;
      continue;
    }
    const { op, table, element } = change;
    if (run === null || run.op !== op || run.table.name !== table.name || run.table.family !== table.family) {
      run = { kind: 'nft-elements', op, table, sets: [], keys: [], values: [] };
      out.push(run);
    }
    run.sets.push(element.set);
    run.keys.push(element.key);
    run.values.push(element.value);
  }
  return out;
}

/** The list that was packed. Elements of a run share their table. */
export const unpack = (packed: Packed): readonly Change[] =>
  packed.flatMap((one) => (one.kind === 'nft-elements' ? elementsOf(one) : one));

const elementsOf = ({ op, table, sets, keys, values }: Elements): Change[] =>
  keys.map((key, i) => {
    const value = values[i];
    return { kind: 'nft-element', op, table, element: { set: sets[i] ?? '', key, ...(value === undefined ? {} : { value }) } };
  });
