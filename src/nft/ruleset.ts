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
  /** Not active while the program that owns it sleeps (flag `dormant`). */
  readonly dormant: boolean;
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
  readonly dormant: boolean;
  readonly chains: Map<string, RulesetChain & { readonly rules: RulesetRule[] }>;
  readonly sets: Map<string, RulesetSet>;
}

/**
 * @param text what `nft -j list ruleset` prints
 * @param xt what nft prints of iptables' own matches and targets is their name only: what they say, and how to say it in nft's terms
 * @throws internal when the text is no listing
 */
export function parseRuleset(text: string, xt?: { readonly blobs: XtBlobs; readonly translate: XtTranslator }): Ruleset {
  const tables = new Map<string, Building>();
  const tableOf = (object: JsonObject): Building | undefined => tables.get(`${word(object['family'])} ${word(object['table'])}`);
  for (const [kind, object] of listed(text)) {
    if (kind === 'table') {
      const [family, name] = [word(object['family']), word(object['name'])];
      const dormant = words(object['flags']).includes('dormant');
      tables.set(`${family} ${name}`, {
        family,
        name,
        handle: count(object['handle']),
        dormant,
        chains: new Map(),
        sets: new Map(),
      });
    } else if (kind === 'chain') {
      const name = word(object['name']);
      tableOf(object)?.chains.set(name, { name, handle: count(object['handle']), hook: hookOf(object), rules: [] });
    } else if (kind === 'set' || kind === 'map') {
      const set = setOf(object);
      tableOf(object)?.sets.set(set.name, set);
    } else if (kind === 'rule') {
      const table = tableOf(object);
      const chain = word(object['chain']);
      const handle = count(object['handle']);
      const written = isArray(object['expr']) ? object['expr'] : [];
      const blobs = xt?.blobs.get(ruleKey(table?.family ?? '', table?.name ?? '', { chain, handle }));
      const expr =
        xt === undefined || blobs === undefined ? written : withXt(written, blobs, (b) => xt.translate(b, table?.family ?? ''));
      table?.chains.get(chain)?.rules.push({ handle, expr, comment: word(object['comment']) });
    }
  }
  return { tables: [...tables.values()] };
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
