/** What an expression of a rule is for a packet. */
import { bitsOf } from '../base/ip.ts';
import { isArray, isObject, type Json, single } from '../nft/json.ts';
import { XT_STATE } from '../nft/xt.ts';
import type { Host } from './host.ts';
import { type Intervals, one } from './intervals.ts';
import type { Device, Field, Mark, Packet } from './packet.ts';

export type Value =
  | { readonly type: 'number'; readonly set: Intervals; readonly of: 'peer' | 'peerPort' | null; readonly address: boolean }
  | { readonly type: 'text'; readonly text: string }
  /** Of bits that all are known; `exact`: there are no others. */
  | { readonly type: 'flags'; readonly names: readonly string[]; readonly exact: boolean }
  | { readonly type: 'mark'; readonly mark: Mark }
  | { readonly type: 'concat'; readonly parts: readonly Value[] }
  /** The packet has no such thing: the rule does not match, whatever it asks (NFT_BREAK). */
  | { readonly type: 'absent' }
  | { readonly type: 'unknown'; readonly what: string };

const text = (value: string): Value => ({ type: 'text', text: value });
const number = (value: bigint): Value => ({ type: 'number', set: one(value), of: null, address: false });
const unknown = (expr: Json): Value => ({ type: 'unknown', what: wordsOf(expr) });
const ABSENT: Value = { type: 'absent' };

interface Asked {
  readonly expr: Json;
  /** What is under the one key of `expr`. */
  readonly inner: Json;
  readonly packet: Packet;
  readonly host: Host;
}

export function valueOf(expr: Json, packet: Packet, host: Host): Value {
  const [kind, inner] = single(expr) ?? ['', null];
  const asked: Asked = { expr, inner, packet, host };
  switch (kind) {
    case 'payload':
      return payloadOf(asked);
    case 'meta':
      return metaOf(asked);
    case 'ct':
      return ctOf(asked);
    case 'fib':
      return fibOf(asked);
    case 'exthdr':
      // A rule that asks for a field is for packets that have the header; else it asks whether there is one.
      return isObject(inner) && 'field' in inner ? ABSENT : text('false');
    case 'concat':
      return concatOf(inner, packet, host);
    case '&':
    case '|':
    case '^':
      return bitwise(kind, asked);
    default:
      return unknown(expr);
  }
}

function concatOf(inner: Json, packet: Packet, host: Host): Value {
  const parts = isArray(inner) ? inner.map((part) => valueOf(part, packet, host)) : [];
  const absent = parts.find(({ type }) => type === 'absent');
  return absent ?? parts.find(({ type }) => type === 'unknown') ?? { type: 'concat', parts };
}

function field(value: Field, packet: Packet, which: 'address' | 'port'): Value {
  const address = which === 'address';
  if (value !== 'peer') return { type: 'number', set: one(value), of: null, address };
  return address
    ? { type: 'number', set: packet.peer, of: 'peer', address }
    : { type: 'number', set: packet.peerPort, of: 'peerPort', address };
}

function payloadOf({ expr, inner, packet }: Asked): Value {
  if (!isObject(inner)) return unknown(expr);
  const { protocol, field: name } = inner;
  switch (protocol) {
    case 'ip':
    case 'ip6':
      // nft puts a condition on the family in front that it does not print.
      if ((protocol === 'ip') !== (packet.family === 4)) return ABSENT;
      if (name === 'saddr') return field(packet.source, packet, 'address');
      if (name === 'daddr') return field(packet.destination, packet, 'address');
      if (name === 'protocol' || name === 'nexthdr') return text(packet.protocol);
      if (name === 'version') return number(BigInt(packet.family));
      return unknown(expr);
    case 'tcp':
    case 'udp':
    case 'sctp':
    case 'th':
      if (protocol !== 'th' && protocol !== packet.protocol) return ABSENT;
      if (name === 'sport') return field(packet.sourcePort, packet, 'port');
      if (name === 'dport') return field(packet.destinationPort, packet, 'port');
      if (name === 'flags' && protocol === 'tcp') return tcpFlags(packet);
      return unknown(expr);
    case 'icmp':
    case 'icmpv6':
    case 'igmp':
    case 'udplite':
    case 'dccp':
    case 'ah':
    case 'esp':
    case 'comp':
    case 'arp':
      return ABSENT;
    default:
      return unknown(expr);
  }
}

