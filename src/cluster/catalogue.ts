/** Networks of the cluster are made and removed here: each an entry, and one for its name. */
import { conflict, forbidden, MoorError, notFound } from '../base/errors.ts';
import type { Id } from '../base/ids.ts';
import { prefixesOverlap } from '../base/ip.ts';
import type { Revision, Store, Write } from '../contracts/store.ts';
import type { Network } from '../model/network.ts';
import { commitSize } from './commit-size.ts';
import { readEndpoint } from './endpoint-values.ts';
import { type FlannelNetworks, isFlannel } from './flannel/networks.ts';
import { addressesFolder, endpointsFolder, nameKey, networkKey } from './keys.ts';
import type { Leasing } from './leasing.ts';
import { subnetSpaces } from './spaces.ts';
import { ofSegment, type Segments } from './segments.ts';
import type { State } from './state.ts';
import { isSegment, networkText, readSubnet, spaceOf } from './values.ts';

export interface CatalogueDeps {
  readonly store: Store;
  readonly state: State;
  readonly leasing: Leasing;
  readonly flannel: FlannelNetworks;
  readonly segments: Segments;
  /** This one's name. */
  readonly node: string;
}

/** Tries at a network while others make theirs. */
const TRIES = 20;

export class Catalogue {
  readonly #deps: CatalogueDeps;

  constructor(deps: CatalogueDeps) {
    this.#deps = deps;
  }

  /** See Cluster. @returns it as it is now, where the cluster has decided something of it */
  async create(network: Network): Promise<Network> {
    const { leasing, flannel } = this.#deps;
    if (isSegment(network)) return await this.#createSegment(network);
    const spaces = subnetSpaces(network.ranges ?? [], network.options);
    this.#refuseOverlap(network);
    if (!isFlannel(network)) {
      try {
        const subnets = await leasing.first(network, spaces);
        const revision = await this.#announce(network, subnets);
        leasing.committed(subnets, revision);
        return network;
      } finally {
        leasing.made(network.id);
      }
    }
    try {
      // First: whether there is such a network of flannel's shows here.
      await (await flannel.of(network)).ensure();
      await this.#announce(network, []);
      return network;
    } catch (error) {
      await flannel.drop(network.id);
      throw error;
    }
  }

  async #createSegment(wanted: Network): Promise<Network> {
    for (let tries = 1; ; tries++) {
      const { network, writes } = await this.#deps.segments.decide(wanted);
      this.#refuseOverlap(network);
      try {
        await this.#announce(network, writes);
        return network;
      } catch (error) {
        // Another node has made one meanwhile, and this one is decided anew.
        const raced = error instanceof MoorError && error.kind === 'conflict' && !error.message.startsWith('network with name');
        if (!raced || tries === TRIES) throw error;
      }
    }
  }

  /** See Cluster. */
  async remove(id: Id): Promise<void> {
    const { store, state, node } = this.#deps;
    const network = state.network(id);
    const held = state.held(networkKey(id));
    if (!network || !held) throw notFound(`network ${id} not found in the cluster`);
    const { entries } = await store.list(`subnets/${id}/`);
    const told = (await store.list(endpointsFolder(id))).entries;
    const named = [...entries.map(({ value }) => userOf(value)), ...told.map(({ key, value }) => tellerOf(key, value))];
    const users = [...new Set(named)].filter((user) => user !== null && user !== node && state.node(user) !== null);
    if (users.length > 0) {
      const some = users.slice(0, 10).join(', ');
      throw forbidden(`error while removing network: network ${network.name} has active endpoints on ${some}`);
    }
    await this.#commit([
      { type: 'delete', key: networkKey(id), expect: held.revision },
      ...this.#nameOf(network),
      ...ofSegment(network),
    ]);
    const addresses = isSegment(network) ? (await store.list(addressesFolder(id))).entries : [];
    const rest = [...entries, ...told, ...addresses].map(({ key }): Write => ({ type: 'delete', key }));
    const size = commitSize(store);
    for (let at = 0; at < rest.length; at += size) await this.#commit(rest.slice(at, at + size));
  }

  async #announce(network: Network, more: readonly Write[]): Promise<Revision> {
    const { store, state } = this.#deps;
    const writes: readonly Write[] = [
      { type: 'put', key: networkKey(network.id), value: networkText(network), expect: 'absent' },
      { type: 'put', key: nameKey(network.name), value: network.id, expect: 'absent' },
    ];
    let revision: Revision;
    try {
      revision = await store.commit([...writes, ...more]);
    } catch (error) {
      const taken = error instanceof MoorError && error.kind === 'conflict' && (await store.get(nameKey(network.name)));
      throw taken ? conflict(`network with name ${network.name} already exists in the cluster`) : error;
    }
    for (const write of writes) if (write.type === 'put') state.wrote(write.key, write.value, revision);
    return revision;
  }

  async #commit(deletes: readonly Write[]): Promise<void> {
    const { store, state } = this.#deps;
    const revision = await store.commit(deletes);
    for (const { key } of deletes) state.wrote(key, null, revision);
  }

  /** The entry of its name, unless that is another network's. */
  #nameOf({ id, name }: Network): readonly Write[] {
    const held = this.#deps.state.held(nameKey(name));
    return held?.thing?.value === id ? [{ type: 'delete', key: nameKey(name), expect: held.revision }] : [];
  }

  #refuseOverlap(network: Network): void {
    for (const other of this.#deps.state.networks()) {
      const clash = spaceOf(other).find((a) => spaceOf(network).some((b) => prefixesOverlap(a, b)));
      if (clash !== undefined && other.id !== network.id)
        throw conflict(`Pool overlaps with other one on this address space: network ${other.name} of the cluster has ${clash}`);
    }
  }
}

/** Whose endpoint it is; null: nobody can tell. */
function tellerOf(key: string, text: string): string | null {
  try {
    return readEndpoint(key.split('/')[2] as Id, text, null).node;
  } catch {
    return null;
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
