/** A list of changes, in order, with as few messages as possible. */
import { MoorError } from '../base/errors.ts';
import { type Change, HOST, type Link, type Netns } from '../contracts/change.ts';
import type { Applied } from '../contracts/kernel.ts';
import { dirname } from 'node:path';
import { deleteFlows } from '../netlink/conntrack.ts';
import { deleteLink, getLink } from '../netlink/link.ts';
import { NetlinkSocket } from '../netlink/socket.ts';
import type { NftChange } from '../nft/transaction.ts';
import { hasCode } from '../sys/errors.ts';
import { sendsChecksums, setSendsChecksums } from '../sys/ethtool.ts';
import { sendFrame } from '../sys/frame.ts';
import { isNetns, netnsIdentity, pinNetns, unpinNetns, withNetns } from '../sys/netns.ts';
import { createTun } from '../sys/tun.ts';
import { announcement } from '../wire/announce.ts';
import { Batch, type BatchContext } from './batch.ts';
import { linkDifference } from './compare.ts';
import { linkState } from './existing.ts';
import { ALREADY, CHANGED, SKIPPED, conflicting, failed, isRemoval } from './failure.ts';
import { applyFile, removeEmpty } from './files.ts';
import { applyInnerTable, type InnerTable } from './inner-tables.ts';
import { applyNft } from './nft-apply.ts';
import type { NftRunner } from './nft-run.ts';
import { type RouteChange, afterBirth, setAttributes } from './requests.ts';
import type { Space, Spaces } from './spaces.ts';
import { applySysctl } from './sysctl.ts';

export interface Machine {
  readonly spaces: Spaces;
  readonly nft: NftRunner;
  /** Directories that stay when they are empty. */
  readonly roots: readonly string[];
}

/** @returns one result per change */
export function applyList(machine: Machine, changes: readonly Change[], keepGoing: boolean): readonly Applied[] {
  const results: Applied[] = changes.map(() => SKIPPED);
  machine.spaces.begin();
  const list = new List(machine, { spaces: machine.spaces, results, keepGoing });
  const members = changes.flatMap((change, at) => (isNft(change) && !isInner(change) ? [{ at, change }] : []));
  const last = members.at(-1)?.at;
  for (const [at, change] of changes.entries()) {
    if (change.kind === 'conntrack') continue;
    if (isInner(change) || !isNft(change)) {
      if (!list.add(at, change)) return results;
      // One transaction, where the last of them stands.
    } else if (at === last && !(list.flush() && applyNft(members, { nft: machine.nft, results, keepGoing }))) return results;
  }
  if (!list.flush()) return results;
  syncPorts(machine.spaces, changes, results);
  // Connections are forgotten last, when no packet can make the old entry again.
  forget(changes, results);
  return results;
}

/**
 * A pair that has carrier carries nothing yet: a worker of the kernel's (net/core/link_watch.c) has to see it first, and only then gives the
 * host's end its queue and lets the bridge forward. It needs RTNL, so that on a busy host packets are lost for as long as somebody else
 * holds that. Asking for a link makes up for it at once (rtnl_getlink(), Linux 6.8; before that, it does no harm).
 */
function syncPorts(spaces: Spaces, changes: readonly Change[], results: readonly Applied[]): void {
  const names = new Map<Netns, Set<string>>();
  for (const [at, change] of changes.entries()) {
    if (change.kind !== 'link' || change.op === 'remove' || results[at]?.state !== 'changed') continue;
    const { name, up, master, kind } = change.link;
    if (!up || kind.type !== 'veth') continue;
    const here = names.get(change.netns) ?? new Set();
    names.set(change.netns, here.add(name));
    // After its port, by which it gets its carrier.
    if (master !== undefined) {
      here.delete(master);
      here.add(master);
    }
  }
  for (const [netns, links] of names) spaces.tryGet(netns)?.route.execute([...links].map(getLink));
}

const isNft = (change: Change): change is NftChange =>
  change.kind === 'nft-table' || change.kind === 'nft-element' || change.kind === 'nft-rule';

const isInner = (change: Change): change is InnerTable => change.kind === 'nft-table' && (change.netns ?? HOST) !== HOST;

/** All of them with one look at the kernel's table. */
function forget(changes: readonly Change[], results: Applied[]): void {
  const members = changes.flatMap((change, at) => (change.kind === 'conntrack' ? [{ at, change }] : []));
  if (members.length === 0) return;
  try {
    using socket = NetlinkSocket.open('netfilter');
    const counts = deleteFlows(
      socket,
      members.map(({ change }) => change.tuple),
    );
    for (const [i, { at }] of members.entries()) results[at] = (counts[i] ?? 0) > 0 ? CHANGED : ALREADY;
  } catch (error) {
    for (const { at, change } of members) results[at] = failed(change, error);
  }
}

class List {
  readonly #machine: Machine;
  readonly #context: BatchContext;
  #batch: Batch | null = null;

  constructor(machine: Machine, context: BatchContext) {
    this.#machine = machine;
    this.#context = context;
  }

