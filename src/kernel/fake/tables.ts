/** nftables of the fake kernel: tables with set elements and rule comments; a transaction is a copy that is kept or thrown away. */
import { MoorError } from '../../base/errors.ts';
import { type Change, HOST, type Netns } from '../../contracts/change.ts';
import type { Applied } from '../../contracts/kernel.ts';
import { commands } from '../../nft/transaction.ts';
import type { NftTableRef, NftTableState } from '../../nft/types.ts';
import { ALREADY, CHANGED, conflicting, missing } from '../failure.ts';

export type FakeTable = NftTableRef & {
  readonly chains: Record<string, string[]>;
  readonly sets: Record<string, Record<string, string>>;
};
export type NftMember = Extract<Change, { kind: 'nft-table' | 'nft-element' | 'nft-rule' }>;

/** Of the host: one transaction a list. */
export const isNft = (change: Change): change is NftMember =>
  (change.kind === 'nft-table' && !isInner(change)) || change.kind === 'nft-element' || change.kind === 'nft-rule';

type InnerTable = Extract<Change, { kind: 'nft-table' }> & { readonly netns: Netns };

/** A table in a sandbox. */
export const isInner = (change: Change): change is InnerTable => change.kind === 'nft-table' && (change.netns ?? HOST) !== HOST;

export const tableKey = (table: NftTableRef): string => `${table.family} ${table.name}`;

/** Applies one member to a working copy. */
export function applyNft(tables: Map<string, FakeTable>, change: NftMember): Applied {
  commands(change); // refuses the names and texts that the real one refuses
  switch (change.kind) {
    case 'nft-table': {
      const key = tableKey(change.table);
      const old = tables.get(key);
      if (change.op === 'remove') return tables.delete(key) ? CHANGED : ALREADY;
      const next: FakeTable = {
        family: change.table.family,
        name: change.table.name,
        chains: isInner(change) ? { ...old?.chains } : led(old),
        sets: { ...old?.sets },
      };
      for (const set of change.table.sets) next.sets[set.name] ??= {};
      for (const chain of change.table.chains) next.chains[chain.name] = chain.rules.map((rule) => rule.comment);
      tables.set(key, next);
      return old === undefined ? CHANGED : ALREADY;
    }
    case 'nft-element': {
      const { set, key, value = '' } = change.element;
      const elements = tables.get(tableKey(change.table))?.sets[set];
      if (elements === undefined) {
        return change.op === 'remove' ? ALREADY : missing(change, `No such file or directory`);
      }
      const old = elements[key];
      // By key alone, as nft does.
      if (change.op === 'remove') return old !== undefined && delete elements[key] ? CHANGED : ALREADY;
      if (old === value) return ALREADY;
      if (old !== undefined) return conflicting(change, `its value is ${old}, not ${value}`);
      elements[key] = value;
      return CHANGED;
    }
    case 'nft-rule': {
      const rules = tables.get(tableKey({ family: change.family, name: change.table }))?.chains[change.chain];
      const at = rules?.indexOf(change.rule.comment) ?? -1;
      if (change.op === 'remove') return at >= 0 && rules?.splice(at, 1) ? CHANGED : ALREADY;
      if (rules === undefined) throw new MoorError('not-found', 'No such file or directory');
      if (at >= 0) return ALREADY;
      rules.unshift(change.rule.comment);
      return CHANGED;
    }
  }
}

/** Chains that an element leads to, which are left, empty; others of an earlier version go. */
function led(table: FakeTable | undefined): Record<string, string[]> {
  const verdicts = Object.values(table?.sets ?? {}).flatMap((elements) => Object.values(elements));
  const names = Object.keys(table?.chains ?? {}).filter((name) =>
    verdicts.some((one) => /^(?:goto|jump) /.test(one) && one.slice(5) === name),
  );
  return Object.fromEntries(names.map((name) => [name, []]));
}

export const copyTables = (tables: ReadonlyMap<string, FakeTable>): Map<string, FakeTable> => structuredClone(new Map(tables));

export const tableState = (table: FakeTable): NftTableState => structuredClone(table);
