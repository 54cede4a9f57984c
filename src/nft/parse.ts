/** What `nft -j list table` prints (libnftables-json(5)) -> values whose keys are in the text form that `render` uses. */
import { MoorError } from '../base/errors.ts';
import { protocolName } from './names.ts';
import type { NftFamily, NftRule, NftTableState } from './types.ts';

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** @returns the one table of a listing. @throws internal when the text is not such a listing. */
export function parseTable(text: string): NftTableState {
  const chains: Record<string, string[]> = {};
  const sets: Record<string, Record<string, string>> = {};
  const drops: string[] = [];
  let ref: { family: NftFamily; name: string } | undefined;
  for (const [kind, object] of objects(text)) {
    if (kind === 'table') ref = { family: string(object['family']) as NftFamily, name: string(object['name']) };
    else if (kind === 'chain') {
      const name = string(object['name']);
      chains[name] ??= [];
      if (object['policy'] === 'drop') drops.push(name);
    } else if (kind === 'rule') (chains[string(object['chain'])] ??= []).push(string(object['comment'] ?? ''));
    else if (kind === 'set' || kind === 'map') sets[string(object['name'])] = elements(object);
  }
  if (ref === undefined) throw broken('no table in it');
  return { ...ref, chains, sets, ...(drops.length > 0 ? { drops } : {}) };
}

/**
 * Finds a rule by its comment; else by its expression, in a rule without comment. For iptables-save writes a rule of ours as an iptables
 * rule, and iptables-restore puts it back with a counter, and with the comment where nft does not look for it.
 * @param text what `nft -a -s list chain` prints
 * @returns the kernel's handle of the rule; null when there is none.
 */
export function findRule(text: string, { expr, comment }: NftRule): number | null {
  const rules = Array.from(text.matchAll(RULE_LINE), ([, rule = '', handle]) => ({ rule, handle: Number(handle) }));
  const ours = ` comment "${comment}"`;
  const found = rules.find(({ rule }) => rule.endsWith(ours)) ?? rules.find(({ rule }) => bare(rule) === expr);
  return found?.handle ?? null;
}

const RULE_LINE = /^\t\t(.*) # handle (\d+)$/gm;

/** A rule without what iptables adds: `counter`, and the match `comment`, of which nft prints nothing or `xt match "comment"`. */
const bare = (rule: string): string =>
  rule
    .replace(/ xt match "comment"/, '')
    .replace(/ counter /, ' ')
    .replace(/ {2,}/g, ' ');

/** A chain that is called by a hook, as `list chains` shows it. */
export interface BaseChain {
  readonly family: string;
  readonly table: string;
  readonly chain: string;
  readonly type: string;
  readonly hook: string;
  readonly policy: 'accept' | 'drop';
}

/** Base chains, and the names of all other chains as `family table chain`. */
export function parseChains(text: string): { readonly base: readonly BaseChain[]; readonly regular: ReadonlySet<string> } {
  const base: BaseChain[] = [];
  const regular = new Set<string>();
  for (const [kind, object] of objects(text)) {
    if (kind !== 'chain') continue;
    const [family, table, chain] = [string(object['family']), string(object['table']), string(object['name'])];
    if (typeof object['hook'] !== 'string') regular.add(`${family} ${table} ${chain}`);
    else {
      const policy = object['policy'] === 'drop' ? 'drop' : 'accept';
      base.push({ family, table, chain, type: string(object['type'] ?? ''), hook: object['hook'], policy });
    }
  }
  return { base, regular };
}

function* objects(text: string): Generator<readonly [string, { readonly [key: string]: Json }]> {
  let root: Json;
  try {
    root = JSON.parse(text) as Json;
  } catch (error) {
    throw broken(error instanceof Error ? error.message : String(error));
  }
  const list = isObject(root) ? root['nftables'] : undefined;
  if (!Array.isArray(list)) throw broken('no "nftables" array in it');
  for (const item of list as readonly Json[]) {
    if (!isObject(item)) throw broken('an entry is not an object');
    for (const [kind, object] of Object.entries(item)) if (isObject(object)) yield [kind, object];
  }
}

function elements(set: { readonly [key: string]: Json }): Record<string, string> {
  const keyTypes = types(set['type'] ?? '');
  const valueTypes = types(set['map'] ?? '');
  const out: Record<string, string> = {};
  for (const entry of Array.isArray(set['elem']) ? (set['elem'] as readonly Json[]) : []) {
    // A map's element is a pair; both halves of a set's element are the element itself.
    const [key, value] = Array.isArray(entry) ? (entry as readonly Json[]) : [entry];
    out[item(key ?? null, keyTypes)] = value === undefined ? '' : item(value, valueTypes);
  }
  return out;
}

/** `ipv4_addr . inet_service` for a map's data, an array of names for a concatenated key. */
function types(type: Json): readonly string[] {
  if (typeof type === 'string') return type.split(' . ');
  return Array.isArray(type) ? (type as readonly Json[]).map((part) => (typeof part === 'string' ? part : '')) : [];
}

function item(value: Json, names: readonly string[], at = 0): string {
  if (typeof value === 'string') return quotes(names[at]) ? `"${value}"` : value;
  if (typeof value === 'number') return numeral(value, names[at]);
  if (!isObject(value)) throw broken(`an element is ${JSON.stringify(value)}`);
  const [kind] = Object.keys(value);
  const inner = kind === undefined ? null : (value[kind] ?? null);
  switch (kind) {
    case 'concat':
      return array(inner)
        .map((part, index) => item(part, names, index))
        .join(' . ');
    case 'range':
      return array(inner)
        .map((part) => item(part, names, at))
        .join('-');
    case 'prefix':
      if (!isObject(inner)) throw broken('a prefix is not an object');
      return `${string(inner['addr'])}/${number(inner['len'])}`;
    case 'elem': // an element with a time-out, counter or comment
      if (!isObject(inner)) throw broken('an element is not an object');
      return item(inner['val'] ?? null, names, at);
    case 'accept':
    case 'drop':
    case 'return':
    case 'continue':
      return kind;
    case 'jump':
    case 'goto':
      if (!isObject(inner)) throw broken('a verdict is not an object');
      return `${kind} ${string(inner['target'])}`;
    default:
      throw broken(`an element is ${JSON.stringify(value)}`);
  }
}

/** nft prints marks as eight hex digits (mark_type_print), protocols by name where /etc/protocols has one, other numbers in decimal. */
function numeral(value: number, type: string | undefined): string {
  if (type === 'mark') return `0x${value.toString(16).padStart(8, '0')}`;
  return (type === 'inet_proto' ? protocolName(value) : undefined) ?? String(value);
}

/** Types whose symbols nft prints in quotes. */
const quotes = (type: string | undefined): boolean => type === 'ifname' || type === 'ether_type';

const isObject = (value: Json | undefined): value is { readonly [key: string]: Json } =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function array(value: Json): readonly Json[] {
  if (!Array.isArray(value)) throw broken('a list is not an array');
  return value as readonly Json[];
}

function number(value: Json | undefined): number {
  if (typeof value !== 'number') throw broken(`${JSON.stringify(value)} is not a number`);
  return value;
}

function string(value: Json | undefined): string {
  if (typeof value !== 'string') throw broken(`${JSON.stringify(value)} is not a string`);
  return value;
}

const broken = (why: string): MoorError => new MoorError('internal', `Cannot read the nftables listing: ${why}`);
