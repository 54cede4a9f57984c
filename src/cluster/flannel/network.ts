/**
 * A network whose leases lie in flannel's layout, so that hosts that run flanneld and hosts that run Moorline are one network. flannel has
 * no nodes: a lease of a day is all that tells of a host, its address tells whose it is, and a host is a peer for as long as the lease lasts.
 */
import type { Logger } from '../../base/clock.ts';
import { errorData, exhausted, MoorError, notFound } from '../../base/errors.ts';
import { familyOf, type IpAddress, type Prefix } from '../../base/ip.ts';
import type { Entry, Lease, Listing, Revision, Store } from '../../contracts/store.ts';
import type { Network } from '../../model/network.ts';
import type { ClusterNode, NodePart, Peer } from '../../model/node.ts';
import { Complaints } from '../complaints.ts';
import { Entries } from '../entries.ts';
import { follow } from '../follow.ts';
import { Members, type Reach } from '../members.ts';
import { freeSubnets, inSpace } from '../spaces.ts';
import type { Patience, Sleep } from '../time.ts';
import { type FlannelConfig, readConfig } from './config.ts';
import { type FlannelLease, leaseKey, leaseText, readLease, readLeaseKey } from './lease.ts';
import { checkConfig, ownerOf, ownLease, wordOf } from './own.ts';

export interface FlannelDeps extends Patience {
  readonly network: Network;
  readonly prefix: string;
  /** Below flannel's prefix. Closed with this. */
  readonly store: Store;
  readonly node: ClusterNode;
  readonly logger: Logger;
  readonly sleep: Sleep;
  readonly ttlMs: number;
  readonly part: (network: Network) => NodePart;
  /** The Moorline node at this address; null: whoever is there runs flanneld. */
  readonly nodeAt: (address: IpAddress) => string | null;
  readonly holding: () => boolean;
  readonly onChange: (what: 'network' | 'peers') => void;
  readonly onFailure: (error: unknown) => void;
  readonly onLost: () => void;
}

type Thing =
  | { readonly type: 'config'; readonly value: FlannelConfig }
  | { readonly type: 'lease'; readonly value: FlannelLease; readonly subnets: readonly Prefix[] };

interface Attempt {
  readonly tried: ReadonlySet<string>;
  readonly tries: number;
}

/** flannel's own numbers: of the lowest free subnets one by chance, and how often when others are faster. */
const CANDIDATES = 100;
const TRIES = 10;

export class FlannelNetwork {
  readonly #deps: FlannelDeps;
  readonly #complaints: Complaints;
  readonly #entries: Entries<Thing>;
  readonly #members: Members;
  readonly #stop = new AbortController();
  readonly #listed = Promise.withResolvers<void>();
  /** This host's owner word: its address, as in its lease. */
  #self: string;
  /** Of our entry, which has the address that this host had before; null: it has the present one, or there is none. */
  #moving: string | null = null;
  #following: Promise<void> = Promise.resolve();
  #config: FlannelConfig | null = null;
  #lease: Lease | null = null;
  /** Our entry was made ours for ever, by an operator who put it without a lease: it stays under none. */
  #reserved = false;
  /** Of our entry, when we know that it is under the present lease, or reserved. */
  #sure: Revision | null = null;
  /** What this node had last. */
  #wish: readonly Prefix[] = [];
  #networkChanged = false;
  #peersChanged = false;

