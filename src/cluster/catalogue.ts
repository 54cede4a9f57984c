/** Networks of the cluster are made and removed here: each an entry, and one for its name. */
import { conflict, forbidden, MoorError, notFound } from '../base/errors.ts';
import type { Id } from '../base/ids.ts';
import { prefixesOverlap } from '../base/ip.ts';
import type { Revision, Store, Write } from '../contracts/store.ts';
import type { Network } from '../model/network.ts';
import { type FlannelNetworks, isFlannel } from './flannel/networks.ts';
import { nameKey, networkKey } from './keys.ts';
import type { Leasing } from './leasing.ts';
import { subnetSpaces } from './spaces.ts';
import type { State } from './state.ts';
import { networkText, readSubnet } from './values.ts';

export interface CatalogueDeps {
  readonly store: Store;
  readonly state: State;
  readonly leasing: Leasing;
  readonly flannel: FlannelNetworks;
  /** This one's name. */
  readonly node: string;
}

/** Deletes in one commit; etcd allows 128. */
const COMMIT_WRITES = 100;

export class Catalogue {
  readonly #deps: CatalogueDeps;

  constructor(deps: CatalogueDeps) {
    this.#deps = deps;
  }

  /** See Cluster. */
  async create(network: Network): Promise<void> {
    const { leasing, flannel } = this.#deps;
    const spaces = subnetSpaces(network.ranges ?? [], network.options);
    this.#refuseOverlap(network);
    if (!isFlannel(network)) {
      const subnets = await leasing.first(network, spaces);
      const revision = await this.#announce(network, subnets);
      return leasing.committed(subnets, revision);
    }
    try {
      // First: whether there is such a network of flannel's shows here.
      await (await flannel.of(network)).ensure();
      await this.#announce(network, []);
    } catch (error) {
      await flannel.drop(network.id);
      throw error;
    }
  }

  /** See Cluster. */
  async remove(id: Id): Promise<void> {
    const { store, state, node } = this.#deps;
    const network = state.network(id);
    const held = state.held(networkKey(id));
    if (!network || !held) throw notFound(`network ${id} not found in the cluster`);
    const { entries } = await store.list(`subnets/${id}/`);
    const users = entries.flatMap(({ value }) => {
      const user = userOf(value);
      return user !== null && user !== node && state.node(user) ? user : [];
    });
    if (users.length > 0) {
      const some = users.slice(0, 10).join(', ');
      throw forbidden(`error while removing network: network ${network.name} has active endpoints on ${some}`);
    }
    await this.#commit([{ type: 'delete', key: networkKey(id), expect: held.revision }, ...this.#nameOf(network)]);
    const rest = entries.map(({ key }): Write => ({ type: 'delete', key }));
    for (let at = 0; at < rest.length; at += COMMIT_WRITES) await this.#commit(rest.slice(at, at + COMMIT_WRITES));
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
      const clash = other.ranges?.find((a) => network.ranges?.some((b) => prefixesOverlap(a, b)));
      if (clash !== undefined && other.id !== network.id)
        throw conflict(`Pool overlaps with other one on this address space: network ${other.name} of the cluster has ${clash}`);
    }
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
