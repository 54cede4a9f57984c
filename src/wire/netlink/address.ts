/** Addresses of links. <linux/if_addr.h> */
import { attr, attributes, message } from '../attributes.ts';
import { ip, text, u32, u8 } from '../codec.ts';
import { field, struct } from '../struct.ts';

export const ifaddrmsg = struct('ifaddrmsg', 'linux/if_addr.h', {
  family: field('ifa_family', u8),
  prefixLength: field('ifa_prefixlen', u8),
  /** the low 8 of IFA_F_* */
  flags: field('ifa_flags', u8),
  /** RT_SCOPE_* */
  scope: field('ifa_scope', u8),
  index: field('ifa_index', u32),
});

export const cacheinfo = struct('ifa_cacheinfo', 'linux/if_addr.h', {
  /** seconds, 0xffffffff = for ever */
  preferred: field('ifa_prefered', u32),
  valid: field('ifa_valid', u32),
  /** 1/100 s since boot */
  created: field('cstamp', u32),
  updated: field('tstamp', u32),
});

/** RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR. */
export const address = message(
  ifaddrmsg,
  attributes('linux/if_addr.h', {
    /** the peer's address on a point-to-point link, else as `local` */
    address: attr('IFA_ADDRESS', 1, ip),
    local: attr('IFA_LOCAL', 2, ip),
    label: attr('IFA_LABEL', 3, text),
    broadcast: attr('IFA_BROADCAST', 4, ip),
    anycast: attr('IFA_ANYCAST', 5, ip),
    cacheinfo: attr('IFA_CACHEINFO', 6, cacheinfo),
    multicast: attr('IFA_MULTICAST', 7, ip),
    /** IFA_F_* */
    flags: attr('IFA_FLAGS', 8, u32),
    metric: attr('IFA_RT_PRIORITY', 9, u32),
    targetNsid: attr('IFA_TARGET_NETNSID', 10, u32),
    /** IFAPROT_* */
    protocol: attr('IFA_PROTO', 11, u8),
  }),
);
