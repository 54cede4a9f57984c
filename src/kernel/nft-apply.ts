/**
 * All nftables changes of a list as one transaction. The commands are strict, so success says that each changed something. When the
 * kernel refuses, libnftables names every guilty command; those that only found their work done are taken out, and the rest is sent
 * again. Nothing is applied before everything can be.
 */
import { MoorError } from '../base/errors.ts';
import type { Applied } from '../contracts/kernel.ts';
import { findRule } from '../nft/parse.ts';
import { chainRef, renderRef } from '../nft/render.ts';
import { type NftChange, type NftError, SEPARATOR, type Wording, commands, errnoOf, locate } from '../nft/transaction.ts';
import type { NftElement, NftTableRef } from '../nft/types.ts';
import { errnoKind } from '../sys/errors.ts';
import { ALREADY, CHANGED, conflicting, failed } from './failure.ts';
import { type NftRunner, list, listTable } from './nft-run.ts';

/** A change, its place in the list, and how it is worded by now. */
interface Member {
  readonly at: number;
  readonly change: NftChange;
  readonly wording: Wording;
}

export interface NftContext {
  readonly nft: NftRunner;
  readonly results: Applied[];
  readonly keepGoing: boolean;
}

/** @returns false when one failed and nothing more may follow; none of them is applied then */
export function applyNft(list: readonly { readonly at: number; readonly change: NftChange }[], context: NftContext): boolean {
  return new Transaction(context).apply(list);
}

class Transaction {
  readonly #context: NftContext;

  constructor(context: NftContext) {
    this.#context = context;
  }

  apply(all: readonly { readonly at: number; readonly change: NftChange }[]): boolean {
    const { nft, results, keepGoing } = this.#context;
    let members = this.#prepare(all);
    while (members !== null && members.length > 0) {
      const texts: string[] = [];
      const owners: Member[] = [];
      for (const member of members) {
        for (const text of commands(member.change, member.wording)) {
          texts.push(text);
          owners.push(member);
        }
      }
      const { rc, error } = nft.run(texts.join(SEPARATOR));
      if (rc === 0) {
        // A table that was there and was completed is nobody's to remove on undo.
        for (const { at, wording } of members) results[at] = wording.update ? ALREADY : CHANGED;
        return this.#fine(all);
      }
      const errors = locate(texts, error);
      const guilty = new Map<Member, NftError>();
      for (const found of errors) {
        const owner = owners[found.command];
        if (owner !== undefined && !guilty.has(owner)) guilty.set(owner, found);
      }
      const next = guilty.size > 0 ? this.#resolve(members, guilty) : null;
      if (next !== null) members = next;
      else if (keepGoing && members.length > 1) {
        for (const member of members) this.apply([member]);
        return true;
      } else {
        const [first] = members;
        if (first !== undefined) results[first.at] = refused(first.change, errors[0]?.message ?? error.trim());
        return keepGoing;
      }
      if (!keepGoing && !this.#fine(all)) return false;
    }
    return members !== null && (keepGoing || this.#fine(all));
  }

  #fine(all: readonly { readonly at: number }[]): boolean {
    return this.#context.keepGoing || all.every(({ at }) => this.#context.results[at]?.state !== 'failed');
  }

  /** Looks up what strict commands do not tell. @returns null when one failed and nothing more may follow */
  #prepare(all: readonly { readonly at: number; readonly change: NftChange }[]): readonly Member[] | null {
    const { nft, results, keepGoing } = this.#context;
    const made = new Set<string>();
    const elements = new Set<string>();
    const values = this.#values(all.map(({ change }) => change));
    const members: Member[] = [];
    for (const { at, change } of all) {
      try {
        commands(change);
        if (change.kind === 'nft-table') {
          if (change.op === 'add') made.add(renderRef(change.table));
          members.push({ at, change, wording: {} });
        } else if (change.kind === 'nft-element') {
          const key = elementKey(change.table, change.element);
          const known = values(change.table, change.element);
          // `delete element` looks at the key alone: another value under it is somebody else's, and stays.
          if (change.op === 'remove' && known !== undefined && known !== change.element.value && !elements.has(key))
            results[at] = ALREADY;
          else members.push({ at, change, wording: { fresh: change.op === 'add' && made.has(renderRef(change.table)) } });
          elements.add(key);
        } else {
          const chain = chainRef(change.family, change.table, change.chain);
          const listing = list(nft, `list chain ${chain}`);
          const handle = listing === null ? null : findRule(listing, change.rule.comment);
          if ((change.op === 'add') === (handle !== null)) results[at] = ALREADY;
          else members.push({ at, change, wording: handle === null ? {} : { handle } });
        }
      } catch (error) {
        results[at] = failed(change, error);
        if (!keepGoing) return null;
      }
    }
    return members;
  }

