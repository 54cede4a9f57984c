/** What iptables' matches and targets look like in the kernel. Integers only; host byte order but for NAT, which is network order. */
import { malformed, sourceOf } from '../wire/bytes.ts';
import { be16, u16, u32, u8 } from '../wire/codec.ts';
import { field, type Fields, struct, type Struct } from '../wire/struct.ts';

/** @throws internal when the bytes are too few */
export const readStruct = <K extends string>(type: Struct<K>, info: Uint8Array): Fields<K> =>
  type.read(sourceOf(info, false), 0, info.length);

/** `struct xt_mark_mtinfo1`, `struct xt_connmark_mtinfo1` (the same) */
export const markMatch = struct('xt_mark_mtinfo1', 'linux/netfilter/xt_mark.h', {
  mark: field('mark', u32),
  mask: field('mask', u32),
  invert: field('invert', u8),
});

export const markTarget = struct('xt_mark_tginfo2', 'linux/netfilter/xt_mark.h', {
  mark: field('mark', u32),
  mask: field('mask', u32),
});

export const addrtype = struct('xt_addrtype_info_v1', 'linux/netfilter/xt_addrtype.h', {
  /** Bits 1 << RTN_* */
  source: field('source', u16),
  destination: field('dest', u16),
  /** XT_ADDRTYPE_* */
  flags: field('flags', u32),
});

export const tcp = struct('xt_tcp', 'linux/netfilter/xt_tcpudp.h', {
  sourceFrom: field('spts[0]', u16),
  sourceTo: field('spts[1]', u16),
  destinationFrom: field('dpts[0]', u16),
  destinationTo: field('dpts[1]', u16),
  option: field('option', u8),
  flagMask: field('flg_mask', u8),
  flagValue: field('flg_cmp', u8),
  /** XT_TCP_INV_* */
  invert: field('invflags', u8),
});

export const udp = struct('xt_udp', 'linux/netfilter/xt_tcpudp.h', {
  sourceFrom: field('spts[0]', u16),
  sourceTo: field('spts[1]', u16),
  destinationFrom: field('dpts[0]', u16),
  destinationTo: field('dpts[1]', u16),
  /** XT_UDP_INV_* */
  invert: field('invflags', u8),
});

/** The end of `struct xt_conntrack_mtinfo2` and `3`, which begin with eight addresses (16 bytes each) and two times (4 each). */
export const conntrack = {
  skip: 8 * 16 + 2 * 4,
  tail: struct('xt_conntrack_mtinfo2', 'linux/netfilter/xt_conntrack.h', {
    l4proto: field('l4proto', u16),
    originalSourcePort: field('origsrc_port', u16),
    originalDestinationPort: field('origdst_port', u16),
    replySourcePort: field('replsrc_port', u16),
    replyDestinationPort: field('repldst_port', u16),
    /** XT_CONNTRACK_*: what is asked */
    match: field('match_flags', u16),
    invert: field('invert_flags', u16),
    states: field('state_mask', u16),
    status: field('status_mask', u16),
  }),
} as const;

/** `struct nf_nat_range2`, less its two addresses (bytes 4 to 36). <linux/netfilter/nf_nat.h> */
export const natRange = {
  flags: struct('nf_nat_range2', 'linux/netfilter/nf_nat.h', { flags: field('flags', u32) }),
  address: 4,
  ports: 36,
  portPair: struct('nf_conntrack_man_proto', 'linux/netfilter/nf_conntrack_tuple_common.h', {
    from: field('min_proto', be16),
    to: field('max_proto', be16),
  }),
} as const;

/** `struct nf_nat_ipv4_multi_range_compat`, always with one range. <linux/netfilter/nf_nat.h> */
export const natCompat = { flags: 4, address: 8, ports: 16, size: 20 } as const;

/** @throws internal when there are not as many bytes */
export function part(info: Uint8Array, start: number, length: number): Uint8Array {
  if (info.length < start + length)
    throw malformed('an iptables statement', start, `${info.length - start} bytes instead of ${length}`);
  return info.subarray(start, start + length);
}