  /** @returns false when one failed and nothing more may follow */
  add(at: number, change: InnerTable | Exclude<Change, NftChange | { kind: 'conntrack' }>): boolean {
    if (this.#machine.spaces.full && !this.flush()) return false;
    switch (change.kind) {
      // New namespaces depend on nothing that a pending message does.
      case 'netns':
      case 'netns-pin':
        return (change.op === 'add' || this.flush()) && this.#record(at, change, () => this.#pin(change));
      case 'file':
        return this.#record(at, change, () => applyFile(change, this.#machine.roots));
      // Needs nothing that a pending message makes but the namespace, which is there by now.
      case 'nft-table':
        return this.#inSpace(at, change, (space) => applyInnerTable(change, space.netfilter, this.#machine.nft));
      case 'sysctl':
        return this.flush() && this.#inSpace(at, change, (space) => applySysctl(change, space));
      case 'announce':
        return this.flush() && this.#inSpace(at, change, (space) => announce(change, space));
      case 'offload':
        return (
          this.flush() &&
          this.#inSpace(at, change, (space) => {
            const { fd } = space.route;
            if (sendsChecksums(fd, change.device) === change.checksums) return ALREADY;
            setSendsChecksums(fd, change.device, change.checksums);
            return CHANGED;
          })
        );
      case 'link':
        if (change.op === 'add' && (change.link.kind.type === 'tun' || change.link.kind.type === 'tap')) {
          return this.flush() && this.#inSpace(at, change, (space) => addTun(change, change.link, space));
        }
        return this.#inBatch(at, change);
      case 'link-set':
      case 'address':
      case 'route':
      case 'rule':
      case 'neighbour':
      case 'fdb':
        return this.#inBatch(at, change);
    }
  }

  flush(): boolean {
    const batch = this.#batch;
    this.#batch = null;
    const fine = batch === null || batch.flush();
    this.#machine.spaces.trim();
    return fine;
  }

  #inBatch(at: number, change: RouteChange): boolean {
    const known = this.#batch?.space;
    if (known?.netns === change.netns && this.#batch?.fits(change)) return this.#batch.add(at, change);
    if (!this.flush()) return false;
    const space = this.#space(at, change);
    if (space === null) return this.#context.results[at]?.state !== 'failed' || this.#context.keepGoing;
    this.#batch = new Batch(space, this.#context);
    return this.#batch.add(at, change);
  }

  #inSpace(at: number, change: Change & { readonly netns: string }, body: (space: Space) => Applied): boolean {
    const space = this.#space(at, change);
    if (space === null) return this.#context.results[at]?.state !== 'failed' || this.#context.keepGoing;
    return this.#record(at, change, () => body(space));
  }

  /** null = none, and its change's result is set */
  #space(at: number, change: Change & { readonly netns: string }): Space | null {
    try {
      return this.#machine.spaces.get(change.netns);
    } catch (error) {
      // Nothing is left to remove there, nor, in a teardown, to set back.
      const gone =
        error instanceof MoorError &&
        error.kind === 'not-found' &&
        (isRemoval(change) || (this.#context.keepGoing && !('op' in change)));
      this.#context.results[at] = gone ? ALREADY : failed(change, error);
      return null;
    }
  }

  #record(at: number, change: Change, body: () => Applied): boolean {
    try {
      this.#context.results[at] = body();
    } catch (error) {
      this.#context.results[at] = failed(change, error);
    }
    return this.#context.results[at]?.state !== 'failed' || this.#context.keepGoing;
  }

  #pin(change: Extract<Change, { kind: 'netns' | 'netns-pin' }>): Applied {
    const { spaces, roots } = this.#machine;
    const { path } = change;
    if (change.op === 'remove') {
      spaces.drop(path);
      if (!unpinNetns(path)) return ALREADY;
      removeEmpty(dirname(path), roots);
      return CHANGED;
    }
    try {
      if (change.kind === 'netns') spaces.create(path);
      else pinNetns(change.source, path);
      return CHANGED;
    } catch (error) {
      if (!hasCode(error, 'EEXIST') || !isNetns(path)) throw error;
      if (change.kind === 'netns' || netnsIdentity(path) === netnsIdentity(change.source)) return ALREADY;
      return conflicting(change, 'it is another namespace');
    }
  }
}

function announce({ device, address, mac }: Extract<Change, { kind: 'announce' }>, space: Space): Applied {
  const index = space.indexOf(device);
  if (index === null) throw new MoorError('not-found', `no device ${device}`);
  const send = (): void => sendFrame(index, announcement(address, mac));
  if (space.netns === HOST) send();
  else withNetns(space.namespace.netns, send);
  return CHANGED;
}

/** Not made by rtnetlink but through /dev/net/tun, by a thread that is in the namespace. */
function addTun(change: Change, link: Link, space: Space): Applied {
  const { name, kind } = link;
  if (kind.type !== 'tun' && kind.type !== 'tap') throw new MoorError('internal', `${name} is not a tun device`);
  const mode = kind.type;
  const old = space.find(name);
  if (old !== null) {
    const difference =
      old.type === 'tun' && old.tap !== (mode === 'tap') ? `mode is ${old.tap ? 'tap' : 'tun'}, not ${mode}` : null;
    const other = difference ?? linkDifference(link, linkState(old, space), null);
    return other === null ? ALREADY : conflicting(change, other);
  }
  withNetns(space.namespace.netns, () => createTun(name, mode));
  try {
    const made = space.find(name);
    if (made === null) throw new MoorError('unavailable', `${name} is gone again`);
    const { up, mtu, mac, master } = link;
    const value = {
      up,
      ...(mtu === undefined ? {} : { mtu }),
      ...(mac === undefined ? {} : { mac }),
      ...(master === undefined ? {} : { master }),
    };
    for (const request of [...setAttributes(made.index, value, space), ...afterBirth(link, made.index)]) space.route.run(request);
    return CHANGED;
  } catch (error) {
    space.route.execute([deleteLink(name)]);
    space.forgetLink(name);
    throw error;
  }
}