  /** Values in the kernel of the map elements that are to be removed: undefined = not asked, null = not there. */
  #values(changes: readonly NftChange[]): (table: NftTableRef, element: NftElement) => string | null | undefined {
    const wanted = changes.filter(
      (change) => change.kind === 'nft-element' && change.op === 'remove' && change.element.value !== undefined,
    );
    const lookups = new Map<string, string | null>();
    const groups = Map.groupBy(wanted, (change) =>
      change.kind === 'nft-element' ? `${renderRef(change.table)} ${change.element.set}` : '',
    );
    for (const group of groups.values()) {
      const members = group.filter((change) => change.kind === 'nft-element');
      const [first] = members;
      if (first === undefined) continue;
      const found = getElements(
        this.#context.nft,
        first.table,
        members.map((change) => change.element),
      );
      for (const { table, element } of members) lookups.set(elementKey(table, element), found.get(element.key) ?? null);
    }
    return (table, element) => lookups.get(elementKey(table, element));
  }

  /** @returns the members to send again, null when nothing was learned */
  #resolve(members: readonly Member[], guilty: ReadonlyMap<Member, NftError>): readonly Member[] | null {
    const { nft, results } = this.#context;
    // A table that is there makes commands behind its `create` fail, too: that first.
    const tables = new Set<string>();
    for (const [{ change, wording }, { message }] of guilty) {
      if (change.kind === 'nft-table' && change.op === 'add' && !wording.update && codeOf(message) === 'EEXIST')
        tables.add(renderRef(change.table));
    }
    if (tables.size > 0) {
      return members.map((member) => {
        if (member.change.kind === 'nft-rule' || !tables.has(renderRef(member.change.table))) return member;
        const add = member.change.op === 'add';
        return { ...member, wording: member.change.kind === 'nft-table' ? { update: add } : {} };
      });
    }
    const states = new Map<string, ReturnType<typeof listTable>>();
    const stateOf = (table: NftTableRef): ReturnType<typeof listTable> => {
      const key = renderRef(table);
      const known = states.get(key);
      if (known !== undefined) return known;
      const state = listTable(nft, table);
      states.set(key, state);
      return state;
    };
    const again: Member[] = [];
    let learned = false;
    // One ENOENT for a table or set stops libnftables before it looks at the others: ask about all of them at once.
    const missing = [...guilty.values()].some(({ message }) => codeOf(message) === 'ENOENT');
    for (const member of members) {
      const error = guilty.get(member);
      const settled = this.#settle(member, error, missing ? stateOf : null);
      if (settled === null) again.push(member);
      else if ('state' in settled) results[member.at] = settled;
      else again.push(settled);
      learned ||= settled !== null;
    }
    return learned ? again : null;
  }

  /** @returns its result, another wording, or null when it is to be sent as it was */
  #settle(
    member: Member,
    error: NftError | undefined,
    stateOf: ((table: NftTableRef) => ReturnType<typeof listTable>) | null,
  ): Applied | Member | null {
    const { change, wording } = member;
    if (change.kind === 'nft-element' && stateOf !== null) {
      const set = stateOf(change.table)?.sets[change.element.set];
      if (change.op === 'remove' && !Object.hasOwn(set ?? {}, change.element.key)) return ALREADY;
      if (change.op === 'add' && set === undefined && error !== undefined) return refused(change, error.message);
    }
    if (error === undefined) return null;
    const code = codeOf(error.message);
    if (change.op === 'remove') return code === 'ENOENT' ? ALREADY : refused(change, error.message);
    if (change.kind === 'nft-element' && code === 'EEXIST') {
      const value = getElements(this.#context.nft, change.table, [change.element]).get(change.element.key);
      const wanted = change.element.value ?? '';
      if (value === wanted) return ALREADY;
      if (value !== undefined) return conflicting(change, `its value is ${value}, not ${wanted}`);
      // Not there, and yet: see `fresh`.
      if (!wording.fresh && /^File exists/.test(error.message)) return { ...member, wording: { fresh: true } };
    }
    return refused(change, error.message);
  }
}

/** Elements that are there, key -> value ('' in a set). */
function getElements(nft: NftRunner, table: NftTableRef, elements: readonly NftElement[]): ReadonlyMap<string, string> {
  const [first] = elements;
  if (first === undefined) return new Map();
  const keys = elements.map((element) => element.key);
  const { rc, output } = nft.run(`get element ${renderRef(table)} ${first.set} { ${keys.join(', ')} }`);
  if (rc === 0) return parseElements(output);
  // One that is missing fails the whole question.
  const set = keys.length === 1 ? {} : listTable(nft, table)?.sets[first.set];
  return new Map(Object.entries(set ?? {}));
}

/** `get element` answers with text whatever output was asked for (nft 1.0.6). */
function parseElements(text: string): ReadonlyMap<string, string> {
  const inner = /elements = \{ ([^}]*) \}/.exec(text.replaceAll(/\s+/g, ' '))?.[1] ?? '';
  const found = new Map<string, string>();
  for (const item of inner.split(', ')) {
    const [key = '', value = ''] = item.split(' : ');
    found.set(key, value);
  }
  return found;
}

const elementKey = (table: NftTableRef, element: NftElement): string => `${renderRef(table)} ${element.set} ${element.key}`;

const codeOf = (message: string): string => errnoOf(message)[1];

function refused(change: NftChange, message: string): Applied {
  const [errno, code] = errnoOf(message);
  if (errno === 0) return failed(change, new MoorError('invalid', message));
  return failed(change, new MoorError(errnoKind(errno), message, { kernel: { operation: 'nft', errno, code } }));
}