  /** @param kept entries that were known before a restart */
  constructor(deps: FlannelDeps, kept: readonly Entry[]) {
    this.#deps = deps;
    this.#self = wordOf(deps.node);
    const self = (): string => this.#self;
    this.#complaints = new Complaints(deps.logger);
    this.#members = new Members({
      get self() {
        return self();
      },
      reach: (owner) => this.#reach(owner),
      holding: deps.holding,
      onConflict: (loser, winner) => this.#complaints.add(loser.key, `${winner.key} has its subnet`),
    });
    this.#entries = new Entries({
      read: (key, text) => this.#read(key, text),
      became: (key, thing) => this.#became(key, thing),
      left: (key, thing) => this.#left(key, thing),
      touched: (thing) => {
        if (thing.type === 'lease' && ownerOf(thing.value) === this.#self) this.#networkChanged = true;
      },
    });
    this.#entries.reset({ entries: kept, revision: 0 });
    this.subnets();
    this.#networkChanged = false;
    this.#peersChanged = false;
  }

  start(): void {
    const { store, logger, sleep, random, nodeTtlMs, onFailure } = this.#deps;
    const told = (change: () => void): void => {
      change();
      this.#publish();
    };
    const onListing = (listing: Listing): void => {
      told(() => this.#entries.reset(listing));
      this.#listed.resolve();
    };
    const failed = (error: unknown): void => {
      const passing = error instanceof MoorError && (error.kind === 'unavailable' || error.kind === 'timeout');
      if (passing) onFailure(error);
      else this.#complaints.add(this.#deps.prefix, errorData(error).message);
      this.#listed.resolve();
    };
    const deps = { store, prefix: '', logger, sleep, random, nodeTtlMs, onListing, onFailure: failed };
    this.#following = follow({ ...deps, onEvents: (events) => told(() => this.#entries.apply(events)) }, this.#stop.signal);
  }

  peers(): readonly Peer[] {
    return this.#members.list();
  }

  /** What this node has leased. */
  subnets(): readonly Prefix[] {
    const subnets = this.#mine()?.subnets ?? [];
    if (subnets.length > 0) this.#wish = subnets;
    return subnets;
  }

  entries(): readonly Entry[] {
    return this.#entries.list();
  }

  /** Another node, or none, is at these addresses now. */
  nodesChanged(addresses: Iterable<IpAddress>): void {
    for (const address of addresses) if (this.#members.update(address)) this.#peersChanged = true;
    this.#publish();
  }

  /** This node has other addresses: its lease, which is found by them, is to be written anew where it is. */
  moved(): void {
    const next = wordOf(this.#deps.node);
    if (next !== this.#self) {
      this.#moving = this.#mine()?.key ?? null;
      this.#self = next;
    }
    for (const owner of new Set([...this.#members.claims()].map((claim) => claim.owner)))
      if (this.#members.update(owner)) this.#peersChanged = true;
    this.#networkChanged = true;
    this.#publish();
  }

  /** See Members. */
  release(): void {
    if (this.#members.releaseAll()) this.#peersChanged = true;
    this.#publish();
  }

  /** @throws not-found without a config; invalid; exhausted; conflict: to be tried again; what the store throws */
  async ensure(): Promise<void> {
    const { store, network, prefix } = this.#deps;
    await this.#listed.promise;
    if (!this.#config) throw notFound(`cannot lease a subnet: there is no flannel network at ${prefix}/config that can be read`);
    checkConfig(this.#config, network, prefix);
    const tried = new Set<string>();
    for (let tries = 1; ; tries++) {
      await this.#lookReserved();
      const plan = this.#plan(this.#config, { tried, tries });
      if (plan === null) return;
      const { key, value, expect } = plan;
      const lease = this.#reserved ? {} : { lease: await this.#leased() };
      try {
        const revision = await store.commit([{ type: 'put', key, value, expect, ...lease }]);
        this.#sure = revision;
        this.#moving = null;
        this.#entries.wrote(key, value, revision);
        this.#publish();
        return;
      } catch (error) {
        if (!(error instanceof MoorError && error.kind === 'conflict') || expect !== 'absent' || tries === TRIES) throw error;
        tried.add(key);
      }
    }
  }

  /** Gives the lease back. */
  async leave(): Promise<void> {
    await this.#lease?.[Symbol.asyncDispose]();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#listed.resolve();
    await this.#following;
    await this.#deps.store[Symbol.asyncDispose]();
  }

  /** flannel's reservations: a lease that was written without etcd's. Looked for where the entry is not as we have written it. */
  async #lookReserved(): Promise<void> {
    const key = this.#mine()?.key;
    if (key !== undefined && this.#entries.get(key)?.revision === this.#sure) return;
    const entry = key === undefined ? null : await this.#deps.store.get(key);
    this.#reserved = entry !== null && entry.leased !== true && this.#isOwn(entry.value);
  }

  #isOwn(text: string): boolean {
    try {
      return ownerOf(readLease(text)) === this.#self;
    } catch {
      return false;
    }
  }

  /** What is to be written; null: all is well. */
  #plan(
    config: FlannelConfig,
    attempt: Attempt,
  ): { readonly key: string; readonly value: string; readonly expect: Revision | 'absent' } | null {
    const value = leaseText(ownLease(this.#deps, config));
    const mine = this.#mine();
    if (!mine) return { key: leaseKey(this.#pick(config, attempt)), value, expect: 'absent' };
    const held = this.#entries.get(mine.key);
    const lost = this.#lease?.lost.aborted ?? true;
    if (held?.text === value && held.revision === this.#sure && (this.#reserved || !lost)) return null;
    return { key: mine.key, value, expect: held?.revision ?? 'absent' };
  }

  #pick({ spaces }: FlannelConfig, { tried, tries }: Attempt): readonly Prefix[] {
    const { random, prefix } = this.#deps;
    const isFree = (subnets: readonly Prefix[]): boolean => {
      const key = leaseKey(subnets);
      return !tried.has(key) && !this.#entries.has(key) && !subnets.some((subnet) => this.#members.has(subnet));
    };
    const fits =
      this.#wish.length === spaces.length && spaces.every((space, i) => this.#wish[i] && inSpace(space, this.#wish[i]));
    if (fits && isFree(this.#wish)) return this.#wish;
    return spaces.map((space) => {
      const taken = (subnet: Prefix): boolean => this.#members.has(subnet) || (space.family === 4 && !isFree([subnet]));
      const free = freeSubnets(space, taken, CANDIDATES * tries);
      const subnet = free[Math.floor(random() * free.length)];
      if (subnet === undefined)
        throw exhausted(`cannot lease a subnet of ${space.range} in ${prefix}: every /${space.length} is taken`);
      return subnet;
    });
  }

  /** This host's lease: the lowest, should there be several. */
  #mine(): { readonly key: string; readonly subnets: readonly Prefix[] } | null {
    const moving = this.#moving === null ? null : this.#entries.get(this.#moving);
    if (this.#moving !== null && moving?.thing?.type === 'lease') return { key: this.#moving, subnets: moving.thing.subnets };
    const claims = this.#members.claimsOf(this.#self);
    return claims.reduce<(typeof claims)[number] | null>((low, one) => (low && low.key < one.key ? low : one), null);
  }

  async #leased(): Promise<Lease> {
    if (this.#lease && !this.#lease.lost.aborted) return this.#lease;
    this.#sure = null;
    this.#lease = await this.#deps.store.lease(this.#deps.ttlMs);
    this.#lease.lost.addEventListener('abort', this.#deps.onLost, { once: true });
    return this.#lease;
  }

  #reach(owner: string): Reach {
    const { node, nodeAt } = this.#deps;
    const key = this.#members.claimsOf(owner)[0]?.key;
    const lease = key === undefined ? undefined : this.#entries.get(key)?.thing;
    if (lease?.type !== 'lease' || key === this.#moving) return null;
    const families = new Set(node.addresses.map(familyOf));
    const addresses = [lease.value.publicIp, lease.value.publicIpv6].filter((one) => one !== null);
    const address = addresses.find((one) => families.has(familyOf(one)));
    if (address === undefined) return null;
    const ours = addresses.find((one) => node.addresses.includes(one));
    if (ours !== undefined) {
      this.#complaints.add(owner, `its address ${ours} is this node's own`);
      return null;
    }
    const name = nodeAt(address);
    return { node: name ?? address, address, ...(addresses.length > 1 ? { addresses } : {}), own: name !== null };
  }

  #read(key: string, text: string): Thing | null {
    try {
      if (key === 'config') return { type: 'config', value: readConfig(text) };
      return { type: 'lease', value: readLease(text), subnets: readLeaseKey(key) };
    } catch (error) {
      this.#complaints.add(`${this.#deps.prefix}/${key}`, errorData(error).message);
      return null;
    }
  }

  #became(key: string, thing: Thing): void {
    if (thing.type === 'lease') return this.#claim(key, thing);
    this.#config = thing.value;
    this.#networkChanged = true;
    for (const { key: other, thing: lease } of this.#entries.things()) if (lease.type === 'lease') this.#claim(other, lease);
  }

  #left(key: string, thing: Thing): void {
    if (thing.type === 'config') return;
    // A network goes on without its config, as flanneld does: it is read when one joins.
    if (this.#members.set(key, null)) this.#peersChanged = true;
  }

  #claim(key: string, { value, subnets }: Thing & { readonly type: 'lease' }): void {
    const spaces = this.#config?.spaces;
    if (!spaces) return;
    const fits =
      subnets.length === spaces.length && subnets.every((subnet, i) => spaces[i] !== undefined && inSpace(spaces[i], subnet));
    const { prefix } = this.#deps;
    if (!fits) this.#complaints.add(`${prefix}/${key}`, 'it is no subnet that the config allows');
    // Ours may be a reservation, which an operator has made with nothing but the address; and is written again anyway.
    const sameBackend = value.backend === this.#config?.backend || ownerOf(value) === this.#self;
    if (!sameBackend)
      this.#complaints.add(`${prefix}/${key}`, `its backend is ${value.backend}, the network's ${this.#config?.backend}`);
    const part: NodePart = {
      ...(value.mac4 === null ? {} : { vtep4: value.mac4 }),
      ...(value.mac6 === null ? {} : { vtep6: value.mac6 }),
      inUse: false,
    };
    const claim = fits && sameBackend ? { key, owner: ownerOf(value), subnets, part } : null;
    if (this.#members.set(key, claim)) this.#peersChanged = true;
  }

  #publish(): void {
    const { onChange } = this.#deps;
    if (this.#networkChanged) onChange('network');
    else if (this.#peersChanged) onChange('peers');
    this.#networkChanged = false;
    this.#peersChanged = false;
  }
}
