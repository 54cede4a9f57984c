/** Debug printer of whole messages: `RTM_NEWLINK #7 0x605 ifinfomsg{index=3} {IFLA_IFNAME="eth0"}`. */
import { sourceOf } from '../bytes.ts';
import type { Codec } from '../codec.ts';
import { address } from './address.ts';
import { netlinkH, nfnetlinkH, conntrackH, nfTablesH, rtnetlinkH } from './constants.ts';
import { flow } from './conntrack.ts';
import { nlmsgerr, nlmsghdr } from './header.ts';
import { link } from './link.ts';
import { neighbour } from './neighbour.ts';
import { nftGeneration, nftObject } from './nftables.ts';
import { nsid } from './nsid.ts';
import { route } from './route.ts';
import { rule } from './rule.ts';

/** By the letters after RTM_NEW, RTM_DEL, RTM_GET, RTM_SET. */
const ROUTE: Readonly<Record<string, Codec<unknown>>> = {
  LINK: link,
  ADDR: address,
  ROUTE: route,
  NEIGH: neighbour,
  RULE: rule,
  NSID: nsid,
};

const TYPES = new Map<number, { readonly name: string; readonly codec: Codec<unknown> }>();
for (const [name, type] of Object.entries(rtnetlinkH)) {
  const codec = ROUTE[/^RTM_(?:NEW|DEL|GET|SET)([A-Z]+)$/.exec(name)?.[1] ?? ''];
  if (codec) TYPES.set(type, { name, codec });
}
for (const [name, type] of Object.entries(conntrackH))
  TYPES.set((nfnetlinkH.NFNL_SUBSYS_CTNETLINK << 8) | type, { name, codec: flow });
for (const [name, type] of Object.entries(nfTablesH)) {
  const codec = type === nfTablesH.NFT_MSG_NEWGEN ? nftGeneration : nftObject;
  TYPES.set((nfnetlinkH.NFNL_SUBSYS_NFTABLES << 8) | type, { name, codec });
}
TYPES.set(netlinkH.NLMSG_ERROR, { name: 'NLMSG_ERROR', codec: nlmsgerr });

/** One line for one message. @throws internal when it is malformed */
export function showMessage(bytes: Uint8Array): string {
  const source = sourceOf(bytes);
  const { type, flags, sequence } = nlmsghdr.read(source, 0, bytes.length);
  const known = TYPES.get(type);
  const payload = bytes.length - nlmsghdr.size;
  const body = known ? known.codec.show(known.codec.read(source, nlmsghdr.size, bytes.length)) : `(${payload} bytes)`;
  return `${known?.name ?? `type ${type}`} #${sequence} 0x${flags.toString(16)} ${body}`;
}
