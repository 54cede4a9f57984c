/**
 * What the store says, entry by entry, and what follows from it: nodes, networks and the peers of each. Pure: it is told, and says what
 * has changed. A value that cannot be read is passed over with one line in the log; where a good one was known before, that stays.
 */
import type { Logger } from '../base/clock.ts';
import { errorData } from '../base/errors.ts';
import type { Id } from '../base/ids.ts';
import type { Prefix } from '../base/ip.ts';
import type { Entry, Listing, Revision, StoreEvent } from '../contracts/store.ts';
import type { Network } from '../model/network.ts';
import type { ClusterNode, Peer } from '../model/node.ts';
import { networkKey, placeOf } from './keys.ts';
import { type Claim, Members, type Reach } from './members.ts';
import { inSpace, type SubnetSpace, subnetSpaces } from './spaces.ts';
import { type NodeValue, readName, readNetwork, readNode, readSubnet, reachedAt, type SubnetValue } from './values.ts';

export interface StateDeps {
  readonly self: ClusterNode;
  readonly logger: Logger;
  /** See MembersDeps. */
  readonly holding: () => boolean;
  /** Networks whose subnets lie elsewhere: here they have none. */
  readonly elsewhere: (network: Network) => boolean;
}

/** Collected until somebody takes it. */
export interface Changes {
  nodes: boolean;
  /** Of this node's own entries. */
  own: boolean;
  readonly networks: Set<Id>;
  readonly removed: Set<Id>;
  readonly peers: Set<Id>;
}

/** What is under a key. */
type Thing =
  | { readonly type: 'node'; readonly value: NodeValue }
  | { readonly type: 'network'; readonly value: Network }
  | { readonly type: 'name'; readonly value: Id }
  | { readonly type: 'subnet'; readonly value: SubnetValue; readonly network: Id; readonly subnet: Prefix };

export interface Held {
  /** null: removed by this process; the watch has not told yet. */
  readonly text: string | null;
  readonly revision: Revision;
  /** null: never readable. */
  readonly thing: Thing | null;
  /** Written by this process; the watch has not told yet. */
  readonly local: boolean;
}

interface Known {
  readonly network: Network;
  readonly spaces: readonly SubnetSpace[];
  readonly members: Members;
}

/** Keys complained of that are remembered, so that each is told of once. */
const COMPLAINTS = 1_000;

const noChanges = (): Changes => ({ nodes: false, own: false, networks: new Set(), removed: new Set(), peers: new Set() });

export class State {
  readonly #deps: StateDeps;
  readonly #held = new Map<string, Held>();
  readonly #nodes = new Map<string, NodeValue>();
  readonly #networks = new Map<Id, Known>();
  readonly #complaints = new Set<string>();
  #changes = noChanges();

  constructor(deps: StateDeps) {
    this.#deps = deps;
  }

  /** What has changed since it was last asked. */
  take(): Changes {
    const changes = this.#changes;
    this.#changes = noChanges();
    return changes;
  }

  /** Everything there is. What this process has written since the listing was made stays. */
  reset({ entries, revision }: Listing): void {
    const present = new Set(entries.map(({ key }) => key));
    for (const [key, { local, revision: at }] of this.#held) {
      if (!present.has(key) && !(local && at > revision)) this.#drop(key);
    }
    for (const { key, value, revision: at } of entries) {
      const held = this.#held.get(key);
      if (held?.local && held.revision > at) continue;
      this.#put(key, value, { revision: at, local: false });
    }
  }

  apply(events: readonly StoreEvent[]): void {
    for (const { key, value, revision } of events) {
      const held = this.#held.get(key);
      // A revision that is not newer was told already.
      if (held && (held.local ? revision < held.revision : revision <= held.revision)) continue;
      if (value === null) this.#drop(key);
      else this.#put(key, value, { revision, local: false });
    }
  }

