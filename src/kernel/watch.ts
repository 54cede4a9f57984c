/** Notifications of the host's namespace and of observed sandboxes, from links to nftables, without those that our own changes cause. */
import type { Change, Netns } from '../contracts/change.ts';
import { HOST } from '../contracts/change.ts';
import type { Applied, KernelEvent } from '../contracts/kernel.ts';
import {
  type Monitor,
  type NeighbourEvent,
  type NftEvent,
  openNeighbourMonitor,
  openNftMonitor,
  openRouteMonitor,
  type RouteEvent,
} from '../netlink/monitor.ts';
import { announceSelf } from '../netlink/nft-tables.ts';
import { NetlinkSocket } from '../netlink/socket.ts';
import type { NftTableRef } from '../nft/types.ts';
import { watchReadable } from '../sys/poll.ts';
import type { NftRunner } from './nft-run.ts';
import type { Spaces } from './spaces.ts';
import { Watched } from './watched.ts';

export interface WatchOptions {
  readonly spaces: Spaces;
  readonly nft: NftRunner;
  readonly emit: (event: KernelEvent) => void;
}

export class Watch implements Disposable {
  readonly #options: WatchOptions;
  readonly #stack = new DisposableStack();
  readonly #route: Monitor<RouteEvent>;
  readonly #nft: Monitor<NftEvent>;
  #entries: Monitor<NeighbourEvent> | null = null;
  /** One socket hears all namespaces that have an id in ours; null is ours itself. */
  readonly #byId = new Map<number | null, Watched>();
  /** Tables of a transaction whose end has not come yet, by namespace. */
  readonly #tables = new Map<number | null, Map<string, NftTableRef>>();
  /** This thread as the kernel counts (which need not be as we count): transactions by it are ours. */
  #ownPid = -1;