const FLAGS_OF_STEP = { request: ['syn'], answer: ['syn', 'ack'], sequel: ['ack'] } as const;
/** Of what follows only that it has ACK, and no SYN: it may also push or end. */
const tcpFlags = ({ step }: Packet): Value => ({ type: 'flags', names: FLAGS_OF_STEP[step], exact: step !== 'sequel' });

function metaOf({ expr, inner, packet }: Asked): Value {
  const key = isObject(inner) ? inner['key'] : undefined;
  switch (key) {
    case 'iifname':
      return text(packet.iif?.name ?? '');
    case 'oifname':
      return text(packet.oif?.name ?? '');
    case 'iif':
    case 'oif':
      // By index: 0 is none.
      return text((key === 'iif' ? packet.iif : packet.oif)?.name ?? '0');
    case 'iifkind':
    case 'oifkind':
      return kindOf(key === 'iifkind' ? packet.iif : packet.oif);
    case 'iifgroup':
    case 'oifgroup': {
      const device = key === 'iifgroup' ? packet.iif : packet.oif;
      return device === null ? ABSENT : number(BigInt(device.group));
    }
    case 'l4proto':
      return text(packet.protocol);
    case 'nfproto':
      return text(packet.family === 4 ? 'ipv4' : 'ipv6');
    case 'protocol':
      return text(packet.family === 4 ? 'ip' : 'ip6');
    case 'mark':
      return { type: 'mark', mark: packet.mark };
    case 'pkttype':
      return packet.iif === null || packet.iif.name === 'lo' ? unknown(expr) : text('host');
    default:
      return unknown(expr);
  }
}

/** nft_meta_store_ifkind() of a device that no driver of rtnetlink's made: nothing to compare. */
const kindOf = (device: Device | null): Value => (device === null || device.kind === '' ? ABSENT : text(device.kind));

function ctOf({ expr, inner, packet }: Asked): Value {
  const [key, direction] = isObject(inner) ? [inner['key'], inner['dir']] : [];
  const { state, status } = packet;
  const tracked = state === 'new' || state === 'established';
  const seen = state === 'none' ? 'invalid' : state;
  if (key === 'state') return { type: 'flags', names: [seen], exact: true };
  if (key === XT_STATE) {
    const nat = tracked ? status.filter((name) => name === 'dnat' || name === 'snat') : [];
    return { type: 'flags', names: [seen, ...nat], exact: true };
  }
  if (!tracked) return key === undefined ? unknown(expr) : ABSENT;
  switch (key) {
    case 'status':
      return { type: 'flags', names: status, exact: false };
    case 'mark':
      return { type: 'mark', mark: packet.ctMark };
    case 'direction':
      return text(packet.step === 'answer' ? 'reply' : 'original');
    case 'protocol':
    case 'l4proto':
      return text(packet.protocol);
    case 'ip daddr':
    case 'ip6 daddr':
      if ((key === 'ip daddr') !== (packet.family === 4)) return ABSENT;
      return direction === 'original'
        ? { type: 'number', set: one(packet.original.address), of: null, address: true }
        : unknown(expr);
    case 'ip saddr':
    case 'ip6 saddr':
      if ((key === 'ip saddr') !== (packet.family === 4)) return ABSENT;
      return direction === 'original' ? field('peer', packet, 'address') : unknown(expr);
    case 'proto-dst':
      return direction === 'original' ? number(packet.original.port) : unknown(expr);
    default:
      return unknown(expr);
  }
}

function fibOf({ expr, inner, packet, host }: Asked): Value {
  if (!isObject(inner)) return unknown(expr);
  const flags = isArray(inner['flags']) ? inner['flags'] : [];
  const bySource = flags.includes('saddr');
  if (inner['result'] === 'type') {
    const address = bySource ? packet.source : packet.destination;
    // Who is at the other end is no address of this host, but for this host itself.
    const set = address === 'peer' ? packet.peer : one(address);
    const device = flags.includes('iif') ? packet.iif : flags.includes('oif') ? packet.oif : undefined;
    if (device === null) return unknown(expr);
    const type = host.addressType(packet.family, set, device?.name);
    return type === null ? unknown(expr) : text(type);
  }
  // Whoever we ask about is reached by the interface that the packet came from.
  return bySource && flags.includes('iif') ? text('true') : unknown(expr);
}

