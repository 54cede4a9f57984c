/** Links. <linux/if_link.h>, <linux/rtnetlink.h>, <linux/veth.h>, <linux/if_tun.h> */
import { attr, attributes, choice, message } from '../attributes.ts';
import { be16, flag, ip, lladdr, s32, text, u16, u32, u8 } from '../codec.ts';
import { field, struct } from '../struct.ts';

export const ifinfomsg = struct('ifinfomsg', 'linux/rtnetlink.h', {
  family: field('ifi_family', u8),
  /** ARPHRD_* */
  type: field('ifi_type', u16),
  index: field('ifi_index', s32),
  /** IFF_* */
  flags: field('ifi_flags', u32),
  /** which flags a request changes */
  change: field('ifi_change', u32),
});

const LINK = {
  address: attr('IFLA_ADDRESS', 1, lladdr),
  broadcast: attr('IFLA_BROADCAST', 2, lladdr),
  name: attr('IFLA_IFNAME', 3, text),
  mtu: attr('IFLA_MTU', 4, u32),
  /** index of the parent or of the veth peer */
  link: attr('IFLA_LINK', 5, u32),
  master: attr('IFLA_MASTER', 10, u32),
  txqlen: attr('IFLA_TXQLEN', 13, u32),
  operstate: attr('IFLA_OPERSTATE', 16, u8),
  netnsPid: attr('IFLA_NET_NS_PID', 19, u32),
  alias: attr('IFLA_IFALIAS', 20, text),
  group: attr('IFLA_GROUP', 27, u32),
  netnsFd: attr('IFLA_NET_NS_FD', 28, u32),
  /** RTEXT_FILTER_* */
  extMask: attr('IFLA_EXT_MASK', 29, u32),
  promiscuity: attr('IFLA_PROMISCUITY', 30, u32),
  txQueues: attr('IFLA_NUM_TX_QUEUES', 31, u32),
  rxQueues: attr('IFLA_NUM_RX_QUEUES', 32, u32),
  carrier: attr('IFLA_CARRIER', 33, u8),
  /** nsid of the namespace that `link` counts in */
  linkNsid: attr('IFLA_LINK_NETNSID', 37, s32),
  gsoMaxSegments: attr('IFLA_GSO_MAX_SEGS', 40, u32),
  gsoMaxSize: attr('IFLA_GSO_MAX_SIZE', 41, u32),
  newNsid: attr('IFLA_NEW_NETNSID', 45, s32),
  targetNsid: attr('IFLA_TARGET_NETNSID', 46, s32),
  newIndex: attr('IFLA_NEW_IFINDEX', 49, s32),
};

/** The end of a veth pair that is not named by the message itself: a whole link message. */
export const vethPeer = message(ifinfomsg, attributes('linux/if_link.h', LINK));

export const vethInfo = attributes('linux/veth.h', { peer: attr('VETH_INFO_PEER', 1, vethPeer) });

export const bridgeInfo = attributes('linux/if_link.h', {
  /** 1/100 s (USER_HZ), as all times here */
  forwardDelay: attr('IFLA_BR_FORWARD_DELAY', 1, u32),
  helloTime: attr('IFLA_BR_HELLO_TIME', 2, u32),
  maxAge: attr('IFLA_BR_MAX_AGE', 3, u32),
  ageingTime: attr('IFLA_BR_AGEING_TIME', 4, u32),
  stpState: attr('IFLA_BR_STP_STATE', 5, u32),
  priority: attr('IFLA_BR_PRIORITY', 6, u16),
  vlanFiltering: attr('IFLA_BR_VLAN_FILTERING', 7, u8),
  vlanProtocol: attr('IFLA_BR_VLAN_PROTOCOL', 8, be16),
  groupForwardMask: attr('IFLA_BR_GROUP_FWD_MASK', 9, u16),
  multicastRouter: attr('IFLA_BR_MCAST_ROUTER', 22, u8),
  multicastSnooping: attr('IFLA_BR_MCAST_SNOOPING', 23, u8),
  multicastQuerier: attr('IFLA_BR_MCAST_QUERIER', 25, u8),
  nfCallIptables: attr('IFLA_BR_NF_CALL_IPTABLES', 36, u8),
  nfCallIp6tables: attr('IFLA_BR_NF_CALL_IP6TABLES', 37, u8),
  nfCallArptables: attr('IFLA_BR_NF_CALL_ARPTABLES', 38, u8),
  vlanDefaultPvid: attr('IFLA_BR_VLAN_DEFAULT_PVID', 39, u16),
});

