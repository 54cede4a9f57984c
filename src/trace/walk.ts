/** One packet through one chain and those that it jumps to. */
import { isArray, isObject, type Json, single } from '../nft/json.ts';
import type { RulesetChain, RulesetRule } from '../nft/ruleset.ts';
import type { Decider } from './decider.ts';
import { union } from './intervals.ts';
import { elementsOf, lookup } from './lookup.ts';
import { elementListOf, type Place, test } from './match.ts';
import { kindOf, type Packet } from './packet.ts';
import { effectOf } from './statement.ts';
import { type NatStatement, resolve, type Translation } from './translate.ts';
import { valueOf, wordsOf } from './value.ts';

export type End =
  /** `lost`: a translation to where we cannot tell */
  | { readonly type: 'accept' | 'drop' | 'reject' | 'lost'; readonly packet: Packet; readonly by: Decider }
  | { readonly type: 'translate'; readonly packet: Packet; readonly by: Decider; readonly to: Translation };

/** Where the parts of a packet are after something: at an end, or on. */
interface Progress {
  readonly ended: readonly End[];
  /** Go on with what comes next. */
  readonly next: readonly Packet[];
  /** Left the chain: `return`, or the end of a chain that was gone to. */
  readonly left: readonly Packet[];
}

const NOTHING: Progress = { ended: [], next: [], left: [] };
const join = (parts: readonly Progress[]): Progress => ({
  ended: parts.flatMap(({ ended }) => ended),
  next: parts.flatMap(({ next }) => next),
  left: parts.flatMap(({ left }) => left),
});

/** NFT_JUMP_STACK_SIZE, <net/netfilter/nf_tables.h>: deeper ones are refused by the kernel. */
const DEEPEST = 16;
/** Parts of one packet that are followed one by one; with more the rest is not told apart any more. */
const MOST_PARTS = 256;

/** @returns ends, and what fell out of the chain: the policy decides, or the caller goes on */
export const walkChain = (chain: RulesetChain, packets: readonly Packet[], place: Place): Walked =>
  walk({ chain, place, depth: 0 }, packets);

interface Walked {
  readonly ended: readonly End[];
  readonly fell: readonly Packet[];
}

function walk(at: Omit<Here, 'rule'>, packets: readonly Packet[]): Walked {
  const ended: End[] = [];
  const fell: Packet[] = [];
  let current = packets;
  for (const rule of at.chain.rules) {
    if (current.length === 0) break;
    const progress = join(current.map((packet) => walkRule({ ...at, rule }, 0, packet)));
    ended.push(...progress.ended);
    fell.push(...progress.left);
    current = merged(progress.next);
  }
  return { ended, fell: merged([...fell, ...current]) };
}

/** Parts whose further way is the same become one. */
export function merged(packets: readonly Packet[]): readonly Packet[] {
  if (packets.length < 2) return packets;
  const byKind = new Map<string, Packet>();
  for (const packet of packets) {
    const kind = kindOf(packet);
    const same = byKind.get(kind);
    byKind.set(
      kind,
      same === undefined
        ? packet
        : {
            ...same,
            peer: union(same.peer, packet.peer),
            maybe: [...new Set([...same.maybe, ...packet.maybe])],
            by: same.by ?? packet.by,
          },
    );
  }
  const parts = [...byKind.values()];
  if (parts.length <= MOST_PARTS) return parts;
  return parts.slice(0, MOST_PARTS).map((packet) => ({ ...packet, maybe: [...packet.maybe, 'too many cases'] }));
}

interface Here {
  readonly rule: RulesetRule;
  readonly chain: RulesetChain;
  readonly place: Place;
  readonly depth: number;
}

/** @param at index of the statement */
function walkRule(here: Here, at: number, packet: Packet): Progress {
  const statement = here.rule.expr[at];
  if (statement === undefined) return { ...NOTHING, next: [packet] };
  const [kind, inner] = single(statement) ?? ['', null];
  const on = (changed: Packet): Progress => walkRule(here, at + 1, changed);
  switch (kind) {
    case 'match': {
      const { yes, no, unknown } = test(inner, packet, here.place);
      if (unknown !== null) return either(unknown, packet, on);
      return join([yes === null ? NOTHING : on(yes), { ...NOTHING, next: no === null ? [] : [no] }]);
    }
    case 'reject':
      if (!refuses(inner, packet)) return { ...NOTHING, next: [packet] };
      return { ...NOTHING, ended: [{ type: kind, packet, by: decider(here) }] };
    case 'accept':
    case 'drop':
      return { ...NOTHING, ended: [{ type: kind, packet, by: decider(here) }] };
    case 'notrack':
      return on({ ...packet, notrack: decider(here) });
    case 'return':
      return { ...NOTHING, left: [packet] };
    case 'continue':
      return { ...NOTHING, next: [packet] };
    case 'jump':
    case 'goto':
      return enter({ kind, inner }, here, packet);
    case 'vmap':
      return verdictMap(inner, here, packet);
    case 'dnat':
    case 'redirect':
    case 'snat':
    case 'masquerade':
      return translated({ kind, inner }, here, packet);
    default: {
      const effect = effectOf([kind, inner], packet, here.place);
      if (effect.type === 'goes on') return on(effect.packet);
      return effect.type === 'stops' ? { ...NOTHING, next: [packet] } : either(effect.what, packet, on);
    }
  }
}