  /** Written by this process, before the watch tells: whoever asks next sees it. `null`: removed. */
  wrote(key: string, value: string | null, revision: Revision): void {
    if ((this.#held.get(key)?.revision ?? 0) >= revision) return;
    if (value !== null) return this.#put(key, value, { revision, local: true });
    this.#drop(key);
    this.#held.set(key, { text: null, revision, thing: null, local: true });
  }

  held(key: string): Held | null {
    return this.#held.get(key) ?? null;
  }

  /** Readable entries, as they would be listed. */
  *entries(): Iterable<Entry> {
    for (const [key, { text, revision, thing }] of this.#held) if (text !== null && thing) yield { key, value: text, revision };
  }

  nodes(): Iterable<NodeValue> {
    return this.#nodes.values();
  }

  node(name: string): NodeValue | null {
    return this.#nodes.get(name) ?? null;
  }

  networks(): Iterable<Network> {
    return this.#networks.values().map(({ network }) => network);
  }

  network(id: Id): Network | null {
    return this.#networks.get(id)?.network ?? null;
  }

  spaces(id: Id): readonly SubnetSpace[] {
    return this.#networks.get(id)?.spaces ?? [];
  }

  peers(id: Id): readonly Peer[] {
    return this.#networks.get(id)?.members.list() ?? [];
  }

  /** Entries of this node in the network, in order of their keys. */
  own(
    id: Id,
  ): readonly { readonly key: string; readonly subnet: Prefix; readonly value: SubnetValue; readonly revision: Revision }[] {
    const claims = this.#networks.get(id)?.members.claimsOf(this.#deps.self.name) ?? [];
    return claims
      .flatMap(({ key }) => {
        const held = this.#held.get(key);
        return held?.thing?.type === 'subnet'
          ? { key, subnet: held.thing.subnet, value: held.thing.value, revision: held.revision }
          : [];
      })
      .sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  /** Entries of this node whose network is no more. Goes through everything. */
  orphans(): readonly { readonly key: string; readonly revision: Revision }[] {
    const orphans: { key: string; revision: Revision }[] = [];
    for (const [key, { thing, revision }] of this.#held) {
      if (thing?.type !== 'subnet' || thing.value.node !== this.#deps.self.name || thing.value.reserved) continue;
      if ((this.#held.get(networkKey(thing.network))?.text ?? null) === null) orphans.push({ key, revision });
    }
    return orphans;
  }

  /** What was held back because the store was away goes. */
  release(): void {
    for (const [id, { members }] of this.#networks) if (members.releaseAll()) this.#changes.peers.add(id);
  }

  #put(key: string, text: string, { revision, local }: { readonly revision: Revision; readonly local: boolean }): void {
    const before = this.#held.get(key);
    if (before && before.text === text && before.thing) {
      this.#held.set(key, { ...before, revision, local });
      if (before.revision !== revision && this.#isOwn(before.thing)) this.#changes.own = true;
      return;
    }
    const thing = this.#read(key, text);
    const kept = thing ?? before?.thing ?? null;
    this.#held.set(key, { text: thing === null && before?.thing ? before.text : text, revision, thing: kept, local });
    // What was overwritten with something unreadable has to be written again, if it is ours.
    if ((kept && this.#isOwn(kept)) || (before?.thing && this.#isOwn(before.thing))) this.#changes.own = true;
    if (thing) this.#became(key, thing);
  }

  #drop(key: string): void {
    const before = this.#held.get(key);
    if (!before) return;
    this.#held.delete(key);
    if (before.thing === null) return;
    if (this.#isOwn(before.thing)) this.#changes.own = true;
    this.#left(key, before.thing);
  }

  #read(key: string, text: string): Thing | null {
    try {
      const place = placeOf(key);
      if (place === null) throw new Error('no key of ours');
      switch (place.type) {
        case 'node':
          return { type: 'node', value: readNode(place.name, text) };
        case 'network':
          return { type: 'network', value: readNetwork(place.id, text) };
        case 'name':
          return { type: 'name', value: readName(text) };
        case 'subnet':
          return { type: 'subnet', value: readSubnet(text), network: place.network, subnet: place.subnet };
      }
    } catch (error) {
      this.#complain(key, errorData(error).message);
      return null;
    }
  }

  #became(key: string, thing: Thing): void {
    switch (thing.type) {
      case 'node':
        this.#nodes.set(thing.value.node.name, thing.value);
        return this.#nodeChanged(thing.value.node.name);
      case 'network':
        return this.#networkBecame(thing.value);
      case 'name':
        return;
      case 'subnet':
        return this.#claim(key, thing);
    }
  }

  #left(key: string, thing: Thing): void {
    switch (thing.type) {
      case 'node':
        this.#nodes.delete(thing.value.node.name);
        return this.#nodeChanged(thing.value.node.name);
      case 'network':
        if (this.#networks.delete(thing.value.id)) this.#changes.removed.add(thing.value.id);
        return;
      case 'name':
        return;
      case 'subnet':
        if (this.#networks.get(thing.network)?.members.set(key, null)) this.#changes.peers.add(thing.network);
        if (this.#isOwn(thing)) this.#changes.networks.add(thing.network);
    }
  }

  #nodeChanged(name: string): void {
    this.#changes.nodes = true;
    for (const [id, { members }] of this.#networks) if (members.update(name)) this.#changes.peers.add(id);
  }

  #networkBecame(network: Network): void {
    const { id } = network;
    const members = new Members({
      self: this.#deps.self.name,
      reach: (owner) => this.#reach(owner),
      holding: this.#deps.holding,
      onConflict: (loser, winner) => this.#complain(loser.key, `${winner.key} has its subnet`),
    });
    this.#networks.set(id, { network, spaces: subnetSpaces(network.ranges ?? [], network.options), members });
    this.#changes.removed.delete(id);
    this.#changes.networks.add(id);
    for (const [key, { thing }] of this.#held) if (thing?.type === 'subnet' && thing.network === id) this.#claim(key, thing);
  }

  #claim(key: string, thing: Thing & { readonly type: 'subnet' }): void {
    const known = this.#networks.get(thing.network);
    if (!known || this.#deps.elsewhere(known.network)) return;
    const fits = known.spaces.some((space) => inSpace(space, thing.subnet));
    if (!fits) this.#complain(key, `it is no subnet of ${known.network.ranges?.join(', ')}`);
    const claim: Claim | null = fits ? { key, owner: thing.value.node, subnets: [thing.subnet], part: thing.value.part } : null;
    const own = known.members.claimsOf(this.#deps.self.name).length;
    if (known.members.set(key, claim)) this.#changes.peers.add(thing.network);
    if (this.#isOwn(thing) || known.members.claimsOf(this.#deps.self.name).length !== own)
      this.#changes.networks.add(thing.network);
  }

  #reach(owner: string): Reach {
    const { self } = this.#deps;
    const node = this.#nodes.get(owner)?.node;
    if (!node) return null;
    const address = reachedAt(node.addresses, self);
    if (address === null) {
      this.#complain(owner, `it has no address of a family that this node has (${self.addresses.join(', ')})`);
      return null;
    }
    if (self.addresses.includes(address)) {
      this.#complain(owner, `its address ${address} is this node's own`);
      return null;
    }
    return { node: owner, address, own: true };
  }

  #isOwn(thing: Thing): boolean {
    const { name } = this.#deps.self;
    if (thing.type === 'node') return thing.value.node.name === name;
    return thing.type === 'subnet' && thing.value.node === name;
  }

  #complain(key: string, why: string): void {
    const line = `${key}\n${why}`;
    if (this.#complaints.has(line)) return;
    if (this.#complaints.size >= COMPLAINTS) this.#complaints.clear();
    this.#complaints.add(line);
    this.#deps.logger.warn({ key, why }, 'cluster: passed over an entry');
  }
}
