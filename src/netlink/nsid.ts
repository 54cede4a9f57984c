/** Namespace ids: ip-netns(8), `set` and `list-id`. */
import type { Fd } from '../sys/fd.ts';
import { rtnetlinkH } from '../wire/netlink/constants.ts';
import { nsid as nsidMessage } from '../wire/netlink/nsid.ts';
import { change, type Query, query, type Request } from './request.ts';

const { RTM_NEWNSID, RTM_GETNSID } = rtnetlinkH;

/**
 * Gives a namespace an id in the socket's namespace, by which a monitor with NETLINK_LISTEN_ALL_NSID hears of it and names it. An id lives as long as the
 * namespace. One that has an id, or an id that is taken: EEXIST.
 * @param nsid -1 = the kernel chooses
 */
export const setNsid = (netns: Fd, nsid: number): Request =>
  change(`ip netns set ${netns.what} ${nsid < 0 ? 'auto' : nsid}`, RTM_NEWNSID, {
    codec: nsidMessage,
    value: { header: {}, attributes: { fd: netns.number, nsid } },
  });

/** The id of a namespace (use `find`); null when it has none. */
export const getNsid = (netns: Fd): Query<number> =>
  query(`ip netns list-id ${netns.what}`, RTM_GETNSID, {
    dump: false,
    codec: nsidMessage,
    value: { header: {}, attributes: { fd: netns.number } },
    decode(message) {
      const nsid = message.type === RTM_NEWNSID ? message.read(nsidMessage).attributes.nsid : undefined;
      return nsid === NOT_ASSIGNED ? undefined : nsid;
    },
  });

/** NETNSA_NSID_NOT_ASSIGNED, <linux/net_namespace.h> */
const NOT_ASSIGNED = -1;
