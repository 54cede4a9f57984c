/**
 * Chains of others that may stop what programs of this host send. They see a connection to 127.0.0.1 that is translated leave by `lo`, as
 * the kernel routes it anew only behind them, and most firewalls let that pass; one to the container they see leave by its bridge.
 */
import type { ForeignChain } from '../contracts/kernel.ts';
import { isArray, isObject, type Json, type JsonObject, listed, single } from '../nft/json.ts';
import type { BaseChain } from '../nft/parse.ts';
import { type NftRunner, list } from './nft-run.ts';
import { legacyTables } from './ruleset.ts';

/** Families whose output hook IP packets pass. */
const FAMILIES: ReadonlySet<string> = new Set(['inet', 'ip', 'ip6']);
/** Chains of one table that are looked into; who has more is taken for one that stops something. */
const MOST = 32;
/** Targets of iptables that only look, or write something on a packet. */
const PASSING: ReadonlySet<string> = new Set(['LOG', 'NFLOG', 'MARK', 'CONNMARK', 'TCPMSS', 'CLASSIFY', 'DSCP', 'CT', 'TRACE']);
/** Tables of iptables that have a chain OUTPUT which is no NAT. */
const LEGACY = /^ip6? (filter|mangle|raw|security)$/;

/** @param foreign base chains of others */
export function foreignOutput(nft: NftRunner, foreign: readonly BaseChain[]): readonly ForeignChain[] {
  const seen = foreign
    .filter(({ hook, type, family }) => hook === 'output' && type !== 'nat' && FAMILIES.has(family))
    .filter((chain) => chain.policy === 'drop' || mayStop(nft, chain))
    .map(({ family, table, chain }) => ({ family, table, chain }));
  const unseen = legacyTables()
    .filter((name) => LEGACY.test(name))
    .map((name) => ({ family: name.split(' ')[0] ?? '', table: `${name.split(' ')[1]} of iptables-legacy`, chain: 'OUTPUT' }));
  return [...seen, ...unseen];
}

/** What cannot be read may. */
function mayStop(nft: NftRunner, chain: BaseChain): boolean {
  try {
    return stops(nft, chain);
  } catch {
    return true;
  }
}

/** Whether a rule of the chain, or of one that it leads to, may be the end of a packet. */
function stops(nft: NftRunner, { family, table, chain }: BaseChain): boolean {
  const names = new Set([chain]);
  for (const name of names) {
    if (names.size > MOST) return true;
    const text = list(nft, `list chain ${family} ${table} ${name}`);
    if (text === null) continue;
    for (const [kind, object] of listed(text)) {
      if (kind !== 'rule') continue;
      const next = leads(object);
      if (next === 'end') return true;
      for (const target of next) names.add(target);
    }
  }
  return false;
}

/** Chains that a rule leads to; `end`: it may stop a packet. */
function leads({ expr = null }: JsonObject): readonly string[] | 'end' {
  const targets: string[] = [];
  for (const statement of isArray(expr) ? expr : []) {
    const [kind, inner] = single(statement) ?? ['', null];
    if (ENDS.has(kind) || (kind === 'xt' && isStopping(inner))) return 'end';
    const target = isObject(inner) ? inner['target'] : undefined;
    if ((kind === 'jump' || kind === 'goto') && typeof target === 'string') targets.push(target);
  }
  return targets;
}

/** A map of verdicts may have any. */
const ENDS: ReadonlySet<string> = new Set(['drop', 'reject', 'queue', 'vmap']);

const isStopping = (xt: Json): boolean =>
  isObject(xt) && xt['type'] === 'target' && !(typeof xt['name'] === 'string' && PASSING.has(xt['name']));