function bitwise(kind: '&' | '|' | '^', { inner, packet, host }: Asked): Value {
  const [left, right] = isArray(inner) ? inner.map((part) => operand(part, packet, host)) : [];
  if (left === undefined || right === undefined) return unknown({ [kind]: inner });
  const bad = [left, right].find(({ type }) => type === 'absent' || type === 'unknown');
  if (bad !== undefined) return bad;
  if (left.type === 'mark' && right.type === 'mark') return { type: 'mark', mark: combine(kind, left.mark, right.mark) };
  if (kind === '&' && left.type === 'flags' && right.type === 'flags') return maskFlags(left, right.names);
  return unknown({ [kind]: inner });
}

/** Status bits are known one by one, but for those that conntrack sets on its way. */
function maskFlags(value: Extract<Value, { type: 'flags' }>, mask: readonly string[]): Value {
  const sure = value.exact || mask.every((name) => name === 'dnat' || name === 'snat');
  return { type: 'flags', names: value.names.filter((name) => mask.includes(name)), exact: sure };
}

function operand(expr: Json, packet: Packet, host: Host): Value {
  if (typeof expr === 'number') return { type: 'mark', mark: { value: expr >>> 0, known: 0xffffffff } };
  if (typeof expr === 'string') return { type: 'flags', names: [expr], exact: true };
  if (isArray(expr)) return { type: 'flags', names: expr.filter((item) => typeof item === 'string'), exact: true };
  if (isObject(expr) && '|' in expr) return flagUnion(expr['|'] ?? null) ?? valueOf(expr, packet, host);
  return valueOf(expr, packet, host);
}

/** `syn | ack`, as some versions of nft print it. */
function flagUnion(inner: Json): Value | null {
  if (!isArray(inner)) return null;
  const names: string[] = [];
  for (const item of inner) {
    const nested = isObject(item) && '|' in item ? flagUnion(item['|'] ?? null) : null;
    if (typeof item === 'string') names.push(item);
    else if (nested?.type === 'flags') names.push(...nested.names);
    else return null;
  }
  return { type: 'flags', names, exact: true };
}

function combine(kind: '&' | '|' | '^', a: Mark, b: Mark): Mark {
  const both = a.known & b.known;
  switch (kind) {
    case '&': {
      // A zero that is known makes a zero, whatever the other is.
      const zeros = (a.known & ~a.value) | (b.known & ~b.value);
      return { value: (a.value & b.value) >>> 0, known: (both | zeros) >>> 0 };
    }
    case '|': {
      const ones = (a.known & a.value) | (b.known & b.value);
      return { value: ((a.value | b.value) & (both | ones)) >>> 0, known: (both | ones) >>> 0 };
    }
    case '^':
      return { value: ((a.value ^ b.value) & both) >>> 0, known: both >>> 0 };
  }
}

/** A mark that a statement sets. */
export function markOf(expr: Json, packet: Packet, host: Host): Mark {
  const value = operand(expr, packet, host);
  return value.type === 'mark' ? value.mark : { value: 0, known: 0 };
}

/** Bits of an address or a port, for what stands beside it. */
export const widthOf = (value: Extract<Value, { type: 'number' }>, packet: Packet): number =>
  value.address ? bitsOf(packet.family) : 16;

/** `meta skuid`, `xt recent`, `numgen`: an expression for people, in a few words. */
export function wordsOf(expr: Json): string {
  const [kind, inner] = single(expr) ?? ['', null];
  if (kind === '') return isObject(expr) ? Object.keys(expr).join(' ') : JSON.stringify(expr);
  if (isArray(inner)) return inner.map(wordsOf).join(kind === 'concat' ? ' . ' : ` ${kind} `);
  if (!isObject(inner)) return kind;
  const { key, protocol, field: name, type, name: called, result, flags } = inner;
  const parts = [protocol, key, name, type, called, ...(isArray(flags) ? flags : []), result].filter(
    (part) => typeof part === 'string',
  );
  return [...(kind === 'payload' ? [] : [kind]), ...parts].join(' ');
}
