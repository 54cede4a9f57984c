/**
 * All nftables changes of a list as one transaction. The commands are strict, so success says that each changed something. When the
 * kernel refuses, libnftables names every guilty command; those that only found their work done are taken out, and the rest is sent
 * again. Nothing is applied before everything can be.
 */
import { MoorError } from '../base/errors.ts';
import type { Applied } from '../contracts/kernel.ts';
import { isName, numericKey } from '../nft/names.ts';
import { findRule, parseChains } from '../nft/parse.ts';
import { chainRef, renderKey, renderRef } from '../nft/render.ts';
import {
  type NftChange,
  type NftError,
  SEPARATOR,
  type Wording,
  commands,
  errnoOf,
  locate,
  wholeTables,
} from '../nft/transaction.ts';
import type { NftElement, NftTable, NftTableRef, NftTableState } from '../nft/types.ts';
import { errnoKind } from '../sys/errors.ts';
import { ALREADY, CHANGED, conflicting, failed } from './failure.ts';
import { type NftRunner, list, listTable } from './nft-run.ts';

/** A change, its place in the list, and how it is worded by now. */
interface Member {
  readonly at: number;
  readonly change: NftChange;
  readonly wording: Wording;
}

interface Entry {
  readonly at: number;
  readonly change: NftChange;
}

/** The value under an element's key ('' in a set), null = not there, undefined = not asked. */
type Lookup = (table: NftTableRef, element: NftElement) => string | null | undefined;

export interface NftContext {
  readonly nft: NftRunner;
  readonly results: Applied[];
  readonly keepGoing: boolean;
}

/** @returns false when one failed and nothing more may follow; none of them is applied then */
export function applyNft(list: readonly Entry[], context: NftContext): boolean {
  return new Transaction(context).apply(list);
}

class Transaction {
  readonly #context: NftContext;

  constructor(context: NftContext) {
    this.#context = context;
  }

