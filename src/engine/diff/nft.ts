/** The instance's table, its elements, and rules of ours in chains of others. */
import type { Change } from '../../contracts/change.ts';
import { isName } from '../../nft/names.ts';
import type { NftTable, NftTableState } from '../../nft/types.ts';
import type { Actual, Repair } from './actual.ts';

type Of<K extends Change['kind']> = Extract<Change, { readonly kind: K }>;

export function missingTable(change: Of<'nft-table'>, actual: Actual): Repair<Change>[] {
  const state = actual.table(change.table, change.netns);
  if (state === undefined) return [{ change, why: 'it was deleted' }];
  const why = tableDamage(change.table, state) ?? (change.netns === undefined ? surplus(change.table, state) : null);
  return why === null ? [] : [{ change, why }];
}

/** The first thing about a table that is not as it was made. */
function tableDamage(table: NftTable, state: NftTableState): string | null {
  for (const { name } of table.sets) if (state.sets[name] === undefined) return `its set ${name} was deleted`;
  for (const { name, rules, hook } of table.chains) {
    const have = state.chains[name];
    if (have === undefined) return `its chain ${name} was deleted`;
    if (rules.length !== have.length || rules.some((rule, i) => rule.comment !== have[i]))
      return `the rules of its chain ${name} were changed`;
    if (hook?.policy === 'accept' && state.drops?.includes(name) === true) return `the policy of its chain ${name} was drop`;
  }
  return null;
}

/** A chain of an earlier version: its rules still hold, and cost. */
function surplus(table: NftTable, state: NftTableState): string | null {
  const wanted = new Set(table.chains.map(({ name }) => name));
  const name = Object.keys(state.chains).find((chain) => !wanted.has(chain) && isName(chain));
  return name === undefined ? null : `chain ${name} does not belong to it`;
}

export function missingElement(change: Of<'nft-element'>, actual: Actual): Repair<Change>[] {
  const { set, key, value = '' } = change.element;
  const have = actual.table(change.table)?.sets[set]?.[key];
  if (have === value) return [];
  if (have === undefined) return [{ change, why: 'it was deleted' }];
  const why = `it was ${have}`;
  const { value: _, ...bare } = change.element;
  return [
    { change: { ...change, op: 'remove', element: have === '' ? bare : { ...bare, value: have } }, why },
    { change, why },
  ];
}

/** A chain of somebody else's that is not there has no use for our rule: its tool does not run. */
export function missingForeignRule(change: Of<'nft-rule'>, actual: Actual): Repair<Change>[] {
  const chain = actual.table({ family: change.family, name: change.table })?.chains[change.chain];
  if (chain === undefined || chain.includes(change.rule.comment)) return [];
  return [{ change, why: 'it was deleted' }];
}
