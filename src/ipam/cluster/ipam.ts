/**
 * Addresses of networks that are one segment on all hosts of a cluster. Subnets, gateways and auxiliary addresses were decided when the network
 * was made, in one commit with it; what is left is one claim for each address of an endpoint.
 */
import { conflict, errorData, invalid, MoorError, notFound } from '../../base/errors.ts';
import type { Id } from '../../base/ids.ts';
import { familyOf, type IpAddress, type Prefix, prefixContains } from '../../base/ip.ts';
import type { Cluster } from '../../contracts/cluster.ts';
import type { AddressRelease, AddressWish, IpamDriver, PoolUse, PoolWish } from '../../contracts/ipam.ts';
import { reservedFor, usableRange } from '../../model/subnet.ts';

/** A subnet that this host gives addresses of. */
interface Held {
  readonly network: Id;
  readonly owner: string;
  readonly range: Prefix | undefined;
  /** This host's. */
  readonly own: Set<IpAddress>;
}

export const createClusterIpam = (cluster: Pick<Cluster, 'addresses' | 'networks'>): IpamDriver => new ClusterIpam(cluster);

class ClusterIpam implements IpamDriver {
  readonly type = 'cluster';
  readonly #cluster: Pick<Cluster, 'addresses' | 'networks'>;
  readonly #pools = new Map<Prefix, Held>();

  constructor(cluster: Pick<Cluster, 'addresses' | 'networks'>) {
    this.#cluster = cluster;
  }

  readonly requestPool = async ({ subnet, owner, network, range }: PoolWish): Promise<Prefix> => {
    if (subnet === undefined || network === undefined)
      throw invalid('invalid subnet: the cluster decides which one a network has, when it is made');
    const other = this.#pools.get(subnet);
    if (other !== undefined && other.network !== network)
      throw conflict(`Pool overlaps with other one on this address space: network ${other.owner} has ${subnet}`);
    if (other === undefined) this.#pools.set(subnet, { network, owner, range, own: new Set() });
    return subnet;
  };

  readonly releasePool = async (subnet: Prefix, owner: string): Promise<void> => {
    const held = this.#pools.get(subnet);
    if (held?.owner !== owner) return;
    this.#pools.delete(subnet);
    for (const address of held.own) await this.#cluster.addresses.release(held.network, address);
  };

  readonly requestAddress = async (wish: AddressWish): Promise<IpAddress> => {
    const { subnet, address, owner, restored } = wish;
    const held = this.#pools.get(subnet);
    if (held === undefined) throw notFound(`no network of the cluster on this host has ${subnet}`);
    if (address !== undefined) check(subnet, address);
    // The network's own, decided with it.
    if (address !== undefined && isRole(owner)) return address;
    const { addresses } = this.#cluster;
    if (address !== undefined && restored !== undefined) {
      addresses.hold(held.network, address, { subnet, owner });
      held.own.add(address);
      return address;
    }
    const range = held.range === undefined || address !== undefined ? {} : { range: held.range };
    const claim = { subnet, owner, ...range, ...(address === undefined ? {} : { address }) };
    const given = await addresses.claim(held.network, claim).catch((error: unknown) => {
      throw named(error, { owner: held.owner, subnet });
    });
    held.own.add(given);
    return given;
  };

  readonly releaseAddress = async (subnet: Prefix, address: IpAddress, _options?: AddressRelease): Promise<void> => {
    const held = this.#pools.get(subnet);
    if (held?.own.delete(address) === true) await this.#cluster.addresses.release(held.network, address);
  };

  readonly usage = (): readonly PoolUse[] => {
    const networks = new Map(this.#cluster.networks().map((known) => [known.network.id, known]));
    return [...this.#pools].map(([subnet, { network, owner, own }]) => {
      const known = networks.get(network);
      const others = [...(known?.endpoints.values() ?? [])].flatMap(({ addresses }) => addresses);
      const pool = known?.network.pools.find((one) => one.subnet === subnet);
      const roles = (pool?.gateway === null || pool === undefined ? 0 : 1) + Object.keys(pool?.auxiliary ?? {}).length;
      const { first, last } = usableRange(subnet);
      const used = others.filter((address) => familyOf(address) === familyOf(subnet) && prefixContains(subnet, address)).length;
      return { subnet, owner, used: BigInt(own.size + used + roles), size: last - first + 1n };
    });
  };
}

/** Of the network, on all hosts: `gateway`, `aux:name`. Owners of endpoints have a space in them. */
const isRole = (owner: string): boolean => owner === 'gateway' || owner.startsWith('aux:');

function check(subnet: Prefix, address: IpAddress): void {
  if (!prefixContains(subnet, address)) throw invalid(`invalid address: ${address} does not belong to subnet ${subnet}`);
  const reserved = reservedFor(subnet, address);
  if (reserved !== null) throw invalid(`invalid address: ${address} is ${reserved}`);
}

/** What is full is told by the network's name, as everywhere. */
function named(error: unknown, { owner, subnet }: { readonly owner: string; readonly subnet: Prefix }): unknown {
  if (!(error instanceof MoorError) || error.kind !== 'exhausted') return error;
  return new MoorError('exhausted', `${errorData(error).message} (network ${owner}, ${subnet})`);
}