  apply(all: readonly Entry[]): boolean {
    const { nft, results, keepGoing } = this.#context;
    if (this.#applyNew(all)) return true;
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

  /**
   * A new table with a thousand networks in it: libnftables reads the elements of a set in one command several times as fast as each in a
   * command of its own.
   * @returns false when the list is something else, or the kernel refused: then each has its command, so that the guilty ones can be told
   */
  #applyNew(all: readonly Entry[]): boolean {
    const text = all.length > SHORT ? wholeTables(all.map(({ change }) => change)) : null;
    if (text === null || this.#context.nft.run(text).rc !== 0) return false;
    for (const { at } of all) this.#context.results[at] = CHANGED;
    return true;
  }

  #fine(all: readonly { readonly at: number }[]): boolean {
    return this.#context.keepGoing || all.every(({ at }) => this.#context.results[at]?.state !== 'failed');
  }

  /** Looks up what strict commands do not tell. @returns null when one failed and nothing more may follow */
  #prepare(all: readonly Entry[]): readonly Member[] | null {
    const { results, keepGoing } = this.#context;
    const made = new Set<string>();
    const seen = new Set<string>();
    const lookup = this.#lookup(all.map(({ change }) => change));
    const members: Member[] = [];
    for (const { at, change } of all) {
      try {
        commands(change);
        const wording = this.#word(change, {
          made,
          known: (table, element) => (seen.has(elementKey(table, element)) ? undefined : lookup(table, element)),
        });
        if ('state' in wording) results[at] = wording;
        else members.push({ at, change, wording });
        if (change.kind === 'nft-element') seen.add(elementKey(change.table, change.element));
      } catch (error) {
        results[at] = failed(change, error);
      }
      if (results[at]?.state === 'failed' && !keepGoing) return null;
    }
    return members;
  }

  /** @returns how to say it, or its result when there is nothing to do */
  #word(change: NftChange, { made, known }: { readonly made: Set<string>; readonly known: Lookup }): Wording | Applied {
    switch (change.kind) {
      case 'nft-table':
        if (change.op === 'add') made.add(renderRef(change.table));
        return {};
      case 'nft-element': {
        const value = known(change.table, change.element);
        const wanted = change.element.value ?? '';
        // By key alone, as `delete element` does. To look at the value first, libnftables 1.0.6 would fetch the whole set.
        if (change.op === 'remove') return value === null ? ALREADY : {};
        if (value === wanted) return ALREADY;
        if (typeof value === 'string') return conflicting(change, `its value is ${value}, not ${wanted}`);
        return { fresh: made.has(renderRef(change.table)) };
      }
      case 'nft-rule': {
        const listing = list(this.#context.nft, `list chain ${chainRef(change.family, change.table, change.chain)}`, false);
        const handle = listing === null ? null : findRule(listing, change.rule);
        if ((change.op === 'add') === (handle !== null)) return ALREADY;
        return handle === null ? {} : { handle };
      }
    }
  }

  /**
   * What is in the kernel of the elements of a long list, which is looked up first: libnftables repeats the whole line in each error,
   * and a failed transaction costs the kernel an RCU grace period. A short one takes its chance.
   */
  #lookup(changes: readonly NftChange[]): Lookup {
    const { nft } = this.#context;
    const found = new Map<string, string | null>();
    const elements = changes.filter((change) => change.kind === 'nft-element');
    if (elements.length <= SHORT) return () => undefined;
    const states = new Map<string, NftTableState | null>();
    for (const { table, element } of elements) {
      const ref = renderRef(table);
      if (!states.has(ref)) states.set(ref, listTable(nft, table));
      found.set(elementKey(table, element), states.get(ref)?.sets[element.set]?.[element.key] ?? null);
    }
    return (table, element) => found.get(elementKey(table, element));
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
        if (member.change.kind !== 'nft-table') return { ...member, wording: {} };
        return {
          ...member,
          wording: member.change.op === 'add' ? { update: true, stale: staleChains(nft, member.change.table) } : {},
        };
      });
    }
    // An element that cannot be found stops libnftables before it looks at the others: ask about all of them at once.
    const lost = [...guilty.values()].some(({ message }) => codeOf(message) === 'ENOENT');
    const states = new Map<string, NftTableState | null>();
    const added = new Set<string>();
    const again: Member[] = [];
    for (const member of members) {
      const { change } = member;
      let settled: Applied | Member | null = null;
      if (lost && change.kind === 'nft-element' && !added.has(elementKey(change.table, change.element))) {
        const key = renderRef(change.table);
        if (!states.has(key)) states.set(key, listTable(nft, change.table));
        settled = lookAt(change, states.get(key) ?? null, guilty.get(member));
      }
      settled ??= this.#settle(member, guilty.get(member));
      if (change.kind === 'nft-element' && change.op === 'add') added.add(elementKey(change.table, change.element));
      if (settled === null) again.push(member);
      else if ('state' in settled) results[member.at] = settled;
      else again.push(settled);
    }
    const learned = again.length < members.length || again.some((member) => !members.includes(member));
    return learned ? again : null;
  }

  /** @returns its result, another wording, or null when it is to be sent as it was */
  #settle(member: Member, error: NftError | undefined): Applied | Member | null {
    const { change, wording } = member;
    if (error === undefined) return null;
    const code = codeOf(error.message);
    if (change.op === 'remove') return code === 'ENOENT' ? ALREADY : refused(change, error.message);
    if (code === 'EBUSY' && wording.stale?.length && !wording.keepStale)
      return { ...member, wording: { ...wording, keepStale: true } };
    if (change.kind === 'nft-element' && code === 'EEXIST') {
      const value = getElement(this.#context.nft, change.table, change.element);
      const wanted = change.element.value ?? '';
      if (value === wanted) return ALREADY;
      if (value !== undefined) return conflicting(change, `its value is ${value}, not ${wanted}`);
      // Not there, and yet: see `fresh`.
      if (!wording.fresh && error.message.startsWith('File exists')) return { ...member, wording: { fresh: true } };
    }
    return refused(change, error.message);
  }
}

/** An element of a table that was listed after something in it could not be found. @returns null when that says nothing */
function lookAt(
  change: NftChange & { readonly kind: 'nft-element' },
  state: NftTableState | null,
  error: NftError | undefined,
): Applied | null {
  const set = state?.sets[change.element.set];
  if (change.op === 'remove') return Object.hasOwn(set ?? {}, change.element.key) ? null : ALREADY;
  return set === undefined && error !== undefined ? refused(change, error.message) : null;
}

/** Chains that the kernel has in a table, and the table as it should be has not. Not those of names that we would not give. */
function staleChains(nft: NftRunner, { family, name, chains }: NftTable): readonly string[] {
  const listing = list(nft, 'list chains');
  if (listing === null) return [];
  const { base, regular } = parseChains(listing);
  const prefix = `${family} ${name} `;
  const wanted = new Set(chains.map((one) => one.name));
  return [...base.map((one) => `${one.family} ${one.table} ${one.chain}`), ...regular]
    .flatMap((one) => (one.startsWith(prefix) ? [one.slice(prefix.length)] : []))
    .filter((one) => !wanted.has(one) && isName(one));
}

/** Elements in a list that is sent without a look. */
const SHORT = 32;

/**
 * The value under an element's key ('' in a set), undefined when there is none. (One key a question: libnftables 1.0.6 puts all into
 * one netlink message without looking at its size, and dies of a segmentation fault between 200 and 300.)
 */
function getElement(nft: NftRunner, table: NftTableRef, element: NftElement): string | undefined {
  const { rc, output } = nft.run(`get element ${renderKey(table, element)}`);
  if (rc !== 0) return undefined;
  const found = parseElements(output);
  return found.get(element.key) ?? found.get(numericKey(element.key));
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
