/**
 * Networks that span hosts. The cluster says which there are, what this host has leased and who its peers are; here that becomes networks
 * like any others. Level-triggered: each look at a network compares all of it, so an event too many does no harm.
 */
import { MoorError } from '../base/errors.ts';
import type { Id } from '../base/ids.ts';
import { KeyedLock } from '../base/keyed-lock.ts';
import type { ClusterEvent, ClusterNetwork } from '../contracts/cluster.ts';
import type { ClusterView, EngineEvent, OperationOptions, Outcome } from '../contracts/engine.ts';
import type { Network, NetworkSpec } from '../model/network.ts';
import { type Context, driverOf, spans } from './context.ts';
import { checkNetworkSpec } from './network-spec.ts';
import { adoptNetwork, checkUnused, createNetwork, removeNetwork, unmakeNetwork } from './networks.ts';
import { PathWatch } from './path-watch.ts';
import { applyPeers, deletePeers, dropMany } from './peers.ts';
import { networkRemoval } from './plans.ts';
import { isOnDemand } from './plans.ts';
import { applyRemotes, forgetRemotes } from './remotes.ts';
import { networkOf, undecided } from './spanning-spec.ts';
import { clusterView } from './spanning-view.ts';

/** Milliseconds until a network that could not be followed is looked at again; twice as long each time. */
const AGAIN_MS = 1_000;
const AGAIN_MOST_MS = 60_000;
/** Milliseconds after the start in which a network is not taken for removed unless that is said: a store that is silent is known by then. */
const PATIENCE_MS = 10_000;

/** Runs as one of the engine's operations. */
type Operation = <T>(work: () => Promise<T>) => Promise<T>;

interface Deps {
  readonly operation: Operation;
  /** Has a network compared with the kernel soon. */
  readonly look: (network: Id) => void;
}

export class Spanning {
  readonly #ctx: Context;
  readonly #deps: Deps;
  readonly #locks = new KeyedLock();
  readonly #dirty = new Set<Id>();
  /** Said to be removed. */
  readonly #removed = new Set<Id>();
  /** By network: what was told last, and how often it failed. */
  readonly #told = new Map<Id, { readonly text: string; readonly times: number }>();
  /** By network: which peers are not reached, and why. */
  readonly #troubles = new Map<Id, string>();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #paths: PathWatch;
  readonly #unsubscribe: (() => void)[] = [];
  #running: Promise<void> | null = null;
  #closed = false;
  #started = Number.POSITIVE_INFINITY;

  constructor(ctx: Context, deps: Deps) {
    this.#ctx = ctx;
    this.#deps = deps;
    this.#paths = new PathWatch(ctx, { ...deps, hold: (network) => this.#locks.hold(network) });
  }

