/** Routes. <linux/rtnetlink.h> */
import { type IpAddress, ipBytes, ipFromBytes } from '../../base/ip.ts';
import { attr, attributes, message, records } from '../attributes.ts';
import { malformed } from '../bytes.ts';
import { type Codec, ip, s32, u16, u32, u8 } from '../codec.ts';
import { field, struct } from '../struct.ts';

export const rtmsg = struct('rtmsg', 'linux/rtnetlink.h', {
  family: field('rtm_family', u8),
  destinationLength: field('rtm_dst_len', u8),
  sourceLength: field('rtm_src_len', u8),
  tos: field('rtm_tos', u8),
  /** RT_TABLE_UNSPEC when RTA_TABLE says it */
  table: field('rtm_table', u8),
  /** RTPROT_* */
  protocol: field('rtm_protocol', u8),
  /** RT_SCOPE_* */
  scope: field('rtm_scope', u8),
  /** RTN_* */
  type: field('rtm_type', u8),
  /** RTM_F_*, RTNH_F_* */
  flags: field('rtm_flags', u32),
});

export const rtnexthop = struct('rtnexthop', 'linux/rtnetlink.h', {
  length: field('rtnh_len', u16),
  /** RTNH_F_* */
  flags: field('rtnh_flags', u8),
  /** weight - 1 */
  hops: field('rtnh_hops', u8),
  index: field('rtnh_ifindex', s32),
});

/** `struct rtvia`: a gateway of another family than the route's: u16 family, address. */
export const via: Codec<IpAddress> = {
  name: 'struct rtvia',
  write(out, value) {
    const bytes = ipBytes(value);
    const at = out.reserve(2);
    out.view.setUint16(at, bytes.length === 4 ? AF_INET : AF_INET6, true);
    out.append(bytes);
  },
  read(source, at, end) {
    const family = end - at < 2 ? -1 : source.view.getUint16(at, true);
    const size = family === AF_INET ? 4 : family === AF_INET6 ? 16 : -1;
    if (end - at !== 2 + size) throw malformed('struct rtvia', at, `family ${family} in ${end - at} bytes`);
    return ipFromBytes(source.bytes.subarray(at + 2, end));
  },
  show: String,
};
const AF_INET = 2;
const AF_INET6 = 10;

export const metrics = attributes('linux/rtnetlink.h', {
  lock: attr('RTAX_LOCK', 1, u32),
  mtu: attr('RTAX_MTU', 2, u32),
  window: attr('RTAX_WINDOW', 3, u32),
  advmss: attr('RTAX_ADVMSS', 8, u32),
  hoplimit: attr('RTAX_HOPLIMIT', 10, u32),
  features: attr('RTAX_FEATURES', 12, u32),
});

const GATEWAY = { gateway: attr('RTA_GATEWAY', 5, ip), via: attr('RTA_VIA', 18, via) };

export const nexthop = message(rtnexthop, attributes('linux/rtnetlink.h', GATEWAY));

/** RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE. */
export const route = message(
  rtmsg,
  attributes('linux/rtnetlink.h', {
    ...GATEWAY,
    destination: attr('RTA_DST', 1, ip),
    source: attr('RTA_SRC', 2, ip),
    iif: attr('RTA_IIF', 3, u32),
    oif: attr('RTA_OIF', 4, u32),
    priority: attr('RTA_PRIORITY', 6, u32),
    preferredSource: attr('RTA_PREFSRC', 7, ip),
    metrics: attr('RTA_METRICS', 8, metrics),
    multipath: attr('RTA_MULTIPATH', 9, records(nexthop, 'length')),
    flow: attr('RTA_FLOW', 11, u32),
    table: attr('RTA_TABLE', 15, u32),
    mark: attr('RTA_MARK', 16, u32),
    preference: attr('RTA_PREF', 20, u8),
    expires: attr('RTA_EXPIRES', 23, u32),
    nexthopId: attr('RTA_NH_ID', 30, u32),
  }),
);