export const bridgePort = attributes('linux/if_link.h', {
  /** BR_STATE_* */
  state: attr('IFLA_BRPORT_STATE', 1, u8),
  priority: attr('IFLA_BRPORT_PRIORITY', 2, u16),
  cost: attr('IFLA_BRPORT_COST', 3, u32),
  hairpin: attr('IFLA_BRPORT_MODE', 4, u8),
  guard: attr('IFLA_BRPORT_GUARD', 5, u8),
  learning: attr('IFLA_BRPORT_LEARNING', 8, u8),
  unicastFlood: attr('IFLA_BRPORT_UNICAST_FLOOD', 9, u8),
  proxyArp: attr('IFLA_BRPORT_PROXYARP', 10, u8),
  flush: attr('IFLA_BRPORT_FLUSH', 24, flag),
  multicastFlood: attr('IFLA_BRPORT_MCAST_FLOOD', 27, u8),
  broadcastFlood: attr('IFLA_BRPORT_BCAST_FLOOD', 30, u8),
  neighSuppress: attr('IFLA_BRPORT_NEIGH_SUPPRESS', 32, u8),
  isolated: attr('IFLA_BRPORT_ISOLATED', 33, u8),
  locked: attr('IFLA_BRPORT_LOCKED', 39, u8),
});

export const vxlanInfo = attributes('linux/if_link.h', {
  /** VNI, 24 bits */
  id: attr('IFLA_VXLAN_ID', 1, u32),
  group: attr('IFLA_VXLAN_GROUP', 2, ip),
  link: attr('IFLA_VXLAN_LINK', 3, u32),
  local: attr('IFLA_VXLAN_LOCAL', 4, ip),
  ttl: attr('IFLA_VXLAN_TTL', 5, u8),
  tos: attr('IFLA_VXLAN_TOS', 6, u8),
  learning: attr('IFLA_VXLAN_LEARNING', 7, u8),
  /** seconds */
  ageing: attr('IFLA_VXLAN_AGEING', 8, u32),
  limit: attr('IFLA_VXLAN_LIMIT', 9, u32),
  proxy: attr('IFLA_VXLAN_PROXY', 11, u8),
  rsc: attr('IFLA_VXLAN_RSC', 12, u8),
  l2miss: attr('IFLA_VXLAN_L2MISS', 13, u8),
  l3miss: attr('IFLA_VXLAN_L3MISS', 14, u8),
  port: attr('IFLA_VXLAN_PORT', 15, be16),
  group6: attr('IFLA_VXLAN_GROUP6', 16, ip),
  local6: attr('IFLA_VXLAN_LOCAL6', 17, ip),
  udpCsum: attr('IFLA_VXLAN_UDP_CSUM', 18, u8),
  udpZeroCsum6Tx: attr('IFLA_VXLAN_UDP_ZERO_CSUM6_TX', 19, u8),
  udpZeroCsum6Rx: attr('IFLA_VXLAN_UDP_ZERO_CSUM6_RX', 20, u8),
});

export const macvlanInfo = attributes('linux/if_link.h', {
  /** MACVLAN_MODE_* */
  mode: attr('IFLA_MACVLAN_MODE', 1, u32),
  flags: attr('IFLA_MACVLAN_FLAGS', 2, u16),
});

export const tunInfo = attributes('linux/if_link.h', {
  owner: attr('IFLA_TUN_OWNER', 1, u32),
  group: attr('IFLA_TUN_GROUP', 2, u32),
  /** IFF_TUN or IFF_TAP, <linux/if_tun.h> */
  type: attr('IFLA_TUN_TYPE', 3, u8),
  noPacketInfo: attr('IFLA_TUN_PI', 4, u8),
  vnetHeader: attr('IFLA_TUN_VNET_HDR', 5, u8),
  persist: attr('IFLA_TUN_PERSIST', 6, u8),
});

export const linkInfo = attributes('linux/if_link.h', {
  kind: attr('IFLA_INFO_KIND', 1, text),
  data: attr(
    'IFLA_INFO_DATA',
    2,
    choice('kind', { veth: vethInfo, bridge: bridgeInfo, vxlan: vxlanInfo, macvlan: macvlanInfo, tun: tunInfo }),
  ),
  slaveKind: attr('IFLA_INFO_SLAVE_KIND', 4, text),
  slaveData: attr('IFLA_INFO_SLAVE_DATA', 5, choice('slaveKind', { bridge: bridgePort })),
});

/** Of what a notification says, the part that a watcher compares: a whole one has some fifty attributes. */
export const linkMark = message(
  ifinfomsg,
  attributes('linux/if_link.h', { name: LINK.name, mtu: LINK.mtu, master: LINK.master, alias: LINK.alias }),
);

/** RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK. */
export const link = message(
  ifinfomsg,
  attributes('linux/if_link.h', {
    ...LINK,
    /** of family AF_BRIDGE: the port's settings */
    protinfo: attr('IFLA_PROTINFO', 12, bridgePort),
    info: attr('IFLA_LINKINFO', 18, linkInfo),
  }),
);