/** Both ways; when they come to the same, nothing depends on it. */
function either(what: string, packet: Packet, on: (packet: Packet) => Progress): Progress {
  const doubtful = { ...packet, maybe: packet.maybe.includes(what) ? packet.maybe : [...packet.maybe, what] };
  const taken = on(doubtful);
  const kind = kindOf(doubtful);
  if (taken.ended.length === 0 && taken.left.length === 0 && taken.next.every((one) => kindOf(one) === kind))
    return { ...NOTHING, next: [packet] };
  return join([taken, { ...NOTHING, next: [doubtful] }]);
}

/** The kind of refusal says whom the rule is for; nft prints no condition beside it that says the same. */
function refuses(inner: Json, { family, protocol }: Packet): boolean {
  const type = isObject(inner) ? inner['type'] : undefined;
  if (type === 'icmp') return family === 4;
  if (type === 'icmpv6') return family === 6;
  return type !== 'tcp reset' || protocol === 'tcp';
}

/** A map that has nothing for the packet: the rule does not match. */
function translated(statement: NatStatement, here: Here, packet: Packet): Progress {
  const parts = resolve(statement, packet, here.place);
  if (parts === null) {
    return either(wordsOf({ [statement.kind]: statement.inner }), packet, (maybe) => ({
      ...NOTHING,
      ended: [{ type: 'lost', packet: maybe, by: decider(here) }],
    }));
  }
  return join(
    parts.map(({ packet: part, to }) =>
      to === null
        ? { ...NOTHING, next: [part] }
        : { ...NOTHING, ended: [{ type: 'translate', packet: part, by: decider(here), to }] },
    ),
  );
}

const decider = ({ rule, chain, place }: Here): Decider => ({
  family: place.table.family,
  table: place.table.name,
  chain: chain.name,
  handle: rule.handle,
});

function enter(
  { kind, inner }: { readonly kind: 'jump' | 'goto'; readonly inner: Json },
  { place, depth }: Here,
  packet: Packet,
): Progress {
  const target = isObject(inner) ? inner['target'] : undefined;
  const name = typeof target === 'string' ? target : '';
  const chain = place.table.chains.get(name);
  if (chain === undefined || depth >= DEEPEST)
    return { ...NOTHING, next: [{ ...packet, maybe: [...packet.maybe, `${kind} ${name}`] }] };
  const { ended, fell } = walk({ chain, place, depth: depth + 1 }, [packet]);
  return kind === 'jump' ? { ended, next: fell, left: [] } : { ended, next: [], left: fell };
}

function verdictMap(inner: Json, here: Here, packet: Packet): Progress {
  const { key = null, data = null } = isObject(inner) ? inner : {};
  const value = valueOf(key, packet, here.place.host);
  if (value.type === 'absent') return { ...NOTHING, next: [packet] };
  const list = elementListOf(data, here.place.table);
  const found = value.type === 'unknown' || list === null ? null : lookup(value, elementsOf(list), packet);
  if (found === null) return anyVerdict({ list, what: wordsOf(key) }, here, packet);
  return join(
    found.map(({ packet: part, hit }) =>
      hit === undefined ? { ...NOTHING, next: [part] } : walkRule({ ...here, rule: { ...here.rule, expr: [hit] } }, 0, part),
    ),
  );
}

/** Which of the verdicts is anybody's guess: each of them is followed, and none. */
function anyVerdict(
  { list, what }: { readonly list: readonly Json[] | null; readonly what: string },
  here: Here,
  packet: Packet,
): Progress {
  const verdicts = new Map<string, Json>();
  for (const entry of list ?? []) if (isArray(entry)) verdicts.set(JSON.stringify(entry[1]), entry[1] ?? null);
  return either(what, packet, (maybe) =>
    join([...verdicts.values()].map((verdict) => walkRule({ ...here, rule: { ...here.rule, expr: [verdict] } }, 0, maybe))),
  );
}
