/**
 * iptables' matches and targets (xt, as iptables-nft puts them into nf_tables) in the terms of libnftables-json(5), so that one reader
 * understands both. What cannot be said there stays `{"xt": ...}`: unknown.
 */
import { ipFromBytes } from '../base/ip.ts';
import type { Json } from './json.ts';
import type { XtBlob } from './ruleset.ts';
import * as S from './xt-structs.ts';

/** One more operator than nft's JSON has: none of these flags. */
export const NOT_IN = 'not in';
/** One more key of `ct` than nft has: the states of `-m conntrack --ctstate`, which also says `snat` and `dnat`. */
export const XT_STATE = 'xt state';

type Reader = (blob: XtBlob, family: string) => readonly Json[] | null;

const match = (left: Json, op: string, right: Json): Json => ({ match: { op, left, right } });
const nothing: Reader = () => [];

/** `struct xt_recent_mtinfo` and `_v1`: u32 seconds, u32 hit_count, u8 check_set, u8 invert. <linux/netfilter/xt_recent.h> */
const RECENT = { hits: 4, check: 8, invert: 9, size: 10, set: 2, update: 4 | 1 } as const;

/** Noting an address always succeeds; asking for many hits of late is a rate limit, which a single connection does not reach. */
function recently({ info }: XtBlob): readonly Json[] | null {
  if (info.length < RECENT.size || info[RECENT.invert] !== 0) return null;
  const check = info[RECENT.check] ?? 0;
  if (check & RECENT.set) return [];
  const hits = new DataView(info.buffer, info.byteOffset).getUint32(RECENT.hits, true);
  return check & RECENT.update && hits > 1 ? [{ limit: { inv: true } }] : null;
}

/** @returns statements in order; empty when it makes no difference to a packet */
export function translateXt(blob: XtBlob, family: string): readonly Json[] {
  const reader = (blob.kind === 'match' ? MATCHES : TARGETS)[blob.name];
  return reader?.(blob, family) ?? [{ xt: { type: blob.kind, name: blob.name } }];
}

const HEADERS = [
  ['icmp', 'icmp'],
  ['icmp6', 'ipv6-icmp'],
  ['rt', 'ipv6-route'],
  ['hbh', 'ipv6-hopopts'],
  ['dst', 'ipv6-opts'],
  ['frag', 'ipv6-frag'],
  ['ah', 'ah'],
  ['esp', 'esp'],
  ['dccp', 'dccp'],
] as const;

const MATCHES: Readonly<Record<string, Reader>> = {
  comment: nothing,
  limit: () => [{ limit: {} }],
  mark: (blob) => (blob.revision === 1 ? marked(blob, { meta: { key: 'mark' } }) : null),
  connmark: (blob) => (blob.revision === 1 ? marked(blob, { ct: { key: 'mark' } }) : null),
  conntrack: tracked,
  state: ({ info }) => [
    match({ ct: { key: XT_STATE } }, 'in', states(new DataView(info.buffer, info.byteOffset).getUint32(0, true))),
  ],
  addrtype: addressType,
  multiport: ports,
  tcp: (blob, family) => {
    const { option, flagMask, flagValue, invert, ...rest } = S.readStruct(S.tcp, blob.info);
    if (option !== 0) return null;
    const flags = { '&': [payload('tcp', 'flags'), tcpFlags(flagMask)] };
    const asked = flagMask === 0 ? [] : [match(flags, invert & TCP_INVERT.flags ? '!=' : '==', tcpFlags(flagValue))];
    return [...portPair('tcp', rest, invert), ...asked, ...onlyOf('tcp', family)];
  },
  udp: (blob, family) => {
    const { invert, ...rest } = S.readStruct(S.udp, blob.info);
    return [...portPair('udp', rest, invert), ...onlyOf('udp', family)];
  },
  iprange: addressRange,
  recent: recently,
  // They match packets of that protocol, or with that extension header, and no others.
  ...Object.fromEntries(HEADERS.map(([name, protocol]) => [name, () => [match({ meta: { key: 'l4proto' } }, '==', protocol)]])),
  // Addresses with a way back through the interface that they come from: whatever we ask about has one.
  rpfilter: ({ info }) => [
    match({ fib: { result: 'oif', flags: ['saddr', 'iif'] } }, '==', ((info[0] ?? 0) & RPFILTER_INVERT) === 0),
  ],
};

