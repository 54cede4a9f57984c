/** The endpoints of other nodes on one network, kept so that a change costs what it changes. */
import { errorData, invalid } from '../base/errors.ts';
import type { Id } from '../base/ids.ts';
import type { IpAddress } from '../base/ip.ts';
import type { Entry, Listing, StoreEvent } from '../contracts/store.ts';
import type { Network } from '../model/network.ts';
import type { ClusterNode, RemoteEndpoint } from '../model/node.ts';
import { type EndpointValue, readEndpoint } from './endpoint-values.ts';
import { Entries, type Held } from './entries.ts';
import { endpointsFolder } from './keys.ts';

export interface NeighboursDeps {
  readonly id: Id;
  /** null: it is not known, or not any more. */
  readonly network: () => Network | null;
  readonly self: string;
  /** null: it is away, or this node cannot reach it. */
  readonly node: (name: string) => ClusterNode | null;
  /** Whether an endpoint that is gone stays: the store was away, and what is missing may come back. */
  readonly holding: () => boolean;
  readonly complain: (key: string, why: string) => void;
  /** An entry of this node's own was written or removed, by whomever. */
  readonly onOwn: (id: Id) => void;
}

export class Neighbours {
  readonly #deps: NeighboursDeps;
  readonly #folder: string;
  readonly #entries: Entries<EndpointValue>;
  readonly #byNode = new Map<string, Set<Id>>();
  /** Entries that name an address: one, as long as nobody errs. */
  readonly #byAddress = new Map<IpAddress, Set<Id>>();
  readonly #shown = new Map<Id, RemoteEndpoint>();
  /** Gone, and shown for now; by their addresses, too. */
  readonly #held = new Set<Id>();
  readonly #heldAt = new Map<IpAddress, Id>();
  #list: ReadonlyMap<Id, RemoteEndpoint> = new Map();
  #stale = false;

