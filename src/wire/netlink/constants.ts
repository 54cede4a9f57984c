/** Numbers of the kernel's user API under their C names, one object per header. A test compiles the headers and compares. */

/** <linux/netlink.h> */
export const netlinkH = {
  NETLINK_ROUTE: 0,
  NETLINK_NETFILTER: 12,
  NLM_F_REQUEST: 0x01,
  NLM_F_MULTI: 0x02,
  NLM_F_ACK: 0x04,
  NLM_F_DUMP_INTR: 0x10,
  NLM_F_DUMP: 0x300,
  NLM_F_REPLACE: 0x100,
  NLM_F_EXCL: 0x200,
  NLM_F_CREATE: 0x400,
  NLM_F_APPEND: 0x800,
  NLM_F_CAPPED: 0x100,
  NLM_F_ACK_TLVS: 0x200,
  NLMSG_NOOP: 1,
  NLMSG_ERROR: 2,
  NLMSG_DONE: 3,
  NLMSG_OVERRUN: 4,
  NLA_F_NESTED: 0x8000,
  NLA_F_NET_BYTEORDER: 0x4000,
} as const;

/** <linux/rtnetlink.h> */
export const rtnetlinkH = {
  RTM_NEWLINK: 16,
  RTM_DELLINK: 17,
  RTM_GETLINK: 18,
  RTM_SETLINK: 19,
  RTM_NEWADDR: 20,
  RTM_DELADDR: 21,
  RTM_GETADDR: 22,
  RTM_NEWROUTE: 24,
  RTM_DELROUTE: 25,
  RTM_GETROUTE: 26,
  RTM_NEWNEIGH: 28,
  RTM_DELNEIGH: 29,
  RTM_GETNEIGH: 30,
  RTM_NEWRULE: 32,
  RTM_DELRULE: 33,
  RTM_GETRULE: 34,
  RTM_DELNETCONF: 81,
  RTM_NEWNSID: 88,
  RTM_DELNSID: 89,
  RTM_GETNSID: 90,
  RTNLGRP_LINK: 1,
  RTNLGRP_NEIGH: 3,
  RTNLGRP_IPV4_IFADDR: 5,
  RTNLGRP_IPV4_ROUTE: 7,
  RTNLGRP_IPV6_IFADDR: 9,
  RTNLGRP_IPV6_ROUTE: 11,
  RTNLGRP_IPV4_NETCONF: 24,
  RTN_UNICAST: 1,
  RTN_LOCAL: 2,
  RTN_BROADCAST: 3,
  RTN_ANYCAST: 4,
  RTN_MULTICAST: 5,
  RTN_BLACKHOLE: 6,
  RTN_UNREACHABLE: 7,
  RTN_PROHIBIT: 8,
  RTPROT_UNSPEC: 0,
  RTPROT_KERNEL: 2,
  RTPROT_BOOT: 3,
  RTPROT_STATIC: 4,
  RT_SCOPE_UNIVERSE: 0,
  RT_SCOPE_SITE: 200,
  RT_SCOPE_LINK: 253,
  RT_SCOPE_HOST: 254,
  RT_SCOPE_NOWHERE: 255,
  RT_TABLE_UNSPEC: 0,
  RT_TABLE_MAIN: 254,
  RTM_F_CLONED: 0x200,
  RTNH_F_ONLINK: 4,
  RTEXT_FILTER_SKIP_STATS: 8,
} as const;

/** <linux/if.h> */
export const ifH = { IFF_UP: 1, IFF_LOOPBACK: 8, IFNAMSIZ: 16 } as const;

/** <linux/if_addr.h> */
export const ifAddrH = {
  IFA_F_NODAD: 0x02,
  IFA_F_TENTATIVE: 0x40,
  IFA_F_PERMANENT: 0x80,
  IFA_F_NOPREFIXROUTE: 0x200,
  IFAPROT_UNSPEC: 0,
  IFAPROT_KERNEL_LO: 1,
  IFAPROT_KERNEL_RA: 2,
  IFAPROT_KERNEL_LL: 3,
} as const;

/** <linux/if_link.h> */
export const ifLinkH = {
  MACVLAN_MODE_PRIVATE: 1,
  MACVLAN_MODE_VEPA: 2,
  MACVLAN_MODE_BRIDGE: 4,
  MACVLAN_MODE_PASSTHRU: 8,
} as const;

/** <linux/neighbour.h> */
export const neighbourH = {
  NUD_INCOMPLETE: 0x01,
  NUD_REACHABLE: 0x02,
  NUD_STALE: 0x04,
  NUD_DELAY: 0x08,
  NUD_PROBE: 0x10,
  NUD_FAILED: 0x20,
  NUD_NOARP: 0x40,
  NUD_PERMANENT: 0x80,
  NUD_NONE: 0x00,
  NTF_SELF: 0x02,
  NTF_MASTER: 0x04,
} as const;

/** <linux/fib_rules.h> */
export const fibRulesH = { FR_ACT_TO_TBL: 1 } as const;

/** <linux/netfilter/nfnetlink.h> */
export const nfnetlinkH = {
  NFNL_SUBSYS_CTNETLINK: 1,
  NFNL_SUBSYS_NFTABLES: 10,
  NFNLGRP_NFTABLES: 7,
  NFNETLINK_V0: 0,
  NFNL_MSG_BATCH_BEGIN: 16,
  NFNL_MSG_BATCH_END: 17,
} as const;

/** <linux/netfilter/nfnetlink_conntrack.h> */
export const conntrackH = { IPCTNL_MSG_CT_NEW: 0, IPCTNL_MSG_CT_GET: 1, IPCTNL_MSG_CT_DELETE: 2 } as const;

/** <linux/netfilter/nf_tables.h> */
export const nfTablesH = {
  NFT_MSG_NEWTABLE: 0,
  NFT_MSG_GETTABLE: 1,
  NFT_MSG_DELTABLE: 2,
  NFT_MSG_NEWCHAIN: 3,
  NFT_MSG_GETCHAIN: 4,
  NFT_MSG_DELCHAIN: 5,
  NFT_MSG_NEWRULE: 6,
  NFT_MSG_GETRULE: 7,
  NFT_MSG_DELRULE: 8,
  NFT_MSG_NEWSET: 9,
  NFT_MSG_DELSET: 11,
  NFT_MSG_NEWSETELEM: 12,
  NFT_MSG_DELSETELEM: 14,
  NFT_MSG_NEWGEN: 15,
  NFT_MSG_NEWOBJ: 18,
  NFT_MSG_DELOBJ: 20,
  NFT_MSG_NEWFLOWTABLE: 22,
  NFT_MSG_DELFLOWTABLE: 24,
  NFT_TABLE_F_DORMANT: 1,
} as const;

/** <linux/netfilter.h>: families of nf_tables */
export const netfilterH = {
  NFPROTO_INET: 1,
  NFPROTO_IPV4: 2,
  NFPROTO_ARP: 3,
  NFPROTO_NETDEV: 5,
  NFPROTO_BRIDGE: 7,
  NFPROTO_IPV6: 10,
} as const;

/** <sys/socket.h>: address families */
export const familyH = { AF_UNSPEC: 0, AF_INET: 2, AF_BRIDGE: 7, AF_INET6: 10 } as const;

/** <netinet/in.h> */
export const protocolH = { IPPROTO_TCP: 6, IPPROTO_UDP: 17, IPPROTO_SCTP: 132 } as const;
