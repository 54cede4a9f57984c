/**
 * Who has which subnet of one network, kept so that a change costs what it changes: 5,000 nodes that all hear of each of 5,000 others
 * must not go through all of them each time.
 */
import { familyOf, type Prefix } from '../base/ip.ts';
import type { NodePart, Peer } from '../model/node.ts';

/** One entry of the store. */
export interface Claim {
  readonly key: string;
  /** The node's name, or what else tells it from others. */
  readonly owner: string;
  /** In one entry: all or none of them are the owner's. */
  readonly subnets: readonly Prefix[];
  readonly part: NodePart;
}

/** How an owner is reached; null: not at all, it is away. */
export type Reach = (Pick<Peer, 'node' | 'address' | 'own'> & Partial<Pick<Peer, 'addresses'>>) | null;

export interface MembersDeps {
  readonly self: string;
  readonly reach: (owner: string) => Reach;
  /** Whether a peer that is gone stays: the store was away, and what is missing may come back. */
  readonly holding: () => boolean;
  /** Two entries claim one subnet, and this one is left out. */
  readonly onConflict: (loser: Claim, winner: Claim) => void;
}

/** Beyond this share of changed peers the list is sorted anew. */
const RESORT_SHARE = 1 / 16;

export class Members {
  readonly #deps: MembersDeps;
  readonly #claims = new Map<string, Claim>();
  readonly #byOwner = new Map<string, Set<string>>();
  /** Keys that claim a subnet: one, as long as the store's keys are the subnets. */
  readonly #bySubnet = new Map<Prefix, Set<string>>();
  readonly #peers = new Map<string, Peer>();
  /** Owners whose peers are gone and stay for now, by the subnets of these. */
  readonly #held = new Map<Prefix, string>();
  #sorted: readonly Peer[] = [];
  /** Owners whose peer is not yet in `#sorted` as it is now. */
  readonly #dirty = new Map<string, Peer | undefined>();

  constructor(deps: MembersDeps) {
    this.#deps = deps;
  }

  /** @returns whether a peer has changed. */
  set(key: string, claim: Claim | null): boolean {
    const touched = new Set<string>();
    const before = this.#claims.get(key);
    if (before) this.#forget(before, touched);
    if (claim) this.#add(claim, touched);
    let changed = false;
    for (const owner of touched) changed = this.update(owner) || changed;
    return changed;
  }

  /** The owner's node has come, gone or changed. @returns whether its peer has. */
  update(owner: string): boolean {
    const peer = owner === this.#deps.self ? undefined : this.#peerOf(owner);
    const before = this.#peers.get(owner);
    if (peer === undefined) {
      if (before === undefined) return false;
      if (this.#deps.holding() && !this.#claimedByOthers(owner, before)) {
        for (const subnet of before.subnets) this.#held.set(subnet, owner);
        return false;
      }
      return this.#replace(owner, undefined);
    }
    // Whoever is only remembered gives way to whoever is there.
    let changed = false;
    for (const subnet of peer.subnets) {
      const other = this.#held.get(subnet);
      if (other !== undefined && other !== owner) changed = this.#replace(other, undefined);
    }
    return samePeer(before, peer) ? this.#unhold(before) || changed : this.#replace(owner, peer);
  }

