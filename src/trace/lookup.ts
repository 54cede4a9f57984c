/** Looking an expression's value up in a set or map, named or written into the rule. */
import { formatIp, isIp, ipValue, parseIp, prefixOf, prefixRange } from '../base/ip.ts';
import { isArray, isObject, type Json, single } from '../nft/json.ts';
import { equal, intersect, type Interval, type Intervals, intervals, isEmpty, sole, subtract } from './intervals.ts';
import type { Packet } from './packet.ts';
import type { Value } from './value.ts';

/** What is under one key. `value` is null in a set. */
interface Element {
  readonly key: Json;
  readonly value: Json;
}

export interface Elements {
  /** Keys that are plain words and numbers, by their text. */
  readonly exact: ReadonlyMap<string, Element>;
  /** Prefixes, ranges, wildcards; what stands for all the rest comes last. */
  readonly others: readonly Element[];
  readonly all: readonly Element[];
  readonly isMap: boolean;
}

/** A part of a packet and what it found; `hit` is undefined where there is nothing. */
export interface Found {
  readonly packet: Packet;
  readonly hit: Json | undefined;
}

const known = new WeakMap<readonly Json[], Elements>();

/** @param list elements as libnftables prints them; looked through once, however often it is asked */
export function elementsOf(list: readonly Json[]): Elements {
  const ready = known.get(list);
  if (ready !== undefined) return ready;
  const all = list.map(elementOf);
  const exact = new Map<string, Element>();
  const others: Element[] = [];
  for (const element of all) {
    const key = keyText(element.key);
    if (key === null) others.push(element);
    else exact.set(key, element);
  }
  const rest = (element: Element): number => (element.key === '*' ? 1 : 0);
  const made = { exact, others: others.toSorted((a, b) => rest(a) - rest(b)), all, isMap: list.some(isArray) };
  known.set(list, made);
  return made;
}

function elementOf(entry: Json): Element {
  const [key = null, value = null] = isArray(entry) ? entry : [entry];
  return { key: withoutElem(key), value: withoutElem(value) };
}

/** An element with a time-out, a counter or a comment. */
function withoutElem(key: Json): Json {
  const [kind, inner] = single(key) ?? ['', null];
  return kind === 'elem' && isObject(inner) ? (inner['val'] ?? null) : key;
}

function keyText(key: Json): string | null {
  if (typeof key === 'number') return String(key);
  if (typeof key === 'string') return key.endsWith('*') ? null : key;
  const [kind, inner] = single(key) ?? ['', null];
  if (kind !== 'concat' || !isArray(inner)) return null;
  const parts = inner.map(keyText);
  return parts.includes(null) ? null : parts.join(' . ');
}

/** The text under which `keyText` files the same value; null when the value stands for many, or its text is not settled. */
function valueText(value: Value, packet: Packet): string | null {
  switch (value.type) {
    case 'number': {
      const number = sole(value.set);
      if (number === null) return null;
      return value.address ? formatIp(packet.family, number) : String(number);
    }
    case 'text':
      return value.text;
    case 'concat': {
      const parts = value.parts.map((part) => valueText(part, packet));
      return parts.includes(null) ? null : parts.join(' . ');
    }
    case 'mark':
      return value.mark.known === 0xffffffff ? String(value.mark.value) : null;
    case 'flags':
      return value.exact && value.names.length === 1 ? (value.names[0] ?? null) : null;
    case 'absent':
    case 'unknown':
      return null;
  }
}

/** @returns the parts into which the packet falls; null when that cannot be said */
export function lookup(value: Value, elements: Elements, packet: Packet): readonly Found[] | null {
  const text = valueText(value, packet);
  if (text !== null) {
    const found = elements.exact.get(text);
    if (found !== undefined) return [{ packet, hit: found.value }];
    return scan(value, elements.others, packet);
  }
  if (value.type === 'number' && value.of !== null && !elements.isMap) return inSet(value, value.of, { elements, packet });
  return scan(value, elements.all, packet);
}

const wholes = new WeakMap<Elements, Intervals | null>();

/** Membership of the other end's address or port in a set that may have very many elements. */
function inSet(
  value: Extract<Value, { type: 'number' }>,
  of: 'peer' | 'peerPort',
  { elements, packet }: { readonly elements: Elements; readonly packet: Packet },
): readonly Found[] | null {
  let whole = wholes.get(elements);
  if (whole === undefined) {
    const list = elements.all.map(({ key }) => intervalOf(key, value.address));
    whole = list.includes(null) ? null : intervals(list.filter((item) => item !== null));
    wholes.set(elements, whole);
  }
  if (whole === null) return null;
  const parts = partsOf(value.set, whole);
  return (['inside', 'outside'] as const).flatMap((side) =>
    isEmpty(parts[side]) ? [] : [{ packet: { ...packet, [of]: parts[side] }, hit: side === 'inside' ? null : undefined }],
  );
}

