/** Has the ways to other hosts looked at, and brings what is found to the kernel: routes with a smaller MTU, checksums made before the VTEP. */
import type { Id } from '../base/ids.ts';
import { familyOf, type IpAddress } from '../base/ip.ts';
import type { HostFacts } from '../contracts/kernel.ts';
import type { PathTargets } from '../contracts/paths.ts';
import type { Network } from '../model/network.ts';
import type { Underlay } from '../model/node.ts';
import { type Context, driverOf } from './context.ts';
import { failures } from './executor.ts';
import { applyPeers } from './peers.ts';
import { difference } from './plans.ts';

/** Milliseconds. Peers that come one after the other are one new list of those to look at. */
const GATHER_MS = 200;
/** VTEPs that are asked about checksums, of each network: what breaks them is this host's card, so that a few will tell. */
const VTEPS = 4;

interface Deps {
  /** Runs as one of the engine's operations. */
  readonly operation: <T>(work: () => Promise<T>) => Promise<T>;
  /** Nobody else changes the network meanwhile. */
  readonly hold: (network: Id) => Promise<Disposable>;
  readonly look: (network: Id) => void;
}

/** What plans know of paths. */
type Found = Pick<Underlay, 'paths' | 'brokenChecksums'>;

export class PathWatch {
  readonly #ctx: Context;
  readonly #deps: Deps;
  #timer: NodeJS.Timeout | null = null;
  #unsubscribe: () => void = () => {};
  #running: Promise<void> | null = null;
  #again = false;
  #closed = false;
  /** As the kernel was told last; null: as at the start. */
  #applied: Found | null = null;

  constructor(ctx: Context, deps: Deps) {
    this.#ctx = ctx;
    this.#deps = deps;
  }

  async start(): Promise<void> {
    const { paths, facts } = this.#ctx;
    if (paths === undefined) return;
    this.#applied = foundIn(await facts.get());
    this.#unsubscribe = paths.subscribe(this.#onFound);
    this.refresh();
  }

  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#unsubscribe();
    await this.#running;
  }

  /** Peers, or the underlay, may have changed. */
  refresh(): void {
    if (this.#ctx.paths === undefined || this.#closed || this.#timer !== null) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      try {
        this.#ctx.paths?.want(this.#targets(this.#ctx.facts.known()));
      } catch (error) {
        this.#ctx.logger.error({ err: error }, 'could not say which ways are to be looked at');
      }
    }, GATHER_MS).unref();
  }

  #targets(facts: HostFacts): PathTargets {
    const { cluster, underlay } = { ...this.#ctx, underlay: facts.underlay };
    if (underlay === undefined || cluster === undefined) return { paths: [], vteps: [] };
    const families = new Set(underlay.addresses.map(familyOf));
    const { self, nodes } = cluster.status();
    const addresses = new Set<IpAddress>();
    for (const node of nodes) if (node.name !== self.name) for (const address of node.addresses) addresses.add(address);
    for (const peers of this.#ctx.peers.values())
      for (const { address, addresses: all = [address] } of peers) for (const one of all) addresses.add(one);
    for (const own of self.addresses) addresses.delete(own);
    const reached = [...addresses].filter((address) => families.has(familyOf(address)));
    return {
      paths: reached.map((address) => ({ address, size: underlay.mtu })),
      vteps: [...this.#ctx.registry.networks.values()].flatMap((network) => this.#vteps(network, facts)),
    };
  }

  /** Peers' addresses that stand behind a permanent neighbour: those of their VTEPs. */
  #vteps(network: Network, facts: HostFacts): IpAddress[] {
    const peers = this.#ctx.peers.get(network.id) ?? [];
    const { planPeer } = driverOf(this.#ctx, network.driver);
    if (planPeer === undefined) return [];
    return peers
      .slice(0, VTEPS)
      .flatMap((peer) => planPeer(network, peer, facts).changes)
      .flatMap((change) => (change.kind === 'neighbour' ? [change.neighbour.address] : []));
  }

  readonly #onFound = (): void => {
    this.#again = true;
    if (this.#running !== null || this.#closed) return;
    this.#running = this.#work().finally(() => {
      this.#running = null;
      if (this.#again) this.#onFound();
    });
  };

  async #work(): Promise<void> {
    // What many hosts tell at once is one look.
    await Promise.resolve();
    this.#again = false;
    const { facts, logger } = this.#ctx;
    try {
      facts.invalidate();
      const now = await facts.get();
      const was = this.#applied ?? {};
      const found = foundIn(now);
      if (JSON.stringify(was) === JSON.stringify(found)) return;
      this.#applied = found;
      for (const network of [...this.#ctx.registry.networks.values()]) {
        if (!this.#ctx.peers.has(network.id)) continue;
        await this.#deps.operation(() => this.#apply(network, { was: withFound(now, was), facts: now }));
      }
    } catch (error) {
      if (!this.#closed) logger.error({ err: error }, 'could not follow what is known of the ways to other hosts');
    }
  }

  async #apply(network: Network, { was, facts }: { readonly was: HostFacts; readonly facts: HostFacts }): Promise<void> {
    using _lock = await this.#deps.hold(network.id);
    const ctx = this.#ctx;
    const peers = ctx.peers.get(network.id);
    if (peers === undefined || ctx.registry.networks.get(network.id) !== network) return;
    const { planNetwork } = driverOf(ctx, network.driver);
    const { come } = difference(planNetwork(network, was), planNetwork(network, facts));
    const applied = come.length === 0 ? [] : await ctx.kernel.apply(come, { keepGoing: true });
    for (const { change, error } of failures(come, applied))
      ctx.logger.error({ network: network.name, change, error: error.message }, 'could not follow the way to other hosts');
    if (!(await applyPeers(ctx, network, { peers, facts, was }))) this.#deps.look(network.id);
  }
}

function foundIn({ underlay }: HostFacts): Found {
  const { paths, brokenChecksums }: Found = underlay ?? {};
  return { ...(paths === undefined ? {} : { paths }), ...(brokenChecksums === undefined ? {} : { brokenChecksums }) };
}

/** The same host, with another knowledge of paths. */
function withFound(facts: HostFacts, found: Found): HostFacts {
  if (facts.underlay === undefined) return facts;
  const { paths: _, brokenChecksums: __, ...underlay } = facts.underlay;
  return { ...facts, underlay: { ...underlay, ...found } };
}
