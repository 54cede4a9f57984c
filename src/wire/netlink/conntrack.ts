/** Connection tracking. <linux/netfilter/nfnetlink_conntrack.h>; numbers are in network order. */
import { attr, attributes, message } from '../attributes.ts';
import { be16, be32, ip, u32, u8 } from '../codec.ts';
import { nfgenmsg } from './header.ts';

const HEADER = 'linux/netfilter/nfnetlink_conntrack.h';

export const tupleIp = attributes(HEADER, {
  source4: attr('CTA_IP_V4_SRC', 1, ip),
  destination4: attr('CTA_IP_V4_DST', 2, ip),
  source6: attr('CTA_IP_V6_SRC', 3, ip),
  destination6: attr('CTA_IP_V6_DST', 4, ip),
});

export const tupleProto = attributes(HEADER, {
  /** IPPROTO_* */
  number: attr('CTA_PROTO_NUM', 1, u8),
  sourcePort: attr('CTA_PROTO_SRC_PORT', 2, be16),
  destinationPort: attr('CTA_PROTO_DST_PORT', 3, be16),
  icmpId: attr('CTA_PROTO_ICMP_ID', 4, be16),
  icmpType: attr('CTA_PROTO_ICMP_TYPE', 5, u8),
  icmpCode: attr('CTA_PROTO_ICMP_CODE', 6, u8),
  icmp6Id: attr('CTA_PROTO_ICMPV6_ID', 7, be16),
  icmp6Type: attr('CTA_PROTO_ICMPV6_TYPE', 8, u8),
  icmp6Code: attr('CTA_PROTO_ICMPV6_CODE', 9, u8),
});

export const tuple = attributes(HEADER, {
  ip: attr('CTA_TUPLE_IP', 1, tupleIp),
  proto: attr('CTA_TUPLE_PROTO', 2, tupleProto),
  zone: attr('CTA_TUPLE_ZONE', 3, be16),
});

/** Which parts of the tuples of a dump request must be equal; CTA_FILTER, since Linux 5.8. The bits are in no header: see `FILTER`. */
export const flowFilter = attributes(HEADER, {
  original: attr('CTA_FILTER_ORIG_FLAGS', 1, u32),
  reply: attr('CTA_FILTER_REPLY_FLAGS', 2, u32),
});

/** CTA_FILTER_F_*, net/netfilter/nf_internals.h of the kernel's source */
export const FILTER = {
  source: 1 << 0,
  destination: 1 << 1,
  protocol: 1 << 3,
  sourcePort: 1 << 4,
  destinationPort: 1 << 5,
} as const;

/** IPCTNL_MSG_CT_*. */
export const flow = message(
  nfgenmsg,
  attributes(HEADER, {
    original: attr('CTA_TUPLE_ORIG', 1, tuple),
    reply: attr('CTA_TUPLE_REPLY', 2, tuple),
    status: attr('CTA_STATUS', 3, be32),
    /** seconds */
    timeout: attr('CTA_TIMEOUT', 7, be32),
    mark: attr('CTA_MARK', 8, be32),
    use: attr('CTA_USE', 11, be32),
    id: attr('CTA_ID', 12, be32),
    zone: attr('CTA_ZONE', 18, be16),
    filter: attr('CTA_FILTER', 25, flowFilter),
  }),
);
