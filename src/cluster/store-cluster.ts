/**
 * The cluster over a store. One watch brings what others write; one loop keeps what is this node's own as it has to be. Traffic depends
 * on neither: while the store is away, everything stays as it was known last.
 */
import type { Clock, Logger } from '../base/clock.ts';
import { conflict, errorData, forbidden, MoorError, notFound } from '../base/errors.ts';
import type { Id } from '../base/ids.ts';
import { prefixesOverlap } from '../base/ip.ts';
import type { Cluster, ClusterEvent, ClusterNetwork, ClusterStatus } from '../contracts/cluster.ts';
import type { Revision, Store, Write } from '../contracts/store.ts';
import type { Network } from '../model/network.ts';
import type { ClusterNode, NodePart } from '../model/node.ts';
import { follow } from './follow.ts';
import { Keeper } from './keeper.ts';
import { keptText, readKept } from './kept.ts';
import { nameKey, networkKey } from './keys.ts';
import { Leasing, poolOf } from './leasing.ts';
import { Reachability } from './reachability.ts';
import { Registration } from './registration.ts';
import { subnetSpaces } from './spaces.ts';
import { State } from './state.ts';
import { Alarm, backoffMs, realSleep, type Sleep } from './time.ts';
import { networkText, readSubnet } from './values.ts';

export interface StoreClusterOptions {
  /** Below the cluster's prefix. It stays the caller's to close, after the cluster: closing it leaves leases to their time to live. */
  readonly store: Store;
  /** For people: where the store is. */
  readonly url: string;
  readonly node: ClusterNode;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What this node tells of its part of a network. Asked whenever the entry is written, and after `refresh`. */
  readonly part: (network: Network) => NodePart;
  /** What `keep` was last given, also by an earlier life; null: nothing. */
  readonly kept: string | null;
  /** Puts it on this node's own disk. */
  readonly keep: (text: string) => Promise<void>;
  /** Milliseconds after which the others take this node for dead. */
  readonly nodeTtlMs?: number;
  /** Milliseconds for which a node that is away keeps its subnets. */
  readonly subnetTtlMs?: number;
  readonly sleep?: Sleep;
  /** 0 to 1. */
  readonly random?: () => number;
}

const NODE_TTL_MS = 30_000;
const SUBNET_TTL_MS = 24 * 3_600_000;
/** Share of a node's time to live after which it looks for its entry: an outage is known well before a lease runs out in it. */
const PULSE_SHARE = 1 / 3;
/** How long a start waits for the store before it goes on with what was kept, in milliseconds. */
const START_MS = 5_000;
/** Deletes in one commit; etcd allows 128. */
const COMMIT_WRITES = 100;

