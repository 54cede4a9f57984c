/**
 * The cluster over a store. Watches bring what others write; one loop keeps what is this node's own as it has to be, another one its
 * endpoints and addresses, which are in a hurry. Traffic depends on none: while the store is away, everything stays as it was known last.
 */
import { errorData, MoorError } from '../base/errors.ts';
import type { Id } from '../base/ids.ts';
import type { Cluster, ClusterAddresses, ClusterEvent, ClusterNetwork, ClusterStatus } from '../contracts/cluster.ts';
import type { Network } from '../model/network.ts';
import type { ClusterNode, LocalEndpoint, RemoteEndpoint } from '../model/node.ts';
import { isFlannel } from './flannel/networks.ts';
import { Feeds } from './feeds.ts';
import { Keeper } from './keeper.ts';
import { keptText, readKept } from './kept.ts';
import { poolOf } from './leasing.ts';
import type { StoreClusterOptions } from './options.ts';
import { createParts, type Parts } from './parts.ts';
import { Reachability } from './reachability.ts';
import { Tending, type TendingDeps } from './tending.ts';
import { Alarm, backoffMs, realSleep, type Sleep } from './time.ts';
import { Upkeep } from './upkeep.ts';
import { isSegment } from './values.ts';

const NODE_TTL_MS = 30_000;
/** Share of a node's time to live after which it looks for its entry: an outage is known well before a lease runs out in it. */
const PULSE_SHARE = 1 / 3;
/** How long a start waits for the store, in milliseconds: when there is something kept to go on with, and when not. */
const START_MS = { kept: 1_000, nothing: 5_000 } as const;

/** Resolves when the node is registered and knows the cluster, or when the store is away. */
export async function createStoreCluster(options: StoreClusterOptions): Promise<Cluster> {
  const cluster = new StoreCluster(options);
  await cluster.start();
  return cluster;
}

class StoreCluster implements Cluster {
  readonly #options: StoreClusterOptions;
  /** This node, as all parts see it: its addresses may change. */
  readonly #self: { -readonly [K in keyof ClusterNode]: ClusterNode[K] };
  readonly #reach: Reachability;
  readonly #keeper: Keeper;
  readonly #sleep: Sleep;
  readonly #random: () => number;
  readonly #nodeTtlMs: number;
  readonly #parts: Parts;
  readonly #listeners = new Set<(event: ClusterEvent) => void>();
  readonly #stop = new AbortController();
  readonly #alarm = new Alarm();
  readonly #tending: Tending;
  readonly #running = new Set<Promise<void>>();
  readonly #feeds: Feeds;
  /** The store has answered, or refused to, once. */
  #begun = false;
  readonly #upkeep: Upkeep;