const TARGETS: Readonly<Record<string, Reader>> = {
  REJECT: () => [{ reject: null }],
  LOG: nothing,
  NFLOG: nothing,
  AUDIT: nothing,
  TRACE: nothing,
  TCPMSS: nothing,
  CHECKSUM: nothing,
  CLASSIFY: nothing,
  DSCP: nothing,
  TOS: nothing,
  TTL: nothing,
  HL: nothing,
  SECMARK: nothing,
  CONNSECMARK: nothing,
  MASQUERADE: () => [{ masquerade: null }],
  DNAT: (blob, family) => translation('dnat', blob, family),
  SNAT: (blob, family) => translation('snat', blob, family),
  REDIRECT: (blob, family) => translation('redirect', blob, family),
  MARK: ({ revision, info }) => {
    if (revision !== 2) return null;
    const { mark, mask } = S.readStruct(S.markTarget, info);
    const mine: Json = { meta: { key: 'mark' } };
    // xt_mark.c: (mark & ~mask) ^ value
    return [{ mangle: { key: mine, value: { '^': [{ '&': [mine, ~mask >>> 0] }, mark] } } }];
  },
  CT: ({ info }) => ((info[0] ?? 0) & CT_NOTRACK ? [{ notrack: null }] : []),
  NOTRACK: () => [{ notrack: null }],
};

/** XT_RPFILTER_INVERT, <linux/netfilter/xt_rpfilter.h>; XT_CT_NOTRACK, <linux/netfilter/xt_CT.h> */
const RPFILTER_INVERT = 1 << 3;
const CT_NOTRACK = 1 << 0;

function marked({ info }: XtBlob, left: Json): readonly Json[] {
  const { mark, mask, invert } = S.readStruct(S.markMatch, info);
  return [match({ '&': [left, mask] }, invert ? '!=' : '==', mark)];
}

/** Bits of `state_mask`: 1 << (IP_CT_* + 1), and what xt_conntrack.h adds. */
const STATE_BITS = {
  invalid: 0x01,
  established: 0x02,
  related: 0x04,
  new: 0x08,
  snat: 0x40,
  dnat: 0x80,
  untracked: 0x100,
} as const;
const states = (mask: number): readonly string[] =>
  Object.entries(STATE_BITS).flatMap(([name, bit]) => (mask & bit ? [name] : []));

/** IPS_*, <linux/netfilter/nf_conntrack_common.h> */
const STATUS_BITS = { expected: 0x01, 'seen-reply': 0x02, assured: 0x04, confirmed: 0x08, snat: 0x10, dnat: 0x20 } as const;

/** XT_CONNTRACK_*, <linux/netfilter/xt_conntrack.h> */
const ASKED = { state: 1 << 0, status: 1 << 6, direction: 1 << 12, stateAlias: 1 << 13 } as const;

function tracked({ revision, info }: XtBlob): readonly Json[] | null {
  if (revision !== 2 && revision !== 3) return null;
  const tail = S.readStruct(S.conntrack.tail, info.subarray(S.conntrack.skip));
  if (tail.match & ~(ASKED.state | ASKED.status | ASKED.direction | ASKED.stateAlias)) return null;
  const out: Json[] = [];
  if (tail.match & ASKED.state)
    out.push(match({ ct: { key: XT_STATE } }, tail.invert & ASKED.state ? NOT_IN : 'in', states(tail.states)));
  if (tail.match & ASKED.status) {
    const names = Object.entries(STATUS_BITS).flatMap(([name, bit]) => (tail.status & bit ? [name] : []));
    out.push(match({ ct: { key: 'status' } }, tail.invert & ASKED.status ? NOT_IN : 'in', names));
  }
  // Set in `invert_flags` for the answers (xt_conntrack.c).
  if (tail.match & ASKED.direction)
    out.push(match({ ct: { key: 'direction' } }, '==', tail.invert & ASKED.direction ? 'reply' : 'original'));
  return out;
}

/** RTN_*, <linux/rtnetlink.h>, in nft's words. */
const ROUTE_TYPES = [
  'unspec',
  'unicast',
  'local',
  'broadcast',
  'anycast',
  'multicast',
  'blackhole',
  'unreachable',
  'prohibit',
] as const;
/** XT_ADDRTYPE_*, <linux/netfilter/xt_addrtype.h> */
const ADDRTYPE = { invertSource: 1, invertDestination: 2, limitIn: 4, limitOut: 8 } as const;

function addressType({ revision, info }: XtBlob): readonly Json[] | null {
  if (revision !== 1) return null;
  const { source, destination, flags } = S.readStruct(S.addrtype, info);
  const limit = flags & ADDRTYPE.limitIn ? ['iif'] : flags & ADDRTYPE.limitOut ? ['oif'] : [];
  const asked = (side: string, mask: number, invert: number): readonly Json[] => {
    if (mask === 0) return [];
    const types = ROUTE_TYPES.filter((_, at) => mask & (1 << at));
    return [match({ fib: { result: 'type', flags: [side, ...limit] } }, flags & invert ? '!=' : '==', { set: types })];
  };
  return [...asked('saddr', source, ADDRTYPE.invertSource), ...asked('daddr', destination, ADDRTYPE.invertDestination)];
}