  constructor(deps: NeighboursDeps) {
    this.#deps = deps;
    this.#folder = endpointsFolder(deps.id);
    this.#entries = new Entries({
      read: (key, text) => this.#read(key, text),
      became: (key, value) => this.#index(key, value),
      left: (_, value) => this.#unindex(value),
      touched: ({ id, node }) => {
        if (node === deps.self) deps.onOwn(id);
      },
    });
  }

  /** By id; the same map until one changes. */
  list(): ReadonlyMap<Id, RemoteEndpoint> {
    if (this.#stale) this.#list = new Map(this.#shown);
    this.#stale = false;
    return this.#list;
  }

  /** @returns whether an endpoint has changed. */
  reset(listing: Listing): boolean {
    return this.#observed(() => this.#entries.reset(listing));
  }

  /** @returns whether an endpoint has changed. */
  apply(events: readonly StoreEvent[]): boolean {
    return this.#observed(() => this.#entries.apply(events));
  }

  held(id: Id): Held<EndpointValue> | null {
    return this.#entries.get(`${this.#folder}${id}`);
  }

  /** Somebody has the address, or is remembered to have it. */
  hasAddress(address: IpAddress): boolean {
    return this.#byAddress.has(address) || this.#heldAt.has(address);
  }

  /** Ids of the entries in this node's name. */
  own(): readonly Id[] {
    return [...(this.#byNode.get(this.#deps.self) ?? [])];
  }

  entries(): readonly Entry[] {
    return this.#entries.list();
  }

  /** The node has come, gone or changed. @returns whether an endpoint has. */
  nodeChanged(name: string): boolean {
    return this.#observed(() => {
      for (const id of this.#byNode.get(name) ?? []) this.#update(id);
    });
  }

  /** What was held goes, should it still be gone. @returns whether something has. */
  release(): boolean {
    return this.#observed(() => {
      for (const id of this.#held) this.#show(id, undefined);
    });
  }

  #observed(work: () => void): boolean {
    const before = this.#stale;
    this.#stale = false;
    work();
    const changed = this.#stale;
    this.#stale ||= before;
    return changed;
  }

  #read(key: string, text: string): EndpointValue | null {
    try {
      const value = readEndpoint(this.#idIn(key), text, this.#deps.network());
      const before = this.#entries.get(key)?.thing;
      if (before && before.node === value.node && before.generation > value.generation)
        throw invalid(`it is of an earlier life of ${value.node}`);
      return value;
    } catch (error) {
      this.#deps.complain(key, errorData(error).message);
      return null;
    }
  }

  #idIn(key: string): Id {
    const id = key.slice(this.#folder.length);
    if (!/^[0-9a-f]{64}$/.test(id)) throw invalid('no key of ours');
    return id as Id;
  }

  #index(key: string, value: EndpointValue): void {
    const { id, node, addresses } = value;
    const before = this.#indexed.get(id);
    if (before) this.#forget(before);
    this.#indexed.set(id, value);
    grow(this.#byNode, node, id);
    for (const address of addresses) {
      grow(this.#byAddress, address, id);
      const [winner] = this.#claimants(address);
      if (winner !== undefined && winner !== id) this.#deps.complain(key, `endpoint ${winner} has its address ${address}`);
    }
    this.#updateAll(id, [...(before?.addresses ?? []), ...addresses]);
  }

  /** What the indexes know of: an entry's earlier value as well as its last. */
  readonly #indexed = new Map<Id, EndpointValue>();

  #unindex({ id }: EndpointValue): void {
    const value = this.#indexed.get(id);
    if (!value) return;
    this.#forget(value);
    this.#indexed.delete(id);
    this.#updateAll(id, value.addresses);
  }

  #forget({ id, node, addresses }: EndpointValue): void {
    shrink(this.#byNode, node, id);
    for (const address of addresses) shrink(this.#byAddress, address, id);
  }

  /** The lowest id first: every node comes to the same verdict, whatever it saw first. */
  #claimants(address: IpAddress): readonly Id[] {
    const ids = this.#byAddress.get(address);
    if (!ids || ids.size < 2) return [...(ids ?? [])];
    return [...ids].sort();
  }

  /** This one, and those that give way to it, or did. */
  #updateAll(id: Id, addresses: readonly IpAddress[]): void {
    for (const address of addresses) {
      // Whoever is only remembered gives way to whoever is there.
      const held = this.#heldAt.get(address);
      if (held !== undefined && held !== id && this.#byAddress.has(address)) this.#show(held, undefined);
      for (const other of this.#byAddress.get(address) ?? []) if (other !== id) this.#update(other);
    }
    this.#update(id);
  }

  #update(id: Id): void {
    const endpoint = this.#endpointOf(id);
    const before = this.#shown.get(id);
    if (endpoint === undefined) {
      if (before === undefined) return;
      if (this.#deps.holding() && !this.#taken(before)) this.#hold(before);
      else this.#show(id, undefined);
      return;
    }
    if (before !== undefined && JSON.stringify(before) === JSON.stringify(endpoint)) this.#unhold(id);
    else this.#show(id, endpoint);
  }

  #endpointOf(id: Id): RemoteEndpoint | undefined {
    const value = this.#indexed.get(id);
    if (value === undefined || value.node === this.#deps.self) return undefined;
    const node = this.#deps.node(value.node);
    if (node === null) return undefined;
    if (value.addresses.some((address) => this.#claimants(address)[0] !== id)) return undefined;
    const { generation: _, ...endpoint } = value;
    return { ...endpoint, hosts: node.addresses };
  }

  #taken({ id, addresses }: RemoteEndpoint): boolean {
    return addresses.some((address) => this.#claimants(address).some((other) => other !== id));
  }

  #hold({ id, addresses }: RemoteEndpoint): void {
    this.#held.add(id);
    for (const address of addresses) this.#heldAt.set(address, id);
  }

  #unhold(id: Id): void {
    if (!this.#held.delete(id)) return;
    for (const address of this.#shown.get(id)?.addresses ?? [])
      if (this.#heldAt.get(address) === id) this.#heldAt.delete(address);
  }

  #show(id: Id, endpoint: RemoteEndpoint | undefined): void {
    this.#unhold(id);
    if (endpoint) this.#shown.set(id, endpoint);
    else this.#shown.delete(id);
    this.#stale = true;
  }
}

function grow<K>(map: Map<K, Set<Id>>, at: K, id: Id): void {
  const set = map.get(at);
  if (set) set.add(id);
  else map.set(at, new Set([id]));
}

function shrink<K>(map: Map<K, Set<Id>>, at: K, id: Id): void {
  const set = map.get(at);
  set?.delete(id);
  if (set?.size === 0) map.delete(at);
}