  constructor(options: WatchOptions) {
    this.#options = options;
    // One socket each for all namespaces: NETLINK_LISTEN_ALL_NSID, netlink(7).
    this.#route = this.#stack.use(openRouteMonitor({ allNsid: true }));
    this.#nft = this.#stack.use(openNftMonitor({ allNsid: true }));
    const host = new Watched(HOST);
    host.load(options.spaces.host.route);
    this.#byId.set(null, host);
    this.#learnPid();
    for (const { fd } of [this.#route, this.#nft]) this.#stack.use(watchReadable(fd, () => this.drain()));
  }

  /** A transaction that changes nothing, and whose notification says who we are: of our own messages, for nft may be a program. */
  #learnPid(): void {
    const ref = { family: 'inet', name: `moor_watch_${crypto.getRandomValues(new Uint32Array(1))[0]}` } as const;
    using socket = NetlinkSocket.open('netfilter');
    if (announceSelf(socket, ref) !== null) return;
    let seen = false;
    for (const event of this.#nft.drain()) {
      if (event.type === 'nft' && event.table === ref.name) seen = true;
      else if (event.type === 'generation' && seen) {
        this.#ownPid = event.pid;
        return;
      }
    }
  }

  /** Namespaces that are gone are passed over. */
  observe(paths: readonly Netns[]): void {
    const { spaces } = this.#options;
    for (const path of paths) {
      spaces.trim();
      const space = path === HOST ? null : spaces.tryGet(path);
      if (space === null) continue;
      const id = spaces.nsids.of(space.namespace.netns);
      if (id === null) continue;
      this.forget([path]);
      const watched = new Watched(path);
      watched.load(space.route);
      this.#byId.set(id, watched);
      if (watched.hasTunnels) this.#watchEntries();
    }
  }

  /** Only from when there are entries that lead to other hosts: all containers' neighbours come along. */
  #watchEntries(): void {
    if (this.#entries !== null) return;
    this.#entries = this.#stack.use(openNeighbourMonitor((nsid) => this.#byId.get(nsid)?.hasTunnels === true));
    this.#stack.use(watchReadable(this.#entries.fd, () => this.drain()));
  }

  forget(paths: readonly Netns[]): void {
    for (const [id, { netns }] of this.#byId) if (id !== null && paths.includes(netns)) this.#byId.delete(id);
  }

  /** Before a list is applied: what is waiting is not of its making. */
  before(): void {
    this.drain();
  }

  /** After it, at once: its echoes are waiting, and what disagrees with it is somebody else's. */
  after(changes: readonly Change[], results: readonly Applied[]): void {
    const own = new Set<Netns>();
    for (const [at, change] of changes.entries()) {
      if (results[at]?.state !== 'changed') continue;
      this.#absorb(change);
      if (change.kind === 'neighbour' || change.kind === 'fdb' || change.kind === 'link') own.add(change.netns);
    }
    this.drain(own);
  }

  #absorb(change: Change): void {
    const { spaces } = this.#options;
    if (change.kind === 'netns' || change.kind === 'netns-pin') {
      if (change.op === 'remove') this.forget([change.path]);
      return;
    }
    if (!('netns' in change)) return;
    const watched = this.#watched(change.netns);
    if (watched) {
      const space = spaces.tryGet(change.netns);
      if (space !== null) watched.absorb(change, space);
    }
    if (change.kind !== 'link' || change.link.kind.type !== 'veth') return;
    const { peer } = change.link.kind;
    const there = this.#watched(peer.netns);
    if (there) there.absorbPeer(change.op, peer, change.op === 'add' ? spaces.tryGet(peer.netns) : null);
  }

  #watched(netns: Netns): Watched | undefined {
    for (const watched of this.#byId.values()) if (watched.netns === netns) return watched;
    return undefined;
  }

  /** Tells what is new. @param own right after a list of ours: namespaces in which it changed devices and entries */
  drain(own: ReadonlySet<Netns> | null = null): void {
    const news = new Map<string, KernelEvent>();
    const add = (event: KernelEvent): void => void news.set(JSON.stringify(event), event);
    // Only how a thing ended counts: a link of ours is born without its alias and gets it a moment later.
    const last = new Map<string, RouteEvent>();
    for (const event of this.#route.drain()) {
      if (event.type === 'overrun') {
        last.clear();
        this.#overrun(add);
      } else if (this.#byId.has(event.nsid)) {
        const key = eventKey(event);
        last.delete(key);
        last.set(key, event);
      }
    }
    for (const event of last.values()) {
      const found = this.#byId.get(event.nsid)?.compare(event);
      if (found) add(found);
    }
    for (const event of this.#entries?.drain() ?? []) {
      if (event.type === 'overrun') this.#entriesLost(add);
      else {
        const watched = this.#byId.get(event.nsid);
        const found = watched === undefined || own?.has(watched.netns) === true ? null : watched.compareEntry(event.index);
        if (found) add(found);
      }
    }
    for (const event of this.#nft.drain()) {
      if (event.type === 'overrun') this.#overrun(add);
      else if (event.type === 'nft') this.#collect(event);
      else {
        // Without the library, a program of ours made it: then only its name and the moment tell.
        const program = own !== null && this.#options.nft.reason !== '' && event.process === 'nft';
        if (event.pid !== this.#ownPid && !program) this.#tell(event.nsid, add);
        this.#tables.delete(event.nsid);
      }
    }
    for (const event of news.values()) this.#options.emit(event);
  }

  #collect({ nsid, family, table: name }: NftEvent & { readonly type: 'nft' }): void {
    if (family === '' || !this.#byId.has(nsid)) return;
    let tables = this.#tables.get(nsid);
    if (tables === undefined) this.#tables.set(nsid, (tables = new Map<string, NftTableRef>()));
    tables.set(`${family} ${name}`, { family, name });
  }

  #tell(nsid: number | null, add: (event: KernelEvent) => void): void {
    const netns = this.#byId.get(nsid)?.netns ?? HOST;
    for (const table of this.#tables.get(nsid)?.values() ?? [])
      add(netns === HOST ? { type: 'nft', table } : { type: 'nft', table, netns });
  }

  #entriesLost(add: (event: KernelEvent) => void): void {
    for (const { netns, hasTunnels } of this.#byId.values()) if (hasTunnels) add({ type: 'neighbour', netns, device: '' });
  }

  #overrun(add: (event: KernelEvent) => void): void {
    this.#tables.clear();
    for (const [id, watched] of this.#byId) {
      const space = this.#options.spaces.tryGet(watched.netns);
      if (space === null) this.#byId.delete(id);
      else watched.load(space.route);
    }
    add({ type: 'overrun' });
  }

  [Symbol.dispose](): void {
    this.#stack.dispose();
  }
}

/** What a notification is about. */
function eventKey(event: RouteEvent): string {
  const where = `${event.type} ${event.nsid} ${event.index}`;
  switch (event.type) {
    case 'link':
      return `${where} ${event.port}`;
    case 'address':
    case 'neighbour':
      return `${where} ${event.address}`;
    case 'route':
      return `${where} ${event.table} ${event.destination} ${event.metric}`;
  }
}
