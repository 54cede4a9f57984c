/** Rules of nf_tables as the kernel holds them, for what libnftables does not tell: what iptables' own matches and targets say. */
import { type XtBlob, type XtBlobs, ruleKey } from '../nft/ruleset.ts';
import { netfilterH, nfnetlinkH, nfTablesH } from '../wire/netlink/constants.ts';
import { nftRule, xtExpressions } from '../wire/netlink/nftables.ts';
import { type Query, query } from './request.ts';
import type { NetlinkSocket } from './socket.ts';

const SUBSYSTEM = nfnetlinkH.NFNL_SUBSYS_NFTABLES << 8;
const FAMILIES = { ip: netfilterH.NFPROTO_IPV4, ip6: netfilterH.NFPROTO_IPV6 } as const;

interface XtRule {
  readonly key: string;
  readonly blobs: readonly XtBlob[];
}

/** All that iptables-nft and ip6tables-nft put into the rules of this namespace. @param socket of protocol `netfilter` */
export function dumpXt(socket: NetlinkSocket): XtBlobs {
  const rules = (['ip', 'ip6'] as const).flatMap((family) => socket.collect(xtRules(family)));
  return new Map(rules.map(({ key, blobs }) => [key, blobs]));
}

function xtRules(family: keyof typeof FAMILIES): Query<XtRule> {
  return query(`nft list rules ${family}`, SUBSYSTEM | nfTablesH.NFT_MSG_GETRULE, {
    dump: true,
    codec: nftRule,
    value: { header: { family: FAMILIES[family], version: nfnetlinkH.NFNETLINK_V0 }, attributes: {} },
    decode(message) {
      if (message.type !== (SUBSYSTEM | nfTablesH.NFT_MSG_NEWRULE)) return undefined;
      const { table, chain, handle, expressions } = message.read(nftRule).attributes;
      if (table === undefined || chain === undefined || handle?.length !== 8 || expressions === undefined) return undefined;
      const blobs = xtExpressions(expressions);
      if (blobs.length === 0) return undefined;
      // Handles count up from 1 in each table: they fit a number.
      const number = Number(new DataView(handle.buffer, handle.byteOffset).getBigUint64(0));
      return { key: ruleKey(family, table, { chain, handle: number }), blobs };
    },
  });
}
