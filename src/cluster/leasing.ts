/**
 * This node's subnets: each an entry that only one node can make, under a lease of a day. The same subnet again after a restart, by the
 * node's name; where there is none, one of the lowest free ones by chance, as flannel does, so that nodes that come at the same time
 * seldom want the same.
 */
import { conflict, exhausted, MoorError } from '../base/errors.ts';
import type { Id } from '../base/ids.ts';
import { familyOf, formatIp, type Prefix } from '../base/ip.ts';
import type { Lease, Revision, Store, Write } from '../contracts/store.ts';
import type { Network, Pool } from '../model/network.ts';
import type { NodePart } from '../model/node.ts';
import { usableRange } from '../model/subnet.ts';
import { networkKey, subnetKey } from './keys.ts';
import type { Registration } from './registration.ts';
import { freeSubnets, inSpace, type SubnetSpace } from './spaces.ts';
import type { State } from './state.ts';
import { readSubnet, subnetText } from './values.ts';

export interface LeasingDeps {
  readonly store: Store;
  readonly state: State;
  readonly registration: Registration;
  readonly node: string;
  readonly ttlMs: number;
  readonly part: (network: Network) => NodePart;
  /** 0 to 1. */
  readonly random: () => number;
  readonly onLost: () => void;
}

/** Free subnets of which one is taken by chance; flannel's number. More at each further try. */
const CANDIDATES = 100;
/** Tries at a subnet that others were faster to take. flannel gives up after 10; a fleet that boots at once needs more. */
const TRIES = 50;

/** One write, and the subnet it is about. */
interface Step {
  readonly subnet: Prefix;
  readonly write: Write;
}

/** Which subnets are passed over because others were faster, and how often that has happened. */
interface Attempt {
  readonly tried: ReadonlySet<Prefix>;
  readonly tries: number;
}

export class Leasing {
  readonly #deps: LeasingDeps;
  #lease: Lease | null = null;
  #leasing: Promise<Lease> | null = null;
  readonly #making = new Set<Id>();
  /** Revisions of our entries that we know to be under the present lease. */
  readonly #sure = new Map<string, Revision>();
  /** What this node had last, also before a restart: asked for again. */
  readonly #wishes = new Map<Id, readonly Prefix[]>();

  constructor(deps: LeasingDeps) {
    this.#deps = deps;
  }

  /** What the node has, one subnet of a family. */
  subnets(id: Id): readonly Prefix[] {
    const subnets = this.#deps.state.spaces(id).flatMap((space) => this.#mine(id, space)?.subnet ?? []);
    if (subnets.length > 0) this.#wishes.set(id, subnets);
    return subnets;
  }