  /** From now on the cluster is followed. @returns when everything that is known was looked at once */
  async start(): Promise<void> {
    const { cluster, events, registry, tunnels } = this.#ctx;
    await tunnels?.keep(new Set(registry.networks.keys()));
    if (cluster === undefined) return await this.#alone();
    this.#started = performance.now();
    this.#unsubscribe.push(cluster.subscribe(this.#onCluster), events.subscribe(this.#onEngine));
    for (const { network } of cluster.networks()) this.#dirty.add(network.id);
    for (const network of registry.networks.values()) if (spans(this.#ctx, network)) this.#dirty.add(network.id);
    this.#kick();
    await this.#running;
    await this.#paths.start();
  }

  /** Started without a cluster: what there is of networks that span hosts stays, and nobody is followed. */
  async #alone(): Promise<void> {
    const ctx = this.#ctx;
    for (const text of this.warnings()) ctx.logger.warn({}, text);
    const facts = await ctx.facts.get();
    if (facts.underlay === undefined) return;
    for (const network of ctx.registry.networks.values()) {
      const peers = ctx.peers.get(network.id) ?? [];
      if (spans(ctx, network))
        await ctx.tunnels?.want(network.id, driverOf(ctx, network.driver).tunnelOf?.(network, peers, facts) ?? null);
    }
  }

  /** What an administrator should know. */
  warnings(): readonly string[] {
    const { cluster, registry } = this.#ctx;
    if (cluster !== undefined) return [...this.#told.values()].map(({ text }) => text);
    const names = [...registry.networks.values()].flatMap((network) => (spans(this.#ctx, network) ? [network.name] : []));
    if (names.length === 0) return [];
    return [
      `networks that span hosts (${names.join(', ')}) stay as they were, and follow nobody: this daemon was started without --cluster-store and --peers`,
    ];
  }

  /** Nothing is followed any more; tunnels go on by themselves. Not under the world lock. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const end of this.#unsubscribe.splice(0)) end();
    for (const timer of this.#timers) clearTimeout(timer);
    await this.#paths.close();
    await this.#running;
    await this.#ctx.tunnels?.[Symbol.asyncDispose]();
  }

  async create(spec: NetworkSpec, options: OperationOptions = {}): Promise<Outcome<Network>> {
    const ctx = this.#ctx;
    const checked = checkNetworkSpec(ctx, spec);
    if (!spans(ctx, { driver: checked.driver.type })) return await createNetwork(ctx, spec, options);
    const { cluster } = ctx;
    if (cluster === undefined) throw noCluster(`create network ${spec.name}`);
    const network = networkOf(ctx, spec, checked);
    {
      using _name = ctx.registry.reserveNetwork(network.name, network.id);
      checked.driver.check(network, ctx.registry.ofDriver(network.driver, network.id));
      if (options.dryRun === true) {
        const changes = isOnDemand(ctx, network) ? [] : checked.driver.planNetwork(network, await ctx.facts.get());
        const warnings = [undecided(network)];
        return { value: network, plan: { title: `create network ${network.name} (${network.driver})`, changes }, warnings };
      }
    }
    using _lock = await this.#locks.hold(network.id);
    const known = await cluster.create(network);
    try {
      const outcome = await adoptNetwork(ctx, known.network);
      await this.#followOthers(outcome.value, known);
      return outcome;
    } catch (error) {
      await cluster.remove(network.id).catch((failure: unknown) => {
        ctx.logger.error({ err: failure, network: network.name }, 'could not take back a network that cannot be made here');
      });
      throw error;
    }
  }

  async remove(reference: string, options: OperationOptions = {}): Promise<Outcome<Network>> {
    const ctx = this.#ctx;
    const network = ctx.registry.network(reference);
    if (!spans(ctx, network)) return await removeNetwork(ctx, reference, options);
    if (ctx.cluster === undefined) throw noCluster(`remove network ${network.name}`);
    using _lock = await this.#locks.hold(network.id);
    checkUnused(ctx, network);
    if (options.dryRun === true) return await unmakeNetwork(ctx, network, options);
    if (this.#known(network.id) !== undefined) await ctx.cluster.remove(network.id);
    return await this.#unmake(network);
  }

  #known(id: Id): ClusterNetwork | undefined {
    return this.#ctx.cluster?.networks().find(({ network }) => network.id === id);
  }

  async #unmake(network: Network): Promise<Outcome<Network>> {
    const ctx = this.#ctx;
    await ctx.tunnels?.want(network.id, null);
    const facts = await ctx.facts.get();
    await dropMany(ctx, network, { removal: networkRemoval(ctx, network, facts), facts });
    const outcome = await unmakeNetwork(ctx, network, {});
    await ctx.executor.commit(deletePeers(ctx, network.id));
    ctx.peers.delete(network.id);
    forgetRemotes(ctx, network.id);
    this.#told.delete(network.id);
    this.#troubles.delete(network.id);
    this.#removed.delete(network.id);
    return outcome;
  }

  readonly #onCluster = (event: ClusterEvent): void => {
    switch (event.type) {
      case 'removed':
        this.#removed.add(event.network);
        this.#notice(event.network);
        break;
      case 'network':
      case 'peers':
      case 'endpoints':
        this.#removed.delete(event.network);
        this.#notice(event.network);
        break;
      case 'nodes':
        this.#paths.refresh();
        break;
      case 'store':
        break;
    }
  };

  /** Whether somebody is attached here is something that the others have to know. */
  readonly #onEngine = ({ type, action, actorId }: EngineEvent): void => {
    if (type !== 'network' || (action !== 'connect' && action !== 'disconnect')) return;
    const network = this.#ctx.registry.networks.get(actorId as Id);
    if (network === undefined || !spans(this.#ctx, network)) return;
    this.#ctx.cluster?.refresh(network.id);
    // One that was removed elsewhere, or has another subnet now, waits here for its last endpoint to go.
    if (action === 'disconnect' && (this.#removed.has(network.id) || this.#told.has(network.id))) this.#notice(network.id);
  };

  #notice(id: Id): void {
    this.#dirty.add(id);
    this.#kick();
  }

  #kick(): void {
    if (this.#closed || this.#running !== null) return;
    this.#running = this.#work().finally(() => {
      this.#running = null;
      if (this.#dirty.size > 0) this.#kick();
    });
  }

  async #work(): Promise<void> {
    // Those of one burst are one look.
    await Promise.resolve();
    while (this.#dirty.size > 0 && !this.#closed) {
      const ids = [...this.#dirty];
      this.#dirty.clear();
      for (const id of ids) await this.#look(id);
    }
  }

  async #look(id: Id): Promise<void> {
    try {
      await this.#deps.operation(() => this.#follow(id));
    } catch (error) {
      if (!this.#closed) this.#later(id, error instanceof Error ? error.message : String(error));
    }
  }

  #later(id: Id, text: string): void {
    const { text: before = '', times = 0 } = this.#told.get(id) ?? {};
    if (text !== before) this.#ctx.logger.error({ network: id, reason: text }, `cannot follow a network of the cluster: ${text}`);
    this.#told.set(id, { text, times: times + 1 });
    this.#after(id, Math.min(AGAIN_MOST_MS, AGAIN_MS * 2 ** times));
  }

  #after(id: Id, delay: number): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.#notice(id);
    }, delay).unref();
    this.#timers.add(timer);
  }

  async #follow(id: Id): Promise<void> {
    const ctx = this.#ctx;
    using _lock = await this.#locks.hold(id);
    const known = this.#known(id);
    const local = ctx.registry.networks.get(id);
    if (known === undefined) {
      if (local !== undefined) await this.#vanished(local);
      return;
    }
    if (local === undefined) {
      // Without a subnet there is nothing to make; the cluster tells when there is one.
      if (known.network.pools.length === 0) return;
      const { value } = await adoptNetwork(ctx, known.network);
      await this.#followOthers(value, known);
    } else if (known.network.pools.length === 0 || sameSubnets(local, known.network)) {
      await this.#followOthers(local, known);
    } else {
      if (ctx.registry.ports(id) > 0) {
        await this.#followOthers(local, known);
        throw new MoorError(
          'conflict',
          `network ${local.name} has ${subnets(known.network)} here now, and endpoints with addresses of ${subnets(local)}, which other hosts do not reach: ` +
            'disconnect and connect them',
        );
      }
      await this.#unmake(local);
      const { value } = await adoptNetwork(ctx, known.network);
      await this.#followOthers(value, known);
    }
    this.#told.delete(id);
  }

  async #vanished(local: Network): Promise<void> {
    const { cluster, registry, logger } = this.#ctx;
    if (cluster?.status().store.reachable !== true) return this.#after(local.id, PATIENCE_MS);
    const age = performance.now() - this.#started;
    if (!this.#removed.has(local.id) && age < PATIENCE_MS) return this.#after(local.id, PATIENCE_MS - age);
    this.#removed.add(local.id);
    if (registry.ports(local.id) > 0) {
      const text = `network ${local.name} was removed on another host: it stays here until its last endpoint goes`;
      if (this.#told.get(local.id)?.text !== text) logger.warn({ network: local.id }, text);
      this.#told.set(local.id, { text, times: 0 });
      return;
    }
    await this.#unmake(local);
  }

  async #followOthers(network: Network, { peers, endpoints }: ClusterNetwork): Promise<void> {
    const ctx = this.#ctx;
    const driver = driverOf(ctx, network.driver);
    const facts = await ctx.facts.get();
    if (!(await applyPeers(ctx, network, { peers, facts }))) this.#deps.look(network.id);
    this.#paths.refresh();
    if (!(await applyRemotes(ctx, network, { endpoints, facts }))) this.#deps.look(network.id);
    await ctx.tunnels?.want(network.id, driver.tunnelOf?.(network, peers, facts) ?? null);
    const troubles = peers.flatMap((peer) => driver.planPeer?.(network, peer, facts).trouble || []);
    const text = troubles.slice(0, 10).join('; ');
    if (text !== '' && this.#troubles.get(network.id) !== text)
      ctx.logger.warn({ network: network.id, peers: troubles.length }, `network ${network.name}: ${text}`);
    this.#troubles.set(network.id, text);
  }

  /** For people; undefined on a host that is in no cluster. */
  readonly status = (): Promise<ClusterView | undefined> => clusterView(this.#ctx);
}

const noCluster = (action: string): MoorError =>
  new MoorError(
    'unavailable',
    `Cannot ${action}: this host is in no cluster: start moord with --cluster-store etcd://HOST:2379, or with --peers FILE`,
  );

const subnets = ({ pools }: Network): string => pools.map(({ subnet }) => subnet).join(' and ');
const sameSubnets = (a: Network, b: Network): boolean => subnets(a) === subnets(b);
