/** Settings of links that are kept for IPv4 and IPv6 each. <linux/netconf.h> */
import { attr, attributes, message } from '../attributes.ts';
import { s32, u8 } from '../codec.ts';
import { field, struct } from '../struct.ts';

export const netconfmsg = struct('netconfmsg', 'linux/netconf.h', { family: field('ncm_family', u8) });

/** RTM_NEWNETCONF, RTM_DELNETCONF. */
export const netconf = message(
  netconfmsg,
  attributes('linux/netconf.h', {
    index: attr('NETCONFA_IFINDEX', 1, s32),
    forwarding: attr('NETCONFA_FORWARDING', 2, s32),
    rpFilter: attr('NETCONFA_RP_FILTER', 3, s32),
    mcForwarding: attr('NETCONFA_MC_FORWARDING', 4, s32),
    proxyNeighbour: attr('NETCONFA_PROXY_NEIGH', 5, s32),
    ignoreRoutesWithLinkDown: attr('NETCONFA_IGNORE_ROUTES_WITH_LINKDOWN', 6, s32),
    input: attr('NETCONFA_INPUT', 7, s32),
    bcForwarding: attr('NETCONFA_BC_FORWARDING', 8, s32),
  }),
);