interface Parts {
  readonly inside: Intervals;
  readonly outside: Intervals;
}

const partsKnown = new WeakMap<Intervals, WeakMap<Intervals, Parts>>();

/** Remembered: the same askers meet the same long list with every port. */
function partsOf(set: Intervals, whole: Intervals): Parts {
  const known = partsKnown.get(whole) ?? new WeakMap<Intervals, Parts>();
  partsKnown.set(whole, known);
  const parts = known.get(set) ?? { inside: intersect(set, whole), outside: subtract(set, whole) };
  known.set(set, parts);
  return parts;
}

function scan(value: Value, list: readonly Element[], packet: Packet): readonly Found[] | null {
  const found: Found[] = [];
  let rest = packet;
  let current = value;
  for (const { key, value: hit } of list) {
    const portions = portionsOf(current, key);
    if (portions === null) return null;
    if (portions === 'none') continue;
    const [first, ...more] = portions;
    if (first === undefined) return [...found, { packet: rest, hit }];
    if (more.length > 0) return null;
    found.push({ packet: { ...rest, [first.of]: first.part }, hit });
    const left = subtract(rest[first.of], first.part);
    if (isEmpty(left)) return found;
    rest = { ...rest, [first.of]: left };
    current = narrowed(current, first.of, left);
  }
  return [...found, { packet: rest, hit: undefined }];
}

interface Portion {
  readonly of: 'peer' | 'peerPort';
  readonly part: Intervals;
}

/** @returns which part of what may vary has this key: none of it, these parts only, all (an empty list); null: unknown */
function portionsOf(value: Value, key: Json): readonly Portion[] | 'none' | null {
  if (key === '*' && value.type !== 'text') return [];
  switch (value.type) {
    case 'number': {
      const range = intervalOf(key, value.address);
      if (range === null) return null;
      const part = intersect(value.set, [range]);
      if (isEmpty(part)) return 'none';
      if (equal(part, value.set)) return [];
      return value.of === null ? null : [{ of: value.of, part }];
    }
    case 'text':
      return sameText(value.text, key) ? [] : 'none';
    case 'flags': {
      const names = typeof key === 'string' ? [key] : isArray(key) ? key : key === 0 ? [] : null;
      if (!value.exact || names === null) return null;
      return names.length === value.names.length && names.every((name) => value.names.some((own) => own === name)) ? [] : 'none';
    }
    case 'mark': {
      if (typeof key !== 'number') return null;
      if (((value.mark.value ^ key) & value.mark.known) !== 0) return 'none';
      return value.mark.known === 0xffffffff ? [] : null;
    }
    case 'concat': {
      const [kind, inner] = single(key) ?? ['', null];
      if (kind !== 'concat' || !isArray(inner)) return null;
      const portions: Portion[] = [];
      let sure = true;
      for (const [at, part] of value.parts.entries()) {
        const found = portionsOf(part, inner[at] ?? null);
        if (found === 'none') return 'none';
        if (found === null) sure = false;
        else portions.push(...found);
      }
      return sure ? portions : null;
    }
    case 'absent':
    case 'unknown':
      return null;
  }
}

function narrowed(value: Value, of: 'peer' | 'peerPort', set: Intervals): Value {
  if (value.type === 'number') return value.of === of ? { ...value, set } : value;
  if (value.type === 'concat') return { ...value, parts: value.parts.map((part) => narrowed(part, of, set)) };
  return value;
}

/** `eth*` stands for every name that begins so. */
function sameText(text: string, key: Json): boolean {
  if (isArray(key)) return key.some((item) => sameText(text, item));
  if (typeof key !== 'string') return text === JSON.stringify(key);
  return key.endsWith('*') ? text.startsWith(key.slice(0, -1)) : text === key;
}

/** An address, prefix, port or range. null: something else. */
export function intervalOf(key: Json, address: boolean): Interval | null {
  if (typeof key === 'number') return address ? null : [BigInt(key), BigInt(key)];
  if (typeof key === 'string') {
    if (!isIp(key) || !address) return null;
    const value = ipValue(parseIp(key));
    return [value, value];
  }
  const [kind, inner] = single(key) ?? ['', null];
  if (kind === 'prefix' && isObject(inner)) {
    const { addr, len } = inner;
    if (typeof addr !== 'string' || typeof len !== 'number' || !isIp(addr)) return null;
    const { first, last } = prefixRange(prefixOf(parseIp(addr), len));
    return [first, last];
  }
  if (kind === 'range' && isArray(inner)) {
    const [from, to] = inner.map((end) => intervalOf(end, address));
    return from && to ? [from[0], to[1]] : null;
  }
  return null;
}
