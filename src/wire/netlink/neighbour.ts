/** Neighbours (ARP, neighbour discovery) and bridge forwarding entries. <linux/neighbour.h> */
import { attr, attributes, message } from '../attributes.ts';
import { be16, ip, lladdr, s32, u16, u32, u8 } from '../codec.ts';
import { field, struct } from '../struct.ts';

export const ndmsg = struct('ndmsg', 'linux/neighbour.h', {
  /** AF_BRIDGE for forwarding entries */
  family: field('ndm_family', u8),
  pad1: field('ndm_pad1', u8),
  pad2: field('ndm_pad2', u16),
  index: field('ndm_ifindex', s32),
  /** NUD_* */
  state: field('ndm_state', u16),
  /** NTF_* */
  flags: field('ndm_flags', u8),
  type: field('ndm_type', u8),
});

export const cacheinfo = struct('nda_cacheinfo', 'linux/neighbour.h', {
  /** 1/100 s */
  confirmed: field('ndm_confirmed', u32),
  used: field('ndm_used', u32),
  updated: field('ndm_updated', u32),
  references: field('ndm_refcnt', u32),
});

/** RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH. */
export const neighbour = message(
  ndmsg,
  attributes('linux/neighbour.h', {
    /** the neighbour's address; of a VXLAN forwarding entry: the remote VTEP */
    destination: attr('NDA_DST', 1, ip),
    lladdr: attr('NDA_LLADDR', 2, lladdr),
    cacheinfo: attr('NDA_CACHEINFO', 3, cacheinfo),
    probes: attr('NDA_PROBES', 4, u32),
    vlan: attr('NDA_VLAN', 5, u16),
    port: attr('NDA_PORT', 6, be16),
    vni: attr('NDA_VNI', 7, u32),
    index: attr('NDA_IFINDEX', 8, u32),
    master: attr('NDA_MASTER', 9, u32),
    linkNsid: attr('NDA_LINK_NETNSID', 10, s32),
    sourceVni: attr('NDA_SRC_VNI', 11, u32),
    protocol: attr('NDA_PROTOCOL', 12, u8),
    nexthopId: attr('NDA_NH_ID', 13, u32),
    extFlags: attr('NDA_FLAGS_EXT', 15, u32),
  }),
);
