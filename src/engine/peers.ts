/** Other hosts' parts of networks that span hosts, as this host has them in its kernel; one row each, so that a join writes one row. */
import type { Id } from '../base/ids.ts';
import type { Change } from '../contracts/change.ts';
import type { HostFacts } from '../contracts/kernel.ts';
import type { Store, Write } from '../contracts/store.ts';
import type { Network } from '../model/network.ts';
import type { Peer } from '../model/node.ts';
import type { Context } from './context.ts';
import { failures } from './executor.ts';
import { peerChanges } from './plans.ts';
import { transition } from './transition.ts';

const PREFIX = 'peer/';

const keyOf = (network: Id, { node }: Peer): string => `${PREFIX}${network}/${node}`;

/** What the last life had in the kernel. What cannot be read counts as nothing: the cluster tells of it again. */
export async function loadPeers(store: Store): Promise<Map<Id, readonly Peer[]>> {
  const out = new Map<Id, Peer[]>();
  const { entries } = await store.list(PREFIX);
  for (const { key, value } of entries) {
    const id = key.slice(PREFIX.length, key.lastIndexOf('/')) as Id;
    const peer = parse(value);
    if (peer === null) continue;
    const list = out.get(id);
    if (list === undefined) out.set(id, [peer]);
    else list.push(peer);
  }
  return out;
}

/** A row is our own; this finds damage. */
function parse(text: string): Peer | null {
  try {
    const peer = JSON.parse(text) as Peer;
    return typeof peer.node === 'string' && Array.isArray(peer.subnets) ? peer : null;
  } catch {
    return null;
  }
}

export const deletePeers = (ctx: Context, network: Id): Write[] =>
  (ctx.peers.get(network) ?? []).map((peer) => ({ type: 'delete', key: keyOf(network, peer) }));

/** Networks with routes by way of a device that is not theirs: those that span hosts, on the underlay. */
export const networksOver = (ctx: Context, device: string): readonly Id[] =>
  ctx.peers.size > 0 && device === ctx.facts.known().underlay?.device ? [...ctx.peers.keys()] : [];

/** Failures of one transition that are told; the next comparison finds the others as well. */
const REPORTED = 10;

/**
 * From the peers that the kernel has to those that there are. What is in both stays as it is.
 * @param was what was known of the ways to other hosts when the kernel was told of them, if that is not what is known now
 * @returns whether all of it worked; if not, the next comparison with the kernel finds what is missing.
 */
export async function applyPeers(
  ctx: Context,
  network: Network,
  { peers, facts, was = facts }: { readonly peers: readonly Peer[]; readonly facts: HostFacts; readonly was?: HostFacts },
): Promise<boolean> {
  const before = ctx.peers.get(network.id) ?? [];
  const rows = (list: readonly Peer[]): Map<string, string> =>
    new Map(list.map((peer) => [keyOf(network.id, peer), JSON.stringify(peer)]));
  const [had, has] = [rows(before), rows(peers)];
  const puts = [...has].flatMap(([key, value]): Write[] => (had.get(key) === value ? [] : [{ type: 'put', key, value }]));
  const deletes = [...had.keys()].flatMap((key): Write[] => (has.has(key) ? [] : [{ type: 'delete', key }]));
  const otherwise = reachedOtherwise(was, facts);
  if (puts.length + deletes.length === 0 && !peers.some(otherwise)) return true;
  // Only of those that have changed: one of ten thousand is one plan, not twenty thousand.
  const without = (list: readonly Peer[], other: ReadonlyMap<string, string>): Peer[] =>
    list.filter((peer) => other.get(keyOf(network.id, peer)) !== JSON.stringify(peer) || otherwise(peer));
  const batches = transition(
    peerChanges(ctx, network, { peers: without(before, has), facts: was }),
    peerChanges(ctx, network, { peers: without(peers, had), facts }),
  );
  // Rows of what comes first, of what goes last: whatever is in the kernel after a crash, a row tells of it.
  await ctx.executor.commit(puts);
  ctx.peers.set(network.id, peers);
  let failed = 0;
  for (const changes of batches) {
    const applied = await ctx.kernel.apply(changes, { keepGoing: true });
    // What is to go may have gone with its device, or by the hand of an administrator.
    const real = failures(changes, applied).filter(
      ({ change, error }) => error.kind !== 'not-found' || ('op' in change && change.op === 'add'),
    );
    for (const { change, error } of real.slice(0, Math.max(0, REPORTED - failed)))
      ctx.logger.error({ network: network.name, change, error: error.message }, 'could not follow the peers of a network');
    failed += real.length;
  }
  await ctx.executor.commit(deletes);
  return failed === 0;
}

/** Changes of one removal, which is a row of the journal: the store takes half a megabyte, and a route has some 150 bytes. */
const REMOVED_AT_ONCE = 1_000;

/**
 * Before a network is removed: many peers go first, by themselves. Those that go with a device of the network do not count.
 * @param removal what the removal of the network is, with its peers
 */
export async function dropMany(
  ctx: Context,
  network: Network,
  { removal, facts }: { readonly removal: readonly Change[]; readonly facts: HostFacts },
): Promise<void> {
  if (ctx.peers.has(network.id) && removal.length > REMOVED_AT_ONCE) await applyPeers(ctx, network, { peers: [], facts });
}

/** Of two states of what is known of paths: to whom another one counts now. */
function reachedOtherwise({ underlay: old }: HostFacts, { underlay: now }: HostFacts): (peer: Peer) => boolean {
  const [before = {}, after = {}] = [old?.paths, now?.paths];
  if (before === after) return () => false;
  return ({ address, addresses = [address] }) => addresses.some((one) => before[one] !== after[one]);
}
