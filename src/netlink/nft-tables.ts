/** Tables of nf_tables as messages: nft(8) `list table` and `add table`, where libnftables is not wanted. Sockets of protocol `netfilter`. */
import { type MoorError } from '../base/errors.ts';
import { netfilterH, netlinkH, nfnetlinkH, nfTablesH } from '../wire/netlink/constants.ts';
import { nftChain, nftObject, nftRule } from '../wire/netlink/nftables.ts';
import { change, query, type Query, type Request } from './request.ts';
import type { NetlinkSocket } from './socket.ts';

const { NLM_F_CREATE, NLM_F_EXCL, NLM_F_APPEND } = netlinkH;
const type = (message: number): number => (nfnetlinkH.NFNL_SUBSYS_NFTABLES << 8) | message;
const FAMILIES = {
  inet: netfilterH.NFPROTO_INET,
  ip: netfilterH.NFPROTO_IPV4,
  ip6: netfilterH.NFPROTO_IPV6,
  arp: netfilterH.NFPROTO_ARP,
  bridge: netfilterH.NFPROTO_BRIDGE,
  netdev: netfilterH.NFPROTO_NETDEV,
} as const;

interface TableRef {
  readonly family: keyof typeof FAMILIES;
  readonly name: string;
}

/** What NFT_MSG_NEWCHAIN and NFT_MSG_NEWRULE say of a table's contents, as the kernel dumps it and takes it again. */
export interface RawChain {
  readonly name: string;
  readonly hook: Uint8Array | undefined;
  readonly policy: number | undefined;
  readonly type: string | undefined;
}
export interface RawRule {
  readonly chain: string;
  readonly expressions: Uint8Array | undefined;
  readonly userdata: Uint8Array | undefined;
}
export interface RawTable {
  readonly chains: readonly RawChain[];
  /** Those of one chain in their order. */
  readonly rules: readonly RawRule[];
}

const headerOf = ({ family }: TableRef): { readonly family: number; readonly version: number } => ({
  family: FAMILIES[family],
  version: nfnetlinkH.NFNETLINK_V0,
});

/** @returns null when there is no such table @throws what the kernel says */
export function dumpTable(socket: NetlinkSocket, ref: TableRef): RawTable | null {
  if (socket.find(tableQuery(ref)) === null) return null;
  return { chains: socket.collect(chainsQuery(ref)), rules: socket.collect(rulesQuery(ref)) };
}

function tableQuery(ref: TableRef): Query<string> {
  return query(`nft list table ${ref.family} ${ref.name}`, type(nfTablesH.NFT_MSG_GETTABLE), {
    dump: false,
    codec: nftObject,
    value: { header: headerOf(ref), attributes: { table: ref.name } },
    decode: (message) =>
      message.type === type(nfTablesH.NFT_MSG_NEWTABLE) ? message.read(nftObject).attributes.table : undefined,
  });
}

/** The kernel dumps the chains of all tables of a family. */
function chainsQuery(ref: TableRef): Query<RawChain> {
  return query(`nft list chains ${ref.family}`, type(nfTablesH.NFT_MSG_GETCHAIN), {
    dump: true,
    codec: nftObject,
    value: { header: headerOf(ref), attributes: {} },
    decode(message) {
      if (message.type !== type(nfTablesH.NFT_MSG_NEWCHAIN)) return undefined;
      const { table, name, hook, policy, type: kind } = message.read(nftChain).attributes;
      return table === ref.name && name !== undefined ? { name, hook, policy, type: kind } : undefined;
    },
  });
}

function rulesQuery(ref: TableRef): Query<RawRule> {
  return query(`nft list rules ${ref.family} ${ref.name}`, type(nfTablesH.NFT_MSG_GETRULE), {
    dump: true,
    codec: nftObject,
    value: { header: headerOf(ref), attributes: { table: ref.name } },
    decode(message) {
      if (message.type !== type(nfTablesH.NFT_MSG_NEWRULE)) return undefined;
      const { table, chain, expressions, userdata } = message.read(nftRule).attributes;
      return table === ref.name && chain !== undefined ? { chain, expressions, userdata } : undefined;
    },
  });
}

/**
 * The messages that make a table with its contents, for `transactTable`. They can be sent more than once, and in any namespace.
 * @param update it is there: missing chains come, the rules of its chains are put anew
 */
export function tableRequests(
  { ref, contents: { chains, rules } }: { readonly ref: TableRef; readonly contents: RawTable },
  update: boolean,
): readonly Request[] {
  const header = headerOf(ref);
  const what = `nft add table ${ref.family} ${ref.name}`;
  return [
    newTable(ref, update ? NLM_F_CREATE : NLM_F_CREATE | NLM_F_EXCL),
    ...chains.map((chain) =>
      change(what, type(nfTablesH.NFT_MSG_NEWCHAIN), {
        flags: NLM_F_CREATE,
        codec: nftChain,
        value: { header, attributes: { table: ref.name, ...chain } },
      }),
    ),
    ...(update ? chains : []).map((chain) =>
      change(what, type(nfTablesH.NFT_MSG_DELRULE), {
        codec: nftRule,
        value: { header, attributes: { table: ref.name, chain: chain.name } },
      }),
    ),
    ...rules.map((rule) =>
      change(what, type(nfTablesH.NFT_MSG_NEWRULE), {
        flags: NLM_F_CREATE | NLM_F_APPEND,
        codec: nftRule,
        value: { header, attributes: { table: ref.name, ...rule } },
      }),
    ),
  ];
}

/** @returns null, or why nothing was done. EEXIST for a new table: it is there */
export const transactTable = (socket: NetlinkSocket, requests: readonly Request[]): MoorError | null =>
  firstOf(socket.transact(requests));

/** @returns null, or why it was not removed. ENOENT: there is none */
export const removeTable = (socket: NetlinkSocket, ref: TableRef): MoorError | null =>
  firstOf(socket.transact([deleteTable(ref)]));

/** A transaction that changes nothing: monitors see who made it. @returns null, or why there was none */
export const announceSelf = (socket: NetlinkSocket, ref: TableRef): MoorError | null =>
  firstOf(socket.transact([newTable(ref, NLM_F_CREATE), deleteTable(ref)]));

function newTable(ref: TableRef, flags: number): Request {
  return change(`nft add table ${ref.family} ${ref.name}`, type(nfTablesH.NFT_MSG_NEWTABLE), {
    flags,
    codec: nftObject,
    value: { header: headerOf(ref), attributes: { table: ref.name } },
  });
}

function deleteTable(ref: TableRef): Request {
  return change(`nft delete table ${ref.family} ${ref.name}`, type(nfTablesH.NFT_MSG_DELTABLE), {
    codec: nftObject,
    value: { header: headerOf(ref), attributes: { table: ref.name } },
  });
}

/** The first complaint: those after it may be its consequences. */
const firstOf = (errors: readonly (MoorError | null)[]): MoorError | null => errors.find((error) => error !== null) ?? null;
