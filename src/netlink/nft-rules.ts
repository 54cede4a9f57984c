/** Tables and rules of nf_tables as the kernel holds them, for what libnftables does not tell, such as what iptables' own matches and targets say. */
import { type XtBlob, type XtBlobs, ruleKey } from '../nft/ruleset.ts';
import { familyH, netfilterH, nfnetlinkH, nfTablesH } from '../wire/netlink/constants.ts';
import { nftRule, nftTable, xtExpressions } from '../wire/netlink/nftables.ts';
import { type Query, query } from './request.ts';
import type { NetlinkSocket } from './socket.ts';

const SUBSYSTEM = nfnetlinkH.NFNL_SUBSYS_NFTABLES << 8;
const FAMILIES = { ip: netfilterH.NFPROTO_IPV4, ip6: netfilterH.NFPROTO_IPV6 } as const;

export interface TableInfo {
  readonly family: string;
  readonly name: string;
  /** Counts up with each table that is made in the namespace. */
  readonly handle: number;
  readonly dormant: boolean;
  /** Any of its flags is set. */
  readonly flagged: boolean;
}

const FAMILY_NAMES: Readonly<Record<number, string>> = {
  [netfilterH.NFPROTO_INET]: 'inet',
  [netfilterH.NFPROTO_IPV4]: 'ip',
  [netfilterH.NFPROTO_ARP]: 'arp',
  [netfilterH.NFPROTO_NETDEV]: 'netdev',
  [netfilterH.NFPROTO_BRIDGE]: 'bridge',
  [netfilterH.NFPROTO_IPV6]: 'ip6',
};

/** All tables of this namespace. @param socket of protocol `netfilter` */
export function dumpTables(socket: NetlinkSocket): readonly TableInfo[] {
  return socket.collect(
    query('nft list tables', SUBSYSTEM | nfTablesH.NFT_MSG_GETTABLE, {
      dump: true,
      codec: nftTable,
      value: { header: { family: familyH.AF_UNSPEC, version: nfnetlinkH.NFNETLINK_V0 }, attributes: {} },
      decode(message) {
        if (message.type !== (SUBSYSTEM | nfTablesH.NFT_MSG_NEWTABLE)) return undefined;
        const { header, attributes } = message.read(nftTable);
        const family = FAMILY_NAMES[header.family];
        const { name, flags = 0, handle } = attributes;
        if (family === undefined || name === undefined) return undefined;
        return {
          family,
          name,
          handle: numberOf(handle),
          dormant: (flags & nfTablesH.NFT_TABLE_F_DORMANT) !== 0,
          flagged: flags !== 0,
        };
      },
    }),
  );
}

/** Handles count up from 1: they fit a number. */
const numberOf = (handle: Uint8Array | undefined): number =>
  handle?.length === 8 ? Number(new DataView(handle.buffer, handle.byteOffset).getBigUint64(0)) : 0;

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
      if (table === undefined || chain === undefined || expressions === undefined) return undefined;
      const blobs = xtExpressions(expressions);
      if (blobs.length === 0) return undefined;
      return { key: ruleKey(family, table, { chain, handle: numberOf(handle) }), blobs };
    },
  });
}
