/** What follows from the store's entries: nodes, networks and the peers of each. It is told, and says what has changed. */
import type { Logger } from '../base/clock.ts';
import { errorData } from '../base/errors.ts';
import type { Id } from '../base/ids.ts';
import type { IpAddress, Prefix } from '../base/ip.ts';
import type { Entry, Listing, Revision, StoreEvent } from '../contracts/store.ts';
import type { Network } from '../model/network.ts';
import type { ClusterNode, Peer } from '../model/node.ts';
import { Complaints } from './complaints.ts';
import { Entries, type Held } from './entries.ts';
import { networkKey, placeOf } from './keys.ts';
import { type Claim, Members, type Reach } from './members.ts';
import { inSpace, type SubnetSpace, subnetSpaces } from './spaces.ts';
import { isSegment, type NodeValue, readName, readNetwork, readNode, readSubnet, reachedAt, type SubnetValue } from './values.ts';

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
  /** Those that have come, gone or changed. */
  readonly names: Set<string>;
  /** Addresses on the underlay behind which another node is now, or none. */
  readonly addresses: Set<IpAddress>;
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

interface Known {
  readonly network: Network;
  readonly spaces: readonly SubnetSpace[];
  readonly members: Members;
}

const noChanges = (): Changes => ({
  nodes: false,
  own: false,
  names: new Set(),
  addresses: new Set(),
  networks: new Set(),
  removed: new Set(),
  peers: new Set(),
});

export class State {
  readonly #deps: StateDeps;
  readonly #entries: Entries<Thing>;
  readonly #complaints: Complaints;
  readonly #nodes = new Map<string, NodeValue>();
  readonly #networks = new Map<Id, Known>();
  readonly #byAddress = new Map<IpAddress, string>();
  #changes = noChanges();

  constructor(deps: StateDeps) {
    this.#deps = deps;
    this.#complaints = new Complaints(deps.logger);
    this.#entries = new Entries({
      read: (key, text) => this.#read(key, text),
      became: (key, thing) => this.#became(key, thing),
      left: (key, thing) => this.#left(key, thing),
      touched: (thing) => {
        // What was overwritten with something unreadable has to be written again, if it is ours.
        if (this.#isOwn(thing)) this.#changes.own = true;
      },
    });
  }

  /** What has changed since it was last asked. */
  take(): Changes {
    const changes = this.#changes;
    this.#changes = noChanges();
    return changes;
  }

  reset(listing: Listing, prefix = ''): void {
    this.#entries.reset(listing, prefix);
  }

  apply(events: readonly StoreEvent[]): void {
    this.#entries.apply(events);
  }

  /** See Entries. */
  wrote(key: string, value: string | null, revision: Revision): void {
    this.#entries.wrote(key, value, revision);
  }

  held(key: string): Held<Thing> | null {
    return this.#entries.get(key);
  }

  has(key: string): boolean {
    return this.#entries.has(key);
  }

  entries(): readonly Entry[] {
    return this.#entries.list();
  }

  nodes(): Iterable<NodeValue> {
    return this.#nodes.values();
  }

  node(name: string): NodeValue | null {
    return this.#nodes.get(name) ?? null;
  }

  /** The node, if it is there and this one can reach it. */
  reached(name: string): ClusterNode | null {
    return this.#reach(name) === null ? null : (this.#nodes.get(name)?.node ?? null);
  }

  /** Who has the address on the underlay. */
  nodeAt(address: IpAddress): string | null {
    return this.#byAddress.get(address) ?? null;
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
        const held = this.#entries.get(key);
        return held?.thing?.type === 'subnet'
          ? { key, subnet: held.thing.subnet, value: held.thing.value, revision: held.revision }
          : [];
      })
      .sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  /** Entries of this node whose network is no more. Goes through everything. */
  orphans(): readonly { readonly network: Id; readonly key: string; readonly revision: Revision }[] {
    const orphans: { network: Id; key: string; revision: Revision }[] = [];
    for (const { key, thing, revision } of this.#entries.things()) {
      if (thing.type !== 'subnet' || thing.value.node !== this.#deps.self.name || thing.value.reserved) continue;
      if (!this.#entries.has(networkKey(thing.network))) orphans.push({ network: thing.network, key, revision });
    }
    return orphans;
  }

  /** This node has other addresses on the underlay: who is reached by which may have changed. */
  moved(): void {
    for (const name of this.#nodes.keys())
      for (const [id, { members }] of this.#networks) if (members.update(name)) this.#changes.peers.add(id);
  }

  /** What was held back because the store was away goes. */
  release(): void {
    for (const [id, { members }] of this.#networks) if (members.releaseAll()) this.#changes.peers.add(id);
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
      this.#complaints.add(key, errorData(error).message);
      return null;
    }
  }

  #became(key: string, thing: Thing): void {
    switch (thing.type) {
      case 'node':
        return this.#nodeBecame(thing.value.node.name, thing.value);
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
        return this.#nodeBecame(thing.value.node.name, null);
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

  #nodeBecame(name: string, value: NodeValue | null): void {
    this.#changes.nodes = true;
    this.#changes.names.add(name);
    for (const address of this.#nodes.get(name)?.node.addresses ?? []) {
      if (this.#byAddress.get(address) === name) this.#byAddress.delete(address);
      this.#changes.addresses.add(address);
    }
    if (value) this.#nodes.set(name, value);
    else this.#nodes.delete(name);
    for (const address of value?.node.addresses ?? []) {
      this.#byAddress.set(address, name);
      this.#changes.addresses.add(address);
    }
    for (const [id, { members }] of this.#networks) if (members.update(name)) this.#changes.peers.add(id);
  }

  #networkBecame(network: Network): void {
    const { id } = network;
    const members = new Members({
      self: this.#deps.self.name,
      reach: (owner) => this.#reach(owner),
      holding: this.#deps.holding,
      onConflict: (loser, winner) => this.#complaints.add(loser.key, `${winner.key} has its subnet`),
    });
    const spaces = isSegment(network) ? [] : subnetSpaces(network.ranges ?? [], network.options);
    this.#networks.set(id, { network, spaces, members });
    this.#changes.removed.delete(id);
    this.#changes.networks.add(id);
    for (const { key, thing } of this.#entries.things())
      if (thing.type === 'subnet' && thing.network === id) this.#claim(key, thing);
  }

  #claim(key: string, thing: Thing & { readonly type: 'subnet' }): void {
    const known = this.#networks.get(thing.network);
    if (!known || this.#deps.elsewhere(known.network)) return;
    const fits = known.spaces.some((space) => inSpace(space, thing.subnet));
    if (!fits) this.#complaints.add(key, `it is no subnet of ${known.network.ranges?.join(', ')}`);
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
      this.#complaints.add(owner, `it has no address of a family that this node has (${self.addresses.join(', ')})`);
      return null;
    }
    const ours = node.addresses.find((one) => self.addresses.includes(one));
    if (ours !== undefined) {
      this.#complaints.add(owner, `its address ${ours} is this node's own`);
      return null;
    }
    // With IPv6 as well, some backends reach each family by its own.
    return { node: owner, address, ...(node.addresses.length > 1 ? { addresses: node.addresses } : {}), own: true };
  }

  #isOwn(thing: Thing): boolean {
    const { name } = this.#deps.self;
    if (thing.type === 'node') return thing.value.node.name === name;
    return thing.type === 'subnet' && thing.value.node === name;
  }
}
