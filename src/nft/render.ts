/** nftables values -> the text that `nft -f` reads. */
import { checkExpr, checkKey, checkName, checkPriority, checkType, checkValue, quoteComment } from './names.ts';
import type { NftChain, NftElement, NftFamily, NftRule, NftSet, NftTable, NftTableRef } from './types.ts';

/** `inet moor`. @throws invalid for a name that nft would not read as one. */
export const renderRef = (table: NftTableRef): string => `${table.family} ${checkName(table.name)}`;

/** A whole table as a file for people: what `nft list table` prints, without elements. @throws invalid */
export function render(table: NftTable): string {
  const blocks = [
    ...table.sets.map((set) => block(`${setWord(set)} ${checkName(set.name)}`, setBody(set))),
    ...table.chains.map((chain) =>
      block(`chain ${checkName(chain.name)}`, [...chainBody(chain), ...chain.rules.map(renderRule)]),
    ),
  ];
  return `table ${renderRef(table)} {\n${blocks.join('\n')}}\n`;
}

/** A set or map as the argument of `add set` / `add map`. */
export function renderSet(table: NftTableRef, set: NftSet): string {
  return `${setWord(set)} ${renderRef(table)} ${checkName(set.name)} { ${setBody(set).join('; ')}; }`;
}

/** A chain as the argument of `add chain`. */
export function renderChain(table: NftTableRef, chain: NftChain): string {
  const body = chainBody(chain);
  return `chain ${chainRef(table.family, table.name, chain.name)}${body.length === 0 ? '' : ` { ${body.join(' ')} }`}`;
}

export const chainRef = (family: NftFamily, table: string, chain: string): string =>
  `${family} ${checkName(table)} ${checkName(chain)}`;

/** One rule with its comment. */
export const renderRule = (rule: NftRule): string => `${checkExpr(rule.expr)} comment ${quoteComment(rule.comment)}`;

/** An element as the argument of `add element`: `inet moor within { "br-a" . "br-a" : accept }`. */
export function renderElement(table: NftTableRef, element: NftElement): string {
  return `${renderRef(table)} ${checkName(element.set)} { ${renderItem(element)} }`;
}

/** An element's key alone, as the argument of `delete element` and `get element`: the kernel looks at nothing else. */
export function renderKey(table: NftTableRef, element: NftElement): string {
  return `${renderRef(table)} ${checkName(element.set)} { ${checkKey(element.key)} }`;
}

/**
 * `key` or `key : value`, as between the braces of a listing.
 * @param known values that have been looked at: of thousands of elements there are few
 */
export function renderItem({ key, value }: NftElement, known?: Set<string>): string {
  if (value === undefined) return checkKey(key);
  if (known?.has(value) !== true) {
    checkValue(value);
    known?.add(value);
  }
  return `${checkKey(key)} : ${value}`;
}

const setWord = (set: NftSet): 'set' | 'map' => (set.value === undefined ? 'set' : 'map');

function setBody(set: NftSet): string[] {
  const type = set.value === undefined ? checkType(set.key) : `${checkType(set.key)} : ${checkType(set.value)}`;
  return set.flags === undefined || set.flags.length === 0 ? [`type ${type}`] : [`type ${type}`, `flags ${set.flags.join(',')}`];
}

function chainBody(chain: NftChain): string[] {
  if (chain.hook === undefined) return [];
  const { type, hook, priority, policy } = chain.hook;
  return [`type ${type} hook ${hook} priority ${checkPriority(priority)}; policy ${policy};`];
}

const block = (head: string, lines: readonly string[]): string =>
  `\t${head} {\n${lines.map((line) => `\t\t${line}\n`).join('')}\t}\n`;