  /** Peers that were held go, should they still be gone. @returns whether one has gone. */
  releaseAll(): boolean {
    const owners = new Set(this.#held.values());
    for (const owner of owners) this.#replace(owner, undefined);
    return owners.size > 0;
  }

  /** In order of their names; the same array until one changes. */
  list(): readonly Peer[] {
    if (this.#dirty.size === 0) return this.#sorted;
    if (this.#dirty.size > this.#peers.size * RESORT_SHARE) this.#sorted = [...this.#peers.values()].sort(byNode);
    else {
      const old = new Set(this.#dirty.values());
      const list = this.#sorted.filter((peer) => !old.has(peer));
      for (const owner of this.#dirty.keys()) {
        const peer = this.#peers.get(owner);
        if (peer) list.splice(placeIn(list, peer), 0, peer);
      }
      this.#sorted = list;
    }
    this.#dirty.clear();
    return this.#sorted;
  }

  has(subnet: Prefix): boolean {
    return this.#bySubnet.has(subnet);
  }

  claimsOf(owner: string): readonly Claim[] {
    return [...(this.#byOwner.get(owner) ?? [])].flatMap((key) => this.#claims.get(key) ?? []);
  }

  claims(): Iterable<Claim> {
    return this.#claims.values();
  }

  #add(claim: Claim, touched: Set<string>): void {
    this.#claims.set(claim.key, claim);
    grow(this.#byOwner, claim.owner, claim.key);
    touched.add(claim.owner);
    for (const subnet of claim.subnets) {
      this.#touchRivals(subnet, touched);
      grow(this.#bySubnet, subnet, claim.key);
    }
    const winner = claim.subnets.map((subnet) => this.#winner(subnet)).find((one) => one !== undefined && one.key < claim.key);
    if (winner) this.#deps.onConflict(claim, winner);
  }

  #forget(claim: Claim, touched: Set<string>): void {
    this.#claims.delete(claim.key);
    shrink(this.#byOwner, claim.owner, claim.key);
    touched.add(claim.owner);
    for (const subnet of claim.subnets) {
      shrink(this.#bySubnet, subnet, claim.key);
      this.#touchRivals(subnet, touched);
    }
  }

  #touchRivals(subnet: Prefix, touched: Set<string>): void {
    for (const key of this.#bySubnet.get(subnet) ?? []) {
      const owner = this.#claims.get(key)?.owner;
      if (owner !== undefined) touched.add(owner);
    }
  }

  /** The lowest key: every node comes to the same verdict, whatever it saw first. */
  #winner(subnet: Prefix): Claim | undefined {
    const keys = this.#bySubnet.get(subnet);
    if (!keys) return undefined;
    let lowest: string | undefined;
    for (const key of keys) if (lowest === undefined || key < lowest) lowest = key;
    return lowest === undefined ? undefined : this.#claims.get(lowest);
  }

  #peerOf(owner: string): Peer | undefined {
    const reach = this.#deps.reach(owner);
    if (!reach) return undefined;
    const claims = this.claimsOf(owner).filter(({ key, subnets }) =>
      subnets.every((subnet) => this.#winner(subnet)?.key === key),
    );
    if (claims.length === 0) return undefined;
    const subnets = claims.flatMap((claim) => claim.subnets).sort(bySubnet);
    const { inUse: _, ...part } = Object.assign({}, ...claims.map((claim) => claim.part)) as NodePart;
    return { ...part, ...reach, subnets };
  }

  #claimedByOthers(owner: string, peer: Peer): boolean {
    return peer.subnets.some((subnet) => {
      const winner = this.#winner(subnet);
      return winner !== undefined && winner.owner !== owner;
    });
  }

  #replace(owner: string, peer: Peer | undefined): true {
    const before = this.#peers.get(owner);
    if (!this.#dirty.has(owner)) this.#dirty.set(owner, before);
    this.#unhold(before);
    if (peer) this.#peers.set(owner, peer);
    else this.#peers.delete(owner);
    return true;
  }

  #unhold(peer: Peer | undefined): false {
    for (const subnet of peer?.subnets ?? []) if (this.#held.get(subnet) !== undefined) this.#held.delete(subnet);
    return false;
  }
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
const byNode = (a: Peer, b: Peer): number => compare(a.node, b.node);
const bySubnet = (a: Prefix, b: Prefix): number => familyOf(a) - familyOf(b) || compare(a, b);

/** Where it belongs in a list in order. */
function placeIn(list: readonly Peer[], peer: Peer): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const other = list[middle];
    if (other && byNode(other, peer) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function samePeer(a: Peer | undefined, b: Peer): a is Peer {
  return a !== undefined && JSON.stringify(a) === JSON.stringify(b);
}

function grow<K>(map: Map<K, Set<string>>, at: K, key: string): void {
  const set = map.get(at);
  if (set) set.add(key);
  else map.set(at, new Set([key]));
}

function shrink<K>(map: Map<K, Set<string>>, at: K, key: string): void {
  const set = map.get(at);
  set?.delete(key);
  if (set?.size === 0) map.delete(at);
}