  /** @throws exhausted; conflict when the state is behind the store: to be tried again; what the store throws */
  async ensure(network: Network): Promise<void> {
    if (this.#making.has(network.id)) return;
    this.subnets(network.id);
    const tried = new Set<Prefix>();
    for (let tries = 1; ; tries++) {
      const steps = this.#plan(network, this.#deps.state.spaces(network.id), { tried, tries });
      if (steps.length === 0) return;
      const writes = this.#leasedWrites(steps, await this.leased());
      try {
        this.committed(writes, await this.#deps.store.commit(writes));
        return;
      } catch (error) {
        const raced =
          error instanceof MoorError && error.kind === 'conflict' && steps.every(({ write }) => write.expect === 'absent');
        if (!raced || tries === TRIES) throw error;
        for (const { subnet } of steps) tried.add(subnet);
      }
    }
  }

  /**
   * Those of a network that is new, and made now: until `made` nothing else is leased in it, for it may be heard of before its subnets are.
   */
  async first(network: Network, spaces: readonly SubnetSpace[]): Promise<readonly Write[]> {
    this.#making.add(network.id);
    const lease = await this.leased();
    return this.#leasedWrites(this.#plan(network, spaces, { tried: new Set(), tries: 1 }), lease);
  }

  made(network: Id): void {
    this.#making.delete(network);
  }

  /** After a commit of them: the state knows, before the watch tells. */
  committed(writes: readonly Write[], revision: Revision): void {
    for (const write of writes) {
      this.#deps.state.wrote(write.key, write.type === 'put' ? write.value : null, revision);
      if (write.type === 'put') this.#sure.set(write.key, revision);
      else this.#sure.delete(write.key);
    }
  }

  /** Entries of networks that are no more. A network may be heard of later than its subnets, so the store is asked. */
  async dropOrphans(): Promise<void> {
    const { state, store } = this.#deps;
    for (const [network, orphans] of Map.groupBy(state.orphans(), (orphan) => orphan.network)) {
      if ((await store.get(networkKey(network))) !== null) continue;
      for (const { key, revision } of orphans) {
        const write: Write = { type: 'delete', key, expect: revision };
        this.committed([write], await store.commit([write]));
      }
    }
  }

  async leave(): Promise<void> {
    await this.#lease?.[Symbol.asyncDispose]();
  }

  #plan(network: Network, spaces: readonly SubnetSpace[], attempt: Attempt): readonly Step[] {
    const { state, node, registration, part } = this.#deps;
    const { id } = network;
    const lost = this.#lease?.lost.aborted ?? true;
    return spaces.flatMap((space): Step[] => {
      const mine = this.#mine(id, space);
      const steps: Step[] = [];
      for (const { key, revision, value, subnet } of state.own(id)) {
        if (value.generation > registration.generation) {
          registration.seen(value.generation);
          throw conflict(`cannot lease a subnet: the entry of ${subnet} is of a later life of ${node}`);
        }
        if (inSpace(space, subnet) && key !== mine?.key && !value.reserved)
          steps.push({ subnet, write: { type: 'delete', key, expect: revision } });
      }
      const reserved = mine?.value.reserved ?? false;
      const subnet = mine?.subnet ?? this.#pick(id, space, attempt);
      const key = subnetKey(id, subnet);
      const value = subnetText({ node, generation: registration.generation, reserved, part: part(network) });
      const sure = mine !== undefined && this.#sure.get(key) === mine.revision && (reserved || !lost);
      if (!(sure && state.held(key)?.text === value))
        steps.push({ subnet, write: { type: 'put', key, value, expect: mine?.revision ?? 'absent' } });
      return steps;
    });
  }

  /** A reservation stays under none. */
  #leasedWrites(steps: readonly Step[], lease: Lease): readonly Write[] {
    return steps.map(({ write }) => (write.type === 'put' && !readSubnet(write.value).reserved ? { ...write, lease } : write));
  }

  /** What it has stays, for containers have addresses in it; one who has none, or has forgotten, takes what is reserved for it. */
  #mine(id: Id, space: SubnetSpace): ReturnType<State['own']>[number] | undefined {
    const mine = this.#deps.state.own(id).filter(({ subnet }) => inSpace(space, subnet));
    const wishes = this.#wishes.get(id) ?? [];
    return mine.find(({ subnet }) => wishes.includes(subnet)) ?? mine.find(({ value }) => value.reserved) ?? mine[0];
  }

  #pick(id: Id, space: SubnetSpace, { tried, tries }: Attempt): Prefix {
    const { state, random } = this.#deps;
    const taken = (subnet: Prefix): boolean => tried.has(subnet) || state.has(subnetKey(id, subnet));
    const wish = this.#wishes.get(id)?.find((subnet) => inSpace(space, subnet) && !taken(subnet));
    if (wish !== undefined) return wish;
    const free = freeSubnets(space, taken, CANDIDATES * tries);
    const subnet = free[Math.floor(random() * free.length)];
    if (subnet !== undefined) return subnet;
    const from = `${formatIp(space.family, space.min)} to ${formatIp(space.family, space.max)}`;
    throw exhausted(`cannot lease a subnet of ${space.range}: every /${space.length} from ${from} is taken`);
  }

  /** The node's lease of a day, which other things of it may be under as well. */
  async leased(): Promise<Lease> {
    if (this.#lease && !this.#lease.lost.aborted) return this.#lease;
    // One for all that ask at the same moment.
    this.#leasing ??= this.#take().finally(() => (this.#leasing = null));
    return await this.#leasing;
  }

  async #take(): Promise<Lease> {
    const lease = await this.#deps.store.lease(this.#deps.ttlMs);
    this.#lease = lease;
    this.#sure.clear();
    lease.lost.addEventListener('abort', this.#deps.onLost, { once: true });
    return lease;
  }
}

/** A leased subnet as the engine has it: the first address is the bridge's. */
export function poolOf(subnet: Prefix): Pool {
  const family = familyOf(subnet);
  return {
    family,
    subnet,
    gateway: formatIp(family, usableRange(subnet).first),
    range: null,
    auxiliary: {},
    configured: true,
  };
}
