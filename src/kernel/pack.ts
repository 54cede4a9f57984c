/**
 * Lists of changes and their results as they travel between threads. A change is plain data, and the journal keeps it as JSON anyway; the
 * structured clone of the changes of one connect keeps the API's thread busy for 0.1 ms, text for half of that. Elements of sets, 6,000 when the table of
 * a thousand networks has to come back, become columns of strings.
 */
import type { ErrorData } from '../base/errors.ts';
import type { Change, Netns } from '../contracts/change.ts';
import type { Applied } from '../contracts/kernel.ts';
import type { NftTable, NftTableRef } from '../nft/types.ts';
import { ALREADY, CHANGED, SKIPPED } from './failure.ts';

type ElementChange = Extract<Change, { readonly kind: 'nft-element' }>;
type TableChange = Extract<Change, { readonly kind: 'nft-table' }>;

/** Consecutive elements of one table, in order. */
interface Elements {
  readonly kind: 'nft-elements';
  readonly op: ElementChange['op'];
  readonly table: NftTableRef;
  readonly sets: string[];
  readonly keys: string[];
  /** null: none. */
  readonly values: (string | null)[];
}

/** A table that both sides know, by its place in their list. */
interface KnownTable {
  readonly kind: 'known-table';
  readonly op: TableChange['op'];
  readonly netns?: Netns;
  readonly known: number;
}

type Packed = Change | Elements | KnownTable;

/** JSON of `Packed`s. */
export type PackedChanges = string & { readonly of: 'changes' };

/** @param known tables that the other side has, too. Only these very objects are found. */
export function pack(changes: readonly Change[], known: readonly NftTable[] = []): PackedChanges {
  const out: Packed[] = [];
  let run: Elements | null = null;
  for (const change of changes) {
    if (change.kind !== 'nft-element') {
      out.push(change.kind === 'nft-table' ? shortened(change, known) : change);
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
    run.values.push(element.value ?? null);
  }
  return JSON.stringify(out) as PackedChanges;
}

function shortened(change: TableChange, known: readonly NftTable[]): TableChange | KnownTable {
  const at = known.indexOf(change.table);
  if (at < 0) return change;
  const { op, netns } = change;
  return { kind: 'known-table', op, ...(netns === undefined ? {} : { netns }), known: at };
}

/** The list that was packed. Elements of a run share their table, and a known table is the one of the list. */
export const unpack = (packed: PackedChanges, known: readonly NftTable[] = []): readonly Change[] =>
  (JSON.parse(packed) as Packed[]).flatMap((one): Change | Change[] => {
    switch (one.kind) {
      case 'nft-elements':
        return elementsOf(one);
      case 'known-table':
        return tableOf(one, known);
      default:
        return one;
    }
  });

function tableOf({ op, netns, known: at }: KnownTable, known: readonly NftTable[]): TableChange {
  const table = known[at];
  if (table === undefined) throw new RangeError(`no table ${at} is known here`);
  return { kind: 'nft-table', op, table, ...(netns === undefined ? {} : { netns }) };
}

const elementsOf = ({ op, table, sets, keys, values }: Elements): Change[] =>
  keys.map((key, i) => {
    const value = values[i] ?? undefined;
    return { kind: 'nft-element', op, table, element: { set: sets[i] ?? '', key, ...(value === undefined ? {} : { value }) } };
  });

/** A letter for each result, and the errors of those that failed in their order. */
export interface PackedResults {
  readonly states: string;
  readonly errors: readonly ErrorData[];
}

const LETTERS = { changed: 'c', already: 'a', skipped: 's', failed: 'f' } as const satisfies Record<Applied['state'], string>;
const BY_LETTER: Readonly<Record<string, Applied>> = { c: CHANGED, a: ALREADY, s: SKIPPED };

export const packResults = (results: readonly Applied[]): PackedResults => ({
  states: results.map(({ state }) => LETTERS[state]).join(''),
  errors: results.flatMap((result) => (result.state === 'failed' ? [result.error] : [])),
});

export function unpackResults({ states, errors }: PackedResults): readonly Applied[] {
  let next = 0;
  return Array.from({ length: states.length }, (_, i): Applied => {
    const result = BY_LETTER[states[i] ?? ''];
    if (result !== undefined) return result;
    const error = errors[next++];
    if (error === undefined) throw new RangeError(`no error came with the results ${states}`);
    return { state: 'failed', error };
  });
}
