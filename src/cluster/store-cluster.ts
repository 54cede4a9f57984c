/**
 * The cluster over a store. One watch brings what others write; one loop keeps what is this node's own as it has to be. Traffic depends
 * on neither: while the store is away, everything stays as it was known last.
 */
import { type ErrorKind, errorData, MoorError } from '../base/errors.ts';
import type { Id } from '../base/ids.ts';
import type { Cluster, ClusterEvent, ClusterNetwork, ClusterStatus } from '../contracts/cluster.ts';
import type { Network } from '../model/network.ts';
import { Catalogue } from './catalogue.ts';
import { FlannelNetworks, isFlannel } from './flannel/networks.ts';
import { follow } from './follow.ts';
import { Keeper } from './keeper.ts';
import { keptText, readKept } from './kept.ts';
import { Leasing, poolOf } from './leasing.ts';
import type { StoreClusterOptions } from './options.ts';
import { Reachability } from './reachability.ts';
import { Registration } from './registration.ts';
import { State } from './state.ts';
import { Alarm, backoffMs, realSleep, type Sleep } from './time.ts';

const NODE_TTL_MS = 30_000;
const SUBNET_TTL_MS = 24 * 3_600_000;
/** Share of a node's time to live after which it looks for its entry: an outage is known well before a lease runs out in it. */
const PULSE_SHARE = 1 / 3;
/** How long a start waits for the store before it goes on with what was kept, in milliseconds. */
const START_MS = 5_000;
/** Resolves when the node is registered and knows the cluster, or when the store is away. */
export async function createStoreCluster(options: StoreClusterOptions): Promise<Cluster> {
  const cluster = new StoreCluster(options);
  await cluster.start();
  return cluster;
}

/** Errors of one network, which the others have nothing to do with. */
const NO_SUBNET: readonly ErrorKind[] = ['exhausted', 'invalid', 'not-found', 'unsupported'];

class StoreCluster implements Cluster {
  readonly #options: StoreClusterOptions;
  readonly #reach: Reachability;
  readonly #keeper: Keeper;
  readonly #sleep: Sleep;
  readonly #random: () => number;
  readonly #nodeTtlMs: number;
  readonly #state: State;
  readonly #registration: Registration;
  readonly #leasing: Leasing;
  readonly #flannel: FlannelNetworks;
  readonly #catalogue: Catalogue;
  readonly #listeners = new Set<(event: ClusterEvent) => void>();
  readonly #stop = new AbortController();
  readonly #alarm = new Alarm();
  readonly #running = new Set<Promise<void>>();
  /** Everything there is was listed once in this life. */
  readonly #listed = Promise.withResolvers<void>();
  #synced = false;
  /** Networks without a subnet for this node, told once. */
  readonly #without = new Set<Id>();
  #orphans = false;