/** Resolves when the node is registered and knows the cluster, or when the store is away. */
export async function createStoreCluster(options: StoreClusterOptions): Promise<Cluster> {
  const cluster = new StoreCluster(options);
  await cluster.start();
  return cluster;
}

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
    const { sleep = realSleep, random = Math.random } = options;
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
        this.#publish();
      },
    });
    this.#state = new State({ self: node, logger, holding: () => this.#reach.holding, elsewhere: () => false });
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
    const { store } = this.#options;
    const spaces = subnetSpaces(network.ranges ?? [], network.options);
    this.#assertActive(`create network ${network.name}`);
    this.#refuseOverlap(network);
    const text = networkText(network);
    const writes: readonly Write[] = [
      { type: 'put', key: networkKey(network.id), value: text, expect: 'absent' },
      { type: 'put', key: nameKey(network.name), value: network.id, expect: 'absent' },
    ];
    const subnets = await this.#leasing.first(network, spaces);
    let revision: Revision;
    try {
      revision = await store.commit([...writes, ...subnets]);
    } catch (error) {
      const taken = error instanceof MoorError && error.kind === 'conflict' && (await store.get(nameKey(network.name)));
      throw taken ? conflict(`network with name ${network.name} already exists in the cluster`) : error;
    }
    this.#wrote(writes, revision);
    this.#leasing.committed(subnets, revision);
    this.#publish();
    await this.#keeper.now();
    return this.#network(network);
  };

  readonly remove = async (id: Id): Promise<void> => {
    const { store, node } = this.#options;
    const network = this.#state.network(id);
    const held = this.#state.held(networkKey(id));
    if (!network || !held) throw notFound(`network ${id} not found in the cluster`);
    this.#assertActive(`remove network ${network.name}`);
    const { entries } = await store.list(`subnets/${id}/`);
    const users = entries.flatMap(({ value }) => {
      const user = userOf(value);
      return user !== null && user !== node.name && this.#state.node(user) ? user : [];
    });
    if (users.length > 0)
      throw forbidden(
        `error while removing network: network ${network.name} has active endpoints on ${users.slice(0, 10).join(', ')}`,
      );
    const writes: readonly Write[] = [{ type: 'delete', key: networkKey(id), expect: held.revision }, ...this.#nameOf(network)];
    this.#wrote(writes, await store.commit(writes));
    this.#publish();
    const rest = entries.map(({ key }): Write => ({ type: 'delete', key }));
    for (let at = 0; at < rest.length; at += COMMIT_WRITES) {
      const some = rest.slice(at, at + COMMIT_WRITES);
      this.#wrote(some, await store.commit(some));
    }
    this.#publish();
    await this.#keeper.now();
  };

  readonly refresh = (_network: Id): void => this.#alarm.kick();

  readonly leave = async (): Promise<void> => {
    await this.#end();
    await Promise.all([this.#registration.leave(), this.#leasing.leave()]);
  };

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
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
      await this.#leasing.ensure(network);
      this.#without.delete(network.id);
    } catch (error) {
      if (!(error instanceof MoorError && error.kind === 'exhausted')) throw error;
      this.#noSubnet(network, error);
    }
  }

  #noSubnet(network: Network, error: MoorError): void {
    if (this.#without.has(network.id)) return;
    this.#without.add(network.id);
    this.#options.logger.error({ network: network.name, reason: error.message }, 'cluster: no subnet for this node');
  }

  #network(network: Network): ClusterNetwork {
    const pools = this.#leasing.subnets(network.id).map(poolOf);
    return { network: { ...network, pools }, peers: this.#state.peers(network.id) };
  }

  /** The entry of its name, unless that is another network's. */
  #nameOf({ id, name }: Network): readonly Write[] {
    const held = this.#state.held(nameKey(name));
    return held?.thing?.value === id ? [{ type: 'delete', key: nameKey(name), expect: held.revision }] : [];
  }

  #wrote(writes: readonly Write[], revision: Revision): void {
    for (const write of writes) this.#state.wrote(write.key, write.type === 'put' ? write.value : null, revision);
  }

  #assertActive(action: string): void {
    if (this.#registration.superseded) throw this.#registration.superseded;
    if (this.#stop.signal.aborted) throw new MoorError('unavailable', `cannot ${action}: the cluster is closed`);
    if (!this.#synced)
      throw new MoorError('unavailable', `cannot ${action}: the cluster's store is not reached: ${this.#reach.error}`);
  }

  #refuseOverlap(network: Network): void {
    for (const other of this.#state.networks()) {
      const clash = other.ranges?.find((a) => network.ranges?.some((b) => prefixesOverlap(a, b)));
      if (clash !== undefined && other.id !== network.id)
        throw conflict(`Pool overlaps with other one on this address space: network ${other.name} of the cluster has ${clash}`);
    }
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
    return keptText({ generation: this.#registration.generation, entries: [...this.#state.entries()], elsewhere: {} });
  }

  /** Tells what has changed. */
  #publish(): void {
    const { nodes, own, networks, removed, peers } = this.#state.take();
    if (removed.size > 0) this.#orphans = true;
    if (own || networks.size > 0 || removed.size > 0 || (this.#without.size > 0 && peers.size > 0)) this.#alarm.kick();
    for (const network of removed) this.#emit({ type: 'removed', network });
    for (const network of networks) if (!removed.has(network)) this.#emit({ type: 'network', network });
    for (const network of peers) if (!networks.has(network) && !removed.has(network)) this.#emit({ type: 'peers', network });
    if (nodes) this.#emit({ type: 'nodes' });
    if (own) void this.#keeper.now();
    else if (nodes || networks.size > 0 || removed.size > 0 || peers.size > 0) this.#keeper.later();
  }

  #emit(event: ClusterEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}

/** Who has endpoints behind this subnet; null: nobody. */
function userOf(text: string): string | null {
  try {
    const { node, part } = readSubnet(text);
    return part.inUse ? node : null;
  } catch {
    return null;
  }
}
