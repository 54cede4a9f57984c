/**
 * Tables in sandboxes, by our own netlink messages. libnftables would need a context in each namespace, and takes the whole process down where it
 * cannot have a socket (netlink_init_error() calls exit(3)) or its number is above what select(2) knows (FD_SETSIZE, 1024). So it is asked once
 * for each table what it makes of it, in a namespace that nobody sees, and what the kernel then holds is put into every other one: 0.1 ms.
 */
import { MoorError } from '../base/errors.ts';
import type { Change, Netns } from '../contracts/change.ts';
import type { Applied } from '../contracts/kernel.ts';
import { dumpTable, removeTable, tableRequests, transactTable } from '../netlink/nft-tables.ts';
import type { Request } from '../netlink/request.ts';
import { NetlinkSocket } from '../netlink/socket.ts';
import { commands, SEPARATOR } from '../nft/transaction.ts';
import type { NftTable, NftTableRef, NftTableState } from '../nft/types.ts';
import { hasCode } from '../sys/errors.ts';
import { createUnpinnedNetns } from '../sys/netns.ts';
import { ruleComment } from '../wire/netlink/nftables.ts';
import { ALREADY, CHANGED, failed } from './failure.ts';
import { type NftRunner, nftInside } from './nft-run.ts';

export type InnerTable = Extract<Change, { kind: 'nft-table' }> & { readonly netns: Netns };

/** Messages that make a table, and that make one which is there as it should be. */
interface Made {
  readonly anew: readonly Request[];
  readonly update: readonly Request[];
}

/** By what tables are for us, as text. There are as many as kinds of tables: one. */
const compiled = new Map<string, Made>();
/** The same by the object, which is the same each time for one that was made out beforehand. */
const known = new WeakMap<NftTable, Made>();

/** @param nft the host's: the library, or the program */
export function applyInnerTable(change: InnerTable, socket: NetlinkSocket, nft: NftRunner): Applied {
  const { table, op } = change;
  if (op === 'remove') {
    // Refuses text that nft could read as something else.
    commands(change);
    const error = removeTable(socket, table);
    if (error === null) return CHANGED;
    return hasCode(error, 'ENOENT') ? ALREADY : failed(change, error);
  }
  const { anew, update } = known.get(table) ?? compile(table, nft);
  const error = transactTable(socket, anew);
  if (error === null) return CHANGED;
  if (!hasCode(error, 'EEXIST')) return failed(change, error);
  const again = transactTable(socket, update);
  return again === null ? ALREADY : failed(change, again);
}

/** Makes out beforehand what tables are, while descriptors are plenty. Never throws. */
export function prepareInnerTables(tables: readonly NftTable[], nft: NftRunner): void {
  for (const table of tables) {
    try {
      known.set(table, compile(table, nft));
    } catch (error) {
      if (!(error instanceof MoorError)) throw error;
    }
  }
}

/** Chains and comments; sets, which such a table has none of, are not looked at. @returns null when there is no such table */
export function listInnerTable(ref: NftTableRef, socket: NetlinkSocket): NftTableState | null {
  const found = dumpTable(socket, ref);
  if (found === null) return null;
  const chains: Record<string, string[]> = Object.fromEntries(found.chains.map(({ name }) => [name, []]));
  for (const { chain, userdata } of found.rules) chains[chain]?.push(ruleComment(userdata));
  return { family: ref.family, name: ref.name, chains, sets: {} };
}

/** @throws what nft says of it */
function compile(table: NftTable, nft: NftRunner): Made {
  const key = JSON.stringify(table);
  const old = compiled.get(key);
  if (old !== undefined) return old;
  if (table.sets.length > 0) throw new MoorError('unsupported', 'a table in a sandbox has no sets');
  using scratch = createUnpinnedNetns();
  using inside = nftInside(scratch, nft);
  const { rc, error } = inside.run(commands({ kind: 'nft-table', op: 'add', table }).join(SEPARATOR));
  if (rc !== 0) throw new MoorError('invalid', /Error: (?:Could not process rule: )?(.*)/.exec(error)?.[1] ?? error.trim());
  using socket = NetlinkSocket.open('netfilter', scratch);
  const contents = dumpTable(socket, table);
  if (contents === null) throw new MoorError('internal', `nft did not make table ${table.name}`);
  const { family, name } = table;
  const made: Made = {
    anew: tableRequests({ ref: { family, name }, contents }, false),
    update: tableRequests({ ref: { family, name }, contents }, true),
  };
  compiled.set(key, made);
  return made;
}