  constructor(options: StoreClusterOptions) {
    const { store, url, node, clock, logger, part, kept, keep, nodeTtlMs = NODE_TTL_MS, subnetTtlMs = SUBNET_TTL_MS } = options;
    const { sleep = realSleep, random = Math.random, openPrefix } = options;
    this.#options = options;
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
        if (reachable) this.#alarm.kick();
      },
      onSettled: () => {
        this.#state.release();
        this.#flannel.release();
        this.#publish();
      },
    });
    this.#state = new State({ self: node, logger, holding: () => this.#reach.holding, elsewhere: isFlannel });
    this.#keeper = new Keeper({ text: () => this.#known(), keep, sleep, logger });
    const known = readKept(kept, logger);
    this.#registration = new Registration({
      store,
      node,
      ttlMs: nodeTtlMs,
      generation: Math.max(clock.now(), known.generation + 1),
      logger,
      wrote: (key, text, revision) => this.#state.wrote(key, text, revision),
      onLost: () => this.#lost(),
    });
    this.#leasing = new Leasing({
      store,
      state: this.#state,
      registration: this.#registration,
      node: node.name,
      ttlMs: subnetTtlMs,
      part,
      random,
      onLost: () => this.#lost(),
    });
    this.#flannel = new FlannelNetworks(
      {
        node,
        logger,
        sleep,
        random,
        ttlMs: subnetTtlMs,
        part,
        openPrefix: openPrefix ?? null,
        nodeAt: (address) => this.#state.nodeAt(address),
        holding: () => this.#reach.holding,
        onChange: (network, type) => this.#flannelChanged(network, type),
        onFailure: (error) => this.#failed(error),
        onLost: () => this.#lost(),
      },
      known.elsewhere,
    );
    this.#catalogue = new Catalogue({
      store,
      state: this.#state,
      leasing: this.#leasing,
      flannel: this.#flannel,
      node: node.name,
    });
    this.#state.reset({ entries: known.entries, revision: 0 });
    for (const network of this.#state.networks()) this.#leasing.subnets(network.id);
    this.#state.take();
  }

  async start(): Promise<void> {
    const { store, logger } = this.#options;
    const { signal } = this.#stop;
    const first = Promise.withResolvers<void>();
    const feed = follow(
      {
        store,
        prefix: '',
        logger,
        sleep: this.#sleep,
        random: this.#random,
        onListing: (listing) => {
          this.#state.reset(listing);
          this.#orphans = true;
          this.#synced = true;
          this.#answered();
          this.#publish();
          this.#listed.resolve();
        },
        onEvents: (events) => {
          this.#state.apply(events);
          this.#publish();
        },
        onFailure: (error) => {
          this.#failed(error);
          this.#listed.resolve();
        },
      },
      signal,
    );
    for (const network of this.#state.networks()) if (isFlannel(network)) await this.#flannel.of(network).catch(() => {});
    this.#run(feed);
    this.#run(this.#maintain(signal, first.resolve));
    const waited = new AbortController();
    await Promise.race([first.promise, this.#sleep(START_MS, AbortSignal.any([signal, waited.signal]))]);
    waited.abort();
  }

  readonly status = (): ClusterStatus => {
    const { node, url } = this.#options;
    const others = [...this.#state.nodes()].flatMap(({ node: other }) => (other.name === node.name ? [] : other));
    return {
      self: node,
      nodes: [node, ...others].sort((a, b) => (a.name < b.name ? -1 : 1)),
      store: { url, reachable: this.#reach.reachable, error: this.#registration.superseded?.message ?? this.#reach.error },
    };
  };

  readonly networks = (): readonly ClusterNetwork[] => [...this.#state.networks()].map((network) => this.#network(network));

  readonly subscribe = (listener: (event: ClusterEvent) => void): (() => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  readonly create = async (network: Network): Promise<ClusterNetwork> => {
    this.#assertActive(`create network ${network.name}`);
    await this.#catalogue.create(network);
    this.#publish();
    await this.#keeper.now();
    return this.#network(network);
  };

  readonly remove = async (id: Id): Promise<void> => {
    this.#assertActive(`remove network ${id}`);
    // What was removed is gone, also when more could not be.
    await this.#catalogue.remove(id).finally(() => this.#publish());
    await this.#keeper.now();
  };

  readonly refresh = (_network: Id): void => this.#alarm.kick();

  readonly leave = async (): Promise<void> => {
    await this.#end();
    await Promise.all([this.#registration.leave(), this.#leasing.leave(), this.#flannel.leave()]);
    await this.#flannel.close();
  };

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
    await this.#flannel.close();
  }

  async #end(): Promise<void> {
    this.#stop.abort();
    this.#reach.close();
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
    let failures = 0;
    while (!signal.aborted) {
      let again = false;
      try {
        await this.#registration.ensure();
        // Entries that this life cannot know of are not its own to make again.
        await this.#listed.promise;
        if (this.#synced && !signal.aborted) again = await this.#ensureNetworks();
        failures = 0;
        this.#answered();
      } catch (error) {
        if (signal.aborted) break;
        failures++;
        this.#failed(error);
      }
      this.#publish();
      begun();
      const pause = failures > 0 || again ? backoffMs(Math.max(1, failures), this.#random()) : this.#nodeTtlMs * PULSE_SHARE;
      await this.#alarm.wait(this.#sleep, pause, signal);
    }
  }

  /** @returns whether the store has moved on meanwhile, and it is to be tried again. */
  async #ensureNetworks(): Promise<boolean> {
    let again = false;
    const attempt = async (work: () => Promise<void>): Promise<void> => {
      try {
        await work();
      } catch (error) {
        if (!(error instanceof MoorError && error.kind === 'conflict')) throw error;
        again = true;
      }
    };
    for (const network of [...this.#state.networks()]) await attempt(() => this.#ensureNetwork(network));
    if (this.#orphans) await attempt(() => this.#leasing.dropOrphans().then(() => void (this.#orphans = false)));
    return again;
  }

  async #ensureNetwork(network: Network): Promise<void> {
    try {
      await (isFlannel(network) ? (await this.#flannel.of(network)).ensure() : this.#leasing.ensure(network));
      this.#without.delete(network.id);
    } catch (error) {
      if (!(error instanceof MoorError && NO_SUBNET.includes(error.kind))) throw error;
      this.#noSubnet(network, error);
    }
  }

  #noSubnet(network: Network, error: MoorError): void {
    if (this.#without.has(network.id)) return;
    this.#without.add(network.id);
    this.#options.logger.error({ network: network.name, reason: error.message }, 'cluster: no subnet for this node');
  }

  #network(network: Network): ClusterNetwork {
    const flannel = this.#flannel.get(network.id);
    const pools = (flannel ?? this.#leasing).subnets(network.id).map(poolOf);
    return { network: { ...network, pools }, peers: flannel?.peers() ?? this.#state.peers(network.id) };
  }

  #assertActive(action: string): void {
    if (this.#registration.superseded) throw this.#registration.superseded;
    if (this.#stop.signal.aborted) throw new MoorError('unavailable', `cannot ${action}: the cluster is closed`);
    if (!this.#synced)
      throw new MoorError('unavailable', `cannot ${action}: the cluster's store is not reached: ${this.#reach.error}`);
  }

  /** A lease of ours: the store was away for its whole time, and for others perhaps as well. */
  #lost(): void {
    if (this.#stop.signal.aborted) return;
    this.#reach.failed('a lease ran out');
    this.#alarm.kick();
  }

  #failed(error: unknown): void {
    if (!this.#registration.superseded) this.#reach.failed(errorData(error).message);
  }

  #answered(): void {
    if (!this.#registration.superseded) this.#reach.answered();
  }

  #known(): string {
    return keptText({
      generation: this.#registration.generation,
      entries: this.#state.entries(),
      elsewhere: this.#flannel.entries(),
    });
  }

  /** Tells what has changed. */
  #publish(): void {
    const { nodes, own, addresses, networks, removed, peers } = this.#state.take();
    for (const network of removed) if (this.#flannel.get(network)) this.#run(this.#flannel.drop(network));
    if (addresses.size > 0) this.#flannel.nodesChanged(addresses);
    if (removed.size > 0) this.#orphans = true;
    if (own || networks.size > 0 || removed.size > 0 || (this.#without.size > 0 && peers.size > 0)) this.#alarm.kick();
    for (const network of removed) this.#emit({ type: 'removed', network });
    for (const network of networks) if (!removed.has(network)) this.#emit({ type: 'network', network });
    for (const network of peers) if (!networks.has(network) && !removed.has(network)) this.#emit({ type: 'peers', network });
    if (nodes) this.#emit({ type: 'nodes' });
    if (own) void this.#keeper.now();
    else if (nodes || networks.size > 0 || removed.size > 0 || peers.size > 0) this.#keeper.later();
  }

  #flannelChanged(network: Id, type: 'network' | 'peers'): void {
    if (this.#state.network(network) === null) return;
    if (type === 'network') this.#alarm.kick();
    this.#emit({ type, network });
    this.#keeper.later();
  }

  #emit(event: ClusterEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}