const payload = (protocol: string, name: string): Json => ({ payload: { protocol, field: name } });
/** Matches of a protocol see its packets only; the rule says so beside it. */
const onlyOf = (protocol: string, _family: string): readonly Json[] => [match({ meta: { key: 'l4proto' } }, '==', protocol)];

/** `struct xt_multiport_v1`: u8 flags, u8 count, u16 ports[15], u8 pflags[15], u8 invert. <linux/netfilter/xt_multiport.h> */
const MULTIPORT = { ports: 2, more: 32, invert: 47, size: 48 } as const;
const MULTIPORT_SIDES = ['sport', 'dport'] as const;

function ports({ revision, info }: XtBlob): readonly Json[] | null {
  const side = MULTIPORT_SIDES[info[0] ?? -1];
  if (revision !== 1 || side === undefined || info.length < MULTIPORT.size) return null;
  const view = new DataView(info.buffer, info.byteOffset);
  const set: Json[] = [];
  for (let at = 0; at < (info[1] ?? 0); at++) {
    const port = view.getUint16(MULTIPORT.ports + 2 * at, true);
    // The port behind one with this flag is the end of its range.
    if (info[MULTIPORT.more + at]) set.push({ range: [port, view.getUint16(MULTIPORT.ports + 2 * ++at, true)] });
    else set.push(port);
  }
  return [match(payload('th', side), info[MULTIPORT.invert] ? '!=' : '==', { set })];
}

/** XT_TCP_INV_*, XT_UDP_INV_* (the first two). <linux/netfilter/xt_tcpudp.h> */
const TCP_INVERT = { source: 1, destination: 2, flags: 4 } as const;
const TCP_FLAGS = ['fin', 'syn', 'rst', 'psh', 'ack', 'urg', 'ecn', 'cwr'] as const;
const tcpFlags = (bits: number): readonly string[] => TCP_FLAGS.filter((_, at) => bits & (1 << at));

type PortPair = Readonly<Record<'sourceFrom' | 'sourceTo' | 'destinationFrom' | 'destinationTo', number>>;

function portPair(protocol: string, pair: PortPair, invert: number): readonly Json[] {
  const side = (name: string, [from, to]: readonly [number, number], inverted: boolean): readonly Json[] =>
    from === 0 && to === 0xffff ? [] : [match(payload(protocol, name), inverted ? '!=' : '==', { range: [from, to] })];
  return [
    ...side('sport', [pair.sourceFrom, pair.sourceTo], (invert & TCP_INVERT.source) !== 0),
    ...side('dport', [pair.destinationFrom, pair.destinationTo], (invert & TCP_INVERT.destination) !== 0),
  ];
}

/** `struct xt_iprange_mtinfo`: four addresses, then u8 flags IPRANGE_*. <linux/netfilter/xt_iprange.h> */
function addressRange({ revision, info }: XtBlob, family: string): readonly Json[] | null {
  if (revision !== 1) return null;
  const flags = S.part(info, 64, 1)[0] ?? 0;
  const side = (name: string, { bit, at }: { bit: number; at: number }): readonly Json[] => {
    if (!(flags & bit)) return [];
    const range = { range: [address(info, at, family), address(info, at + 16, family)] };
    return [match(payload(family, name), flags & (bit << 4) ? '!=' : '==', range)];
  };
  return [...side('saddr', { bit: 1, at: 0 }), ...side('daddr', { bit: 2, at: 32 })];
}

const address = (info: Uint8Array, at: number, family: string): string =>
  ipFromBytes(S.part(info, at, family === 'ip6' ? 16 : 4));

/** NF_NAT_RANGE_*, <linux/netfilter/nf_nat.h> */
const NAT_ADDRESS = 1 << 0;
const NAT_PORT = 1 << 1;

/** Where to: one address, and one port or a range of them. Address ranges stay unknown. */
function translation(kind: 'dnat' | 'snat' | 'redirect', { revision, info }: XtBlob, family: string): readonly Json[] | null {
  const compat = revision === 0 && family === 'ip';
  const offsets = compat ? S.natCompat : { flags: 0, address: S.natRange.address, ports: S.natRange.ports };
  const { flags } = S.readStruct(S.natRange.flags, S.part(info, offsets.flags, 4));
  const { from, to } = S.readStruct(S.natRange.portPair, S.part(info, offsets.ports, 4));
  const port = flags & NAT_PORT ? { port: from === to ? from : { range: [from, to] } } : {};
  if (kind === 'redirect') return [{ redirect: port }];
  if (!(flags & NAT_ADDRESS)) return [{ [kind]: port }];
  const first = address(info, offsets.address, family);
  if (first !== address(info, offsets.address + (compat ? 4 : 16), family)) return null;
  return [{ [kind]: { addr: first, ...port } }];
}