  constructor(options: StoreClusterOptions) {
    const { url, logger, kept, keep, nodeTtlMs = NODE_TTL_MS, sleep = realSleep, random = Math.random } = options;
    this.#options = options;
    this.#self = { ...options.node };
    this.#sleep = sleep;
    this.#random = random;
    this.#nodeTtlMs = nodeTtlMs;
    this.#reach = new Reachability({
      url,
      logger,
      sleep,
      settleMs: nodeTtlMs,
      onChange: (reachable) => {
        this.#emit({ type: 'store', reachable });
        this.#tending.doubt();
        if (reachable) this.#alarm.kick();
      },
      onSettled: () => {
        this.#parts.state.release();
        this.#parts.flannel.release();
        this.#parts.participation.release();
        this.#publish();
      },
    });
    this.#keeper = new Keeper({ text: () => this.#known(), keep, sleep, logger });
    const known = readKept(kept, logger);
    this.#parts = createParts(
      { ...options, node: this.#self, nodeTtlMs, sleep, random },
      {
        kept: known,
        holding: () => this.#reach.holding,
        onLost: () => this.#lost(),
        onFailure: (error) => this.#failed(error),
        onEndpoints: (network) => {
          this.#emit({ type: 'endpoints', network });
          this.#keeper.later();
        },
        onDirty: () => this.#tending.hurry(),
        reachable: () => this.#reach.reachable,
        assertActive: (action) => this.#assertActive(action),
        onFlannelChange: (network, type) => this.#flannelChanged(network, type),
      },
    );
    this.#tending = new Tending(this.#tendingDeps());
    this.#upkeep = new Upkeep({ ...this.#parts, logger });
    this.#feeds = new Feeds({
      follow: { store: options.store, logger, sleep, random, nodeTtlMs },
      state: this.#parts.state,
      onListing: () => {
        this.#upkeep.doubt();
        this.#answered();
      },
      onChange: () => this.#publish(),
      onFailure: (error) => this.#failed(error),
    });
  }

  /** What the loop of endpoints and addresses asks and tells. */
  #tendingDeps(): TendingDeps {
    return {
      parts: this.#parts,
      sleep: this.#sleep,
      patience: { nodeTtlMs: this.#nodeTtlMs, random: this.#random },
      pulseMs: this.#nodeTtlMs * PULSE_SHARE,
      ready: () => this.#feeds.synced && this.#parts.registration.superseded === null,
      onFailure: (error) => this.#failed(error),
    };
  }

  async start(): Promise<void> {
    const { kept } = this.#options;
    const { signal } = this.#stop;
    const first = Promise.withResolvers<void>();
    const feeds = this.#feeds.run(signal);
    for (const network of this.#parts.state.networks())
      if (isFlannel(network)) await this.#parts.flannel.of(network).catch(() => {});
    for (const feed of feeds) this.#run(feed);
    this.#run(this.#tending.run(signal));
    this.#run(
      this.#maintain(signal, () => {
        this.#begun = true;
        first.resolve();
      }),
    );
    const waited = new AbortController();
    await Promise.race([
      first.promise,
      this.#sleep(kept === null ? START_MS.nothing : START_MS.kept, AbortSignal.any([signal, waited.signal])),
    ]);
    waited.abort();
    // Who has not answered yet counts as away: what comes of it now is compared with patience.
    if (!this.#begun && !signal.aborted) this.#reach.failed('no answer yet');
  }

  readonly status = (): ClusterStatus => {
    const node = { ...this.#self };
    const { url } = this.#options;
    const others = [...this.#parts.state.nodes()].flatMap(({ node: other }) => (other.name === node.name ? [] : other));
    return {
      self: node,
      nodes: [node, ...others].sort((a, b) => (a.name < b.name ? -1 : 1)),
      store: { url, reachable: this.#reach.reachable, error: this.#parts.registration.superseded?.message ?? this.#reach.error },
    };
  };

  readonly networks = (): readonly ClusterNetwork[] => [...this.#parts.state.networks()].map((network) => this.#network(network));

  readonly subscribe = (listener: (event: ClusterEvent) => void): (() => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  readonly create = async (network: Network): Promise<ClusterNetwork> => {
    this.#assertActive(`create network ${network.name}`);
    const made = await this.#parts.catalogue.create(network);
    this.#publish();
    await this.#keeper.now();
    return this.#network(made);
  };

  readonly remove = async (id: Id): Promise<void> => {
    this.#assertActive(`remove network ${id}`);
    // What was removed is gone, also when more could not be.
    await this.#parts.catalogue.remove(id).finally(() => this.#publish());
    await this.#keeper.now();
  };

  readonly refresh = (_network: Id): void => this.#alarm.kick();

  readonly tell = (network: Id, endpoint: LocalEndpoint): void => this.#parts.participation.tell(network, endpoint);

  readonly untell = (network: Id, endpoint: Id): void => this.#parts.participation.untell(network, endpoint);

  readonly lookUp = async (network: Id): Promise<ReadonlyMap<Id, RemoteEndpoint>> => {
    if (!this.#reach.reachable) return this.#parts.participation.endpoints(network);
    return await this.#parts.participation.lookUp(network);
  };

  get addresses(): ClusterAddresses {
    return this.#parts.addresses;
  }

  readonly complete = async (): Promise<void> => {
    this.#parts.participation.complete();
    this.#tending.complete();
    const enough = new AbortController();
    await Promise.race([
      this.#parts.participation.known(),
      this.#sleep(START_MS.kept, AbortSignal.any([this.#stop.signal, enough.signal])),
    ]);
    enough.abort();
  };

  readonly move = ({ addresses, mtu }: Pick<ClusterNode, 'addresses' | 'mtu'>): void => {
    const self = this.#self;
    if (self.mtu === mtu && self.addresses.join() === addresses.join()) return;
    const readdressed = self.addresses.join() !== addresses.join();
    this.#options.logger.info({ node: self.name, addresses, mtu }, 'cluster: this node is reached otherwise now');
    Object.assign(self, { addresses, mtu });
    this.#parts.registration.renew();
    if (readdressed) {
      this.#parts.state.moved();
      this.#parts.participation.nodesChanged(new Set([...this.#parts.state.nodes()].map(({ node }) => node.name)));
      this.#parts.flannel.moved();
    }
    this.#publish();
    this.#emit({ type: 'nodes' });
    this.#alarm.kick();
  };

  readonly leave = async (): Promise<void> => {
    await this.#end();
    await Promise.all([this.#parts.registration.leave(), this.#parts.leasing.leave(), this.#parts.flannel.leave()]);
    await this.#parts.flannel.close();
  };

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
    await this.#parts.flannel.close();
  }

  async #end(): Promise<void> {
    this.#stop.abort();
    // Whoever waits for it need not any more.
    this.#feeds.giveUp();
    this.#reach.close();
    await this.#parts.participation.close();
    await Promise.all(this.#running);
    await this.#keeper.close();
  }

  /** @param work ends when the cluster is closed */
  #run(work: Promise<void>): void {
    const counted = work.finally(() => this.#running.delete(counted));
    this.#running.add(counted);
  }

  /** Until the signal aborts: what is ours is as it should be. */
  async #maintain(signal: AbortSignal, begun: () => void): Promise<void> {
    const patience = { nodeTtlMs: this.#nodeTtlMs, random: this.#random };
    let failures = 0;
    while (!signal.aborted) {
      let again = false;
      try {
        await this.#parts.registration.ensure();
        this.#tending.retell();
        // Entries that this life cannot know of are not its own to make again.
        await this.#feeds.listed;
        if (this.#feeds.synced && !signal.aborted) again = await this.#upkeep.ensure();
        failures = 0;
        this.#answered();
      } catch (error) {
        if (signal.aborted) break;
        failures++;
        this.#failed(error);
      }
      this.#publish();
      begun();
      const pause = failures > 0 || again ? backoffMs(Math.max(1, failures), patience) : this.#nodeTtlMs * PULSE_SHARE;
      await this.#alarm.wait(this.#sleep, pause, signal);
    }
  }

  #network(network: Network): ClusterNetwork {
    const flannel = this.#parts.flannel.get(network.id);
    const endpoints = this.#parts.participation.endpoints(network.id);
    const pools = isSegment(network) ? network.pools : (flannel ?? this.#parts.leasing).subnets(network.id).map(poolOf);
    return { network: { ...network, pools }, peers: flannel?.peers() ?? this.#parts.state.peers(network.id), endpoints };
  }

  #assertActive(action: string): void {
    if (this.#parts.registration.superseded) throw this.#parts.registration.superseded;
    if (this.#stop.signal.aborted) throw new MoorError('unavailable', `cannot ${action}: the cluster is closed`);
    if (!this.#feeds.synced)
      throw new MoorError('unavailable', `cannot ${action}: the cluster's store is not reached: ${this.#reach.error}`);
  }

  /** A lease of ours: the store was away for its whole time, and for others perhaps as well. */
  #lost(): void {
    if (this.#stop.signal.aborted) return;
    this.#reach.failed('a lease ran out');
    this.#alarm.kick();
  }

  #failed(error: unknown): void {
    if (!this.#parts.registration.superseded) this.#reach.failed(errorData(error).message);
  }

  #answered(): void {
    if (!this.#parts.registration.superseded) this.#reach.answered();
  }

  #known(): string {
    return keptText({
      generation: this.#parts.registration.generation,
      entries: this.#parts.state.entries(),
      elsewhere: this.#parts.flannel.entries(),
      endpoints: this.#parts.participation.entries(),
    });
  }

  /** Tells what has changed. */
  #publish(): void {
    const { nodes, names, own, addresses, networks, removed, peers } = this.#parts.state.take();
    if (names.size > 0) this.#parts.participation.nodesChanged(names);
    if (networks.size > 0 || removed.size > 0) this.#parts.telling.again();
    for (const network of removed) this.#parts.addresses.removed(network);
    for (const network of removed) if (this.#parts.flannel.get(network)) this.#run(this.#parts.flannel.drop(network));
    if (addresses.size > 0) this.#parts.flannel.nodesChanged(addresses);
    if (removed.size > 0) this.#upkeep.doubt();
    if (networks.size > 0) this.#tending.hurry();
    if (own || networks.size > 0 || removed.size > 0 || (this.#upkeep.wanting && peers.size > 0)) this.#alarm.kick();
    for (const network of removed) this.#emit({ type: 'removed', network });
    for (const network of networks) if (!removed.has(network)) this.#emit({ type: 'network', network });
    for (const network of peers) if (!networks.has(network) && !removed.has(network)) this.#emit({ type: 'peers', network });
    if (nodes) this.#emit({ type: 'nodes' });
    if (own) void this.#keeper.now();
    else if (nodes || networks.size > 0 || removed.size > 0 || peers.size > 0) this.#keeper.later();
  }

  #flannelChanged(network: Id, type: 'network' | 'peers'): void {
    if (this.#parts.state.network(network) === null) return;
    if (type === 'network') this.#alarm.kick();
    this.#emit({ type, network });
    this.#keeper.later();
  }

  #emit(event: ClusterEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}
