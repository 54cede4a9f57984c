/** Conditions of rules: which part of a packet (see packet.ts) fulfils them, and which does not. */
import { isArray, isObject, type Json, single } from '../nft/json.ts';
import type { RulesetTable } from '../nft/ruleset.ts';
import { NOT_IN } from '../nft/xt.ts';
import type { Host } from './host.ts';
import { intersect, isEmpty, subtract, union } from './intervals.ts';
import { elementsOf, type Found, intervalOf, lookup } from './lookup.ts';
import type { Packet } from './packet.ts';
import { type Value, valueOf, widthOf, wordsOf } from './value.ts';

export interface Place {
  readonly table: RulesetTable;
  readonly host: Host;
}

/** `unknown` says what could not be decided; then neither part is. */
export interface Split {
  readonly yes: Packet | null;
  readonly no: Packet | null;
  readonly unknown: string | null;
}

const all = (yes: boolean, packet: Packet): Split => ({ yes: yes ? packet : null, no: yes ? null : packet, unknown: null });
const undecided = (what: string): Split => ({ yes: null, no: null, unknown: what });
const inverse = ({ yes, no, unknown }: Split): Split => ({ yes: no, no: yes, unknown });

/** `{"match": ...}` */
export function test(condition: Json, packet: Packet, place: Place): Split {
  if (!isObject(condition)) return undecided('match');
  const { left = null, op, right = null } = condition;
  const value = valueOf(left, packet, place.host);
  if (value.type === 'absent') return all(false, packet);
  if (value.type === 'unknown') return undecided(value.what);
  const split = compare(value, { op, right, packet, place });
  return split.unknown === null ? split : undecided(wordsOf(left));
}

interface Comparison {
  readonly op: Json | undefined;
  readonly right: Json;
  readonly packet: Packet;
  readonly place: Place;
}

function compare(value: Value, { op, right, packet, place }: Comparison): Split {
  switch (op) {
    case '==':
      return among(value, right, { packet, place });
    case '!=':
      return inverse(among(value, right, { packet, place }));
    case 'in':
      return value.type === 'flags' ? anyFlag(value, right, packet) : among(value, right, { packet, place });
    case NOT_IN:
      return value.type === 'flags' ? inverse(anyFlag(value, right, packet)) : undecided('');
    case '<':
    case '>':
    case '<=':
    case '>=':
      return ordered(value, { op, right, packet, place });
    default:
      return undecided('');
  }
}

/** Bits that conntrack sets when it makes the connection, others come in its life; and the flag of TCP that only the first packet and its answer have. */
const SETTLED: readonly string[] = ['dnat', 'snat', 'dying', 'expected', 'syn'];

function anyFlag(value: Extract<Value, { type: 'flags' }>, right: Json, packet: Packet): Split {
  const asked = isArray(right) ? right : [right];
  if (asked.some((name) => value.names.some((own) => own === name))) return all(true, packet);
  const settled = value.exact || asked.every((name) => SETTLED.some((one) => one === name));
  return settled ? all(false, packet) : undecided('');
}

function among(value: Value, right: Json, { packet, place }: { readonly packet: Packet; readonly place: Place }): Split {
  const list = elementListOf(right, place.table);
  if (list === null) return undecided('');
  const found = lookup(value, elementsOf(list), packet);
  return found === null ? undecided('') : splitOf(found);
}

/** In a set at most one part is in it and one is not. */
function splitOf(found: readonly Found[]): Split {
  const merge = (parts: readonly Packet[]): Packet | null =>
    parts.reduce<Packet | null>(
      (sum, part) =>
        sum === null ? part : { ...sum, peer: union(sum.peer, part.peer), peerPort: union(sum.peerPort, part.peerPort) },
      null,
    );
  return {
    yes: merge(found.filter(({ hit }) => hit !== undefined).map(({ packet }) => packet)),
    no: merge(found.filter(({ hit }) => hit === undefined).map(({ packet }) => packet)),
    unknown: null,
  };
}

/** @returns elements of a named set, of one in the rule, or of what is no set at all; null when there is no such set */
export function elementListOf(right: Json, table: RulesetTable): readonly Json[] | null {
  if (typeof right === 'string' && right.startsWith('@')) {
    const set = table.sets.get(right.slice(1));
    return set === undefined || set.dynamic ? null : set.elements;
  }
  const [kind, inner] = single(right) ?? ['', null];
  if (kind === 'set') return isArray(inner) ? inner : [inner];
  return alone(right);
}

const singles = new WeakMap<object, readonly Json[]>();

/** A list of one; the same list for the same value, so that it is looked through once. Flags are one value in a list of their own. */
function alone(value: Json): readonly Json[] {
  if (typeof value !== 'object' || value === null) return [value];
  const ready = singles.get(value) ?? [isArray(value) ? { elem: { val: value } } : value];
  singles.set(value, ready);
  return ready;
}

function ordered(value: Value, { op, right, packet }: Comparison): Split {
  if (value.type !== 'number') return undecided('');
  const edge = intervalOf(right, value.address);
  if (edge === null) return undecided('');
  const most = (1n << BigInt(widthOf(value, packet))) - 1n;
  const [from, to] =
    op === '<' ? [0n, edge[0] - 1n] : op === '<=' ? [0n, edge[0]] : op === '>' ? [edge[0] + 1n, most] : [edge[0], most];
  const part = from > to ? [] : intersect(value.set, [[from, to]]);
  const rest = subtract(value.set, part);
  if (value.of === null) return all(!isEmpty(part), packet);
  return {
    yes: isEmpty(part) ? null : { ...packet, [value.of]: part },
    no: isEmpty(rest) ? null : { ...packet, [value.of]: rest },
    unknown: null,
  };
}
