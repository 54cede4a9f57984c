/**
 * Changes -> commands -> one line for libnftables, which is one kernel transaction: all of it happens or nothing does.
 *
 * Commands are strict (`create`, plain `delete`): when all succeed, each changed something, which costs no look beforehand. When
 * some fail, libnftables reports every one of them with its column, and `locate` says which. (nft has `destroy`, which does not mind
 * when a thing is gone, only from 1.0.7 on; and it would not say whether there was anything to undo.)
 */
import { MoorError } from '../base/errors.ts';
import { checkName } from './names.ts';
import { chainRef, renderChain, renderElement, renderItem, renderKey, renderRef, renderRule, renderSet } from './render.ts';
import type { NftElement, NftFamily, NftRule, NftTable, NftTableRef } from './types.ts';

/** The nftables members of `Change`, by shape. */
export type NftChange =
  | { readonly kind: 'nft-table'; readonly op: 'add' | 'remove'; readonly table: NftTable }
  | { readonly kind: 'nft-element'; readonly op: 'add' | 'remove'; readonly table: NftTableRef; readonly element: NftElement }
  | {
      readonly kind: 'nft-rule';
      readonly op: 'add' | 'remove';
      readonly family: NftFamily;
      readonly table: string;
      readonly chain: string;
      readonly rule: NftRule;
    };

/** How the commands of one change are worded, after what is known of the kernel. */
export interface Wording {
  /** The table exists: complete it and put its rules anew, in place, keeping its elements. */
  readonly update?: boolean;
  /** Chains in that table that it does not have any more, as an earlier version made them: they lose their rules. */
  readonly stale?: readonly string[];
  /** Something still leads to stale chains, an element of an earlier version: they are left, empty. */
  readonly keepStale?: boolean;
  /**
   * The set is made in the same transaction, so that its elements can only be new. libnftables 1.0.6 then sends the elements of an
   * interval set twice, with the set and on their own: `create` would fail on what it just made itself.
   */
  readonly fresh?: boolean;
  /** Handle of the rule to delete. */
  readonly handle?: number;
}

/** The commands of one change, in order. @throws invalid for text that nft could read as something else. */
export function commands(change: NftChange, wording: Wording = {}): readonly string[] {
  switch (change.kind) {
    case 'nft-table':
      return change.op === 'add' ? tableCommands(change.table, wording) : [`delete table ${renderRef(change.table)}`];
    case 'nft-element':
      return change.op === 'add'
        ? [`${wording.fresh ? 'add' : 'create'} element ${renderElement(change.table, change.element)}`]
        : [`delete element ${renderKey(change.table, change.element)}`];
    case 'nft-rule': {
      const chain = chainRef(change.family, change.table, change.chain);
      if (change.op === 'add') return [`insert rule ${chain} ${renderRule(change.rule)}`];
      return wording.handle === undefined ? [] : [`delete rule ${chain} handle ${wording.handle}`];
    }
  }
}

function tableCommands(table: NftTable, { update = false, stale = [], keepStale = false }: Wording): string[] {
  const add = update ? 'add' : 'create';
  const chain = (name: string): string => chainRef(table.family, table.name, name);
  return [
    `${add} table ${renderRef(table)}`,
    ...table.sets.map((set) => `add ${renderSet(table, set)}`),
    // All chains before any rule: rules jump to chains that come later.
    ...table.chains.map((one) => `add ${renderChain(table, one)}`),
    ...(update ? [...table.chains.map(({ name }) => name), ...stale].map((name) => `flush chain ${chain(name)}`) : []),
    // When no rule leads there any more.
    ...(keepStale ? [] : stale.map((name) => `delete chain ${chain(name)}`)),
    ...table.chains.flatMap(({ name, rules }) => rules.map((rule) => `add rule ${chain(name)} ${renderRule(rule)}`)),
  ];
}

/**
 * Tables that are made, with their elements and nothing else, in one line and few commands. Elements can only be new, so it does not matter
 * in which order they come.
 * @returns null when the list is not that, or has text that nft could read as something else
 */
export function wholeTables(list: readonly NftChange[]): string | null {
  const heads: string[] = [];
  /** Items of sets, by table. */
  const tables = new Map<string, Map<string, string[]>>();
  let last: { readonly table: NftTableRef; readonly sets: Map<string, string[]> } | null = null;
  const known = new Set<string>();
  try {
    for (const change of list) {
      if (change.op !== 'add' || change.kind === 'nft-rule') return null;
      if (change.kind === 'nft-table') {
        tables.set(renderRef(change.table), new Map());
        heads.push(...commands(change));
        continue;
      }
      const { table, element } = change;
      // Thousands of one table follow each other.
      if (last?.table.name !== table.name || last.table.family !== table.family) {
        const sets = tables.get(renderRef(table));
        if (sets === undefined) return null;
        last = { table, sets };
      }
      let items = last.sets.get(element.set);
      if (items === undefined) last.sets.set(checkName(element.set), (items = []));
      items.push(renderItem(element, known));
    }
  } catch (error) {
    if (error instanceof MoorError) return null;
    throw error;
  }
  const elements = [...tables].flatMap(([ref, sets]) =>
    [...sets].map(([set, items]) => `add element ${ref} ${set} { ${items.join(', ')} }`),
  );
  return [...heads, ...elements].join(SEPARATOR);
}

/** Commands on one line: libnftables shows only the first line of a buffer in its errors. */
export const SEPARATOR = '; ';

/** One error of a failed run: which command (by index), and what was said. */
export interface NftError {
  /** -1 when the text names no place. */
  readonly command: number;
  /** `No such file or directory`, `interval overlaps with an existing one` */
  readonly message: string;
}

/** Errors of a run of `list.join(SEPARATOR)`, by the carets that libnftables prints under the line. */
export function locate(list: readonly string[], output: string): readonly NftError[] {
  const ends: number[] = [];
  let end = 0;
  // libnftables counts columns in bytes.
  for (const command of list) ends.push((end += Buffer.byteLength(command) + SEPARATOR.length));
  const errors: { command: number; message: string }[] = [];
  for (const line of output.split('\n')) {
    const head = /^(?:.*?: )?Error: (?:Could not process rule: )?(.*)$/.exec(line);
    const last = errors.at(-1);
    if (head) errors.push({ command: -1, message: head[1] ?? '' });
    else if (last && last.command < 0 && /^[ \t]*[\^~]+/.test(line)) {
      const caret = line.indexOf('^');
      last.command = ends.findIndex((stop) => caret < stop);
    }
  }
  return errors;
}

/** errno(3) by the text of strerror in the C locale, for what nf_tables returns. */
const ERRNO: Readonly<Record<string, readonly [number, string]>> = {
  'Operation not permitted': [1, 'EPERM'],
  'No such file or directory': [2, 'ENOENT'],
  'element does not exist': [2, 'ENOENT'],
  'Cannot allocate memory': [12, 'ENOMEM'],
  'Device or resource busy': [16, 'EBUSY'],
  'File exists': [17, 'EEXIST'],
  'interval overlaps with an existing one': [17, 'EEXIST'],
  'Invalid argument': [22, 'EINVAL'],
  'Too many open files in system': [23, 'ENFILE'],
  'No space left on device': [28, 'ENOSPC'],
  'Numerical result out of range': [34, 'ERANGE'],
  'Operation not supported': [95, 'EOPNOTSUPP'],
};

/** errno of a message, [0, ''] when libnftables refused the text itself. */
export function errnoOf(message: string): readonly [number, string] {
  // `No such file or directory; did you mean table ... ?`
  return ERRNO[message.split(';')[0] ?? ''] ?? [0, ''];
}
