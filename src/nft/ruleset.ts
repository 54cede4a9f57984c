/** The whole of a host's nftables rules as a value: ours and those of all other tools, for whoever wants to know what becomes of a packet. */
import { isArray, isObject, type Json, type JsonObject, listed } from './json.ts';

export interface RulesetHook {
  readonly type: string;
  /** `prerouting`, `input`, `forward`, `output`, `postrouting`, `ingress`, `egress` */
  readonly hook: string;
  readonly priority: number;
  readonly policy: 'accept' | 'drop';
  /** Of `ingress` and `egress` chains; empty: every device. */
  readonly devices: readonly string[];
}

export interface RulesetRule {
  readonly handle: number;
  /** Statements in order, as libnftables prints them; those of iptables as `translateXt` says them. */
  readonly expr: readonly Json[];
  readonly comment: string;
}

export interface RulesetChain {
  readonly name: string;
  readonly handle: number;
  readonly hook: RulesetHook | null;
  readonly rules: readonly RulesetRule[];
}

/** A named set or map. */
export interface RulesetSet {
  readonly name: string;
  /** One type, or the parts of a concatenation: `['ipv4_addr', 'inet_service']`. */
  readonly types: readonly string[];
  /** Filled by rules or by time-outs: what is in it now says little of tomorrow. */
  readonly dynamic: boolean;
  readonly elements: readonly Json[];
}

export interface RulesetTable {
  readonly family: string;
  readonly name: string;
  readonly handle: number;
  readonly chains: ReadonlyMap<string, RulesetChain>;
  readonly sets: ReadonlyMap<string, RulesetSet>;
}

export interface Ruleset {
  readonly tables: readonly RulesetTable[];
}

/** A statement of iptables that nftables carries along and does not understand, as the kernel holds it. */
export interface XtBlob {
  readonly kind: 'match' | 'target';
  readonly name: string;
  readonly revision: number;
  readonly info: Uint8Array;
}

/** What stands for such a statement in a rule. @returns nothing when it makes no difference to a packet */
export type XtTranslator = (blob: XtBlob, family: string) => readonly Json[];

/** The statements of the iptables rules of a host: by rule (`ip filter FORWARD 12`), in order. */
export type XtBlobs = ReadonlyMap<string, readonly XtBlob[]>;

/** How `XtBlobs` names a rule. */
export const ruleKey = (family: string, table: string, { chain, handle }: { chain: string; handle: number }): string =>
  `${family} ${table} ${chain} ${handle}`;

interface Building {
  readonly family: string;
  readonly name: string;
  readonly handle: number;
  readonly chains: Map<string, RulesetChain & { readonly rules: RulesetRule[] }>;
  readonly sets: Map<string, RulesetSet>;
}

export interface Listings {
  /** What `nft -j list` prints, of the ruleset or of parts of it. */
  readonly listings: readonly string[];
  /** What nft prints of iptables' own matches and targets is their name only: what they say, and how to say it in nft's terms. */
  readonly xt?: { readonly blobs: XtBlobs; readonly translate: XtTranslator };
}

/**
 * @param tables that are to be in it
 * @throws internal when a text is no listing
 */
export function parseRuleset(
  tables: readonly Pick<RulesetTable, 'family' | 'name' | 'handle'>[],
  { listings, xt }: Listings,
): Ruleset {
  const byName = new Map<string, Building>();
  for (const { family, name, handle } of tables)
    byName.set(`${family} ${name}`, { family, name, handle, chains: new Map(), sets: new Map() });
  for (const text of listings) {
    for (const [kind, object] of listed(text)) {
      const table = byName.get(`${word(object['family'])} ${word(object['table'])}`);
      if (table === undefined) continue;
      if (kind === 'chain') {
        const name = word(object['name']);
        table.chains.set(name, { name, handle: count(object['handle']), hook: hookOf(object), rules: [] });
      } else if (kind === 'set' || kind === 'map') {
        const set = setOf(object);
        table.sets.set(set.name, set);
      } else if (kind === 'rule') {
        const chain = word(object['chain']);
        table.chains.get(chain)?.rules.push(ruleOf(object, { table, chain, xt }));
      }
    }
  }
  return { tables: [...byName.values()] };
}

function ruleOf(
  object: JsonObject,
  { table: { family, name }, chain, xt }: { readonly table: Building; readonly chain: string; readonly xt: Listings['xt'] },
): RulesetRule {
  const handle = count(object['handle']);
  const written = isArray(object['expr']) ? object['expr'] : [];
  const blobs = xt?.blobs.get(ruleKey(family, name, { chain, handle }));
  const expr = xt === undefined || blobs === undefined ? written : withXt(written, blobs, (blob) => xt.translate(blob, family));
  return { handle, expr, comment: word(object['comment']) };
}

/** Each `{"xt": ...}` of a rule is the next of its blobs. When they are not as many, something changed in between: they stay unknown. */
function withXt(expr: readonly Json[], blobs: readonly XtBlob[], translate: (blob: XtBlob) => readonly Json[]): readonly Json[] {
  const isXt = (statement: Json): boolean => isObject(statement) && 'xt' in statement;
  if (expr.filter(isXt).length !== blobs.length) return expr;
  let next = 0;
  return expr.flatMap((statement) => {
    if (!isXt(statement)) return [statement];
    const blob = blobs[next++];
    return blob === undefined ? [statement] : translate(blob);
  });
}

function hookOf(object: JsonObject): RulesetHook | null {
  if (typeof object['hook'] !== 'string') return null;
  return {
    type: word(object['type']),
    hook: object['hook'],
    priority: count(object['prio']),
    policy: object['policy'] === 'drop' ? 'drop' : 'accept',
    devices: words(object['dev']),
  };
}

function setOf(object: JsonObject): RulesetSet {
  const flags = words(object['flags']);
  return {
    name: word(object['name']),
    types: words(object['type']),
    dynamic: flags.includes('dynamic') || flags.includes('timeout'),
    elements: isArray(object['elem']) ? object['elem'] : [],
  };
}

const word = (value: Json | undefined): string => (typeof value === 'string' ? value : '');
const count = (value: Json | undefined): number => (typeof value === 'number' ? value : 0);
/** A text, or a list of texts. */
const words = (value: Json | undefined): readonly string[] =>
  typeof value === 'string' ? [value] : isArray(value) ? value.filter((item) => typeof item === 'string') : [];
