/** A cluster that a test is: it says which networks there are and who the peers are, and notes what it is asked. */
import { conflict, type MoorError, unsupported } from '../../src/base/errors.ts';
import { newId, type Id } from '../../src/base/ids.ts';
import { parseIfAddress, parseIp, parsePrefix } from '../../src/base/ip.ts';
import type { AddressClaim, Cluster, ClusterEvent, ClusterNetwork } from '../../src/contracts/cluster.ts';
import type { Tunnels, TunnelSpec } from '../../src/contracts/tunnel.ts';
import type { Network, Pool } from '../../src/model/network.ts';
import type { ClusterNode, LocalEndpoint, Peer, RemoteEndpoint, Underlay } from '../../src/model/node.ts';

const SELF: ClusterNode = { name: 'n1', addresses: [parseIp('192.0.2.1')], mtu: 1500, version: '', features: [], started: '' };

export const UNDERLAY: Underlay = { node: 'n1', device: 'eth1', mtu: 1500, addresses: [parseIfAddress('192.0.2.1/24')] };

/** Node n`number`, with 10.244.`number`.0/24. */
export const peer = (number: number, part: Partial<Peer> = {}): Peer => ({
  node: `n${number}`,
  address: parseIp(`192.0.2.${number}`),
  subnets: [parsePrefix(`10.244.${number}.0/24`)],
  own: true,
  ...part,
});

const POOL: Pool = {
  family: 4,
  subnet: parsePrefix('10.244.1.0/24'),
  gateway: parseIp('10.244.1.1'),
  range: null,
  auxiliary: {},
  configured: true,
};

/** As made on another node. */
export const networkFrom = (options: Readonly<Record<string, string>>): Network => ({
  id: newId(),
  name: 'pods',
  created: '2026-01-01T00:00:00.000Z',
  driver: 'routed',
  scope: 'global',
  ipv4: true,
  ipv6: false,
  internal: false,
  attachable: false,
  options,
  labels: {},
  ipamDriver: 'default',
  ipamOptions: {},
  pools: [],
  ranges: [parsePrefix('10.244.0.0/16')],
  predefined: false,
});

export class FakeCluster implements Cluster {
  readonly known = new Map<Id, ClusterNetwork>();
  readonly asked: string[] = [];
  reachable = true;
  /** What the next removal is refused with. */
  refusal: MoorError | null = null;
  readonly #listeners = new Set<(event: ClusterEvent) => void>();

  readonly status: Cluster['status'] = () => ({
    self: SELF,
    nodes: [SELF],
    store: { url: 'fake', reachable: this.reachable, error: this.reachable ? '' : 'away' },
  });
  readonly networks = (): readonly ClusterNetwork[] => [...this.known.values()];
  readonly subscribe = (listener: (event: ClusterEvent) => void): (() => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };
  readonly create = async (network: Network): Promise<ClusterNetwork> => {
    this.asked.push(`create ${network.name} ${network.ranges?.join(' ')}`);
    if (this.networks().some((one) => one.network.name === network.name)) throw conflict('taken in the cluster');
    return this.put(network, []);
  };
  readonly remove = async (id: Id): Promise<void> => {
    this.asked.push('remove');
    if (this.refusal !== null) throw this.refusal;
    this.drop(id);
  };
  readonly refresh = (): void => void this.asked.push('refresh');
  readonly move: Cluster['move'] = ({ addresses }) => void this.asked.push(`move ${addresses.join()}`);
  /** By network and id. */
  readonly told = new Map<Id, Map<Id, LocalEndpoint>>();
  readonly tell = (network: Id, endpoint: LocalEndpoint): void => {
    const own = this.told.get(network) ?? new Map<Id, LocalEndpoint>();
    this.told.set(network, own.set(endpoint.id, endpoint));
  };
  readonly untell = (network: Id, endpoint: Id): void => void this.told.get(network)?.delete(endpoint);
  readonly lookUp = async (network: Id): Promise<ReadonlyMap<Id, RemoteEndpoint>> =>
    this.known.get(network)?.endpoints ?? new Map<Id, RemoteEndpoint>();
  readonly held = new Map<string, string>();
  readonly addresses: Cluster['addresses'] = {
    claim: async (_, { address, owner, subnet }: AddressClaim) => {
      if (address === undefined) throw unsupported(`the fake cluster gives no address of ${subnet} by itself`);
      if ((this.held.get(address) ?? owner) !== owner) throw conflict('Address already in use');
      this.held.set(address, owner);
      return address;
    },
    hold: (_, address, { owner }) => void this.held.set(address, owner),
    release: async (_, address) => void this.held.delete(address),
  };
  readonly complete = async (): Promise<void> => {};
  readonly leave = async (): Promise<void> => void this.asked.push('leave');
  async [Symbol.asyncDispose](): Promise<void> {}

  /** A network, or its peers, as the store has them from now on. */
  put(network: Network, peers: readonly Peer[], pools: readonly Pool[] = [POOL]): ClusterNetwork {
    const endpoints = this.known.get(network.id)?.endpoints ?? new Map<Id, RemoteEndpoint>();
    const made = { network: { ...network, pools }, peers, endpoints };
    const type = this.known.has(network.id) ? 'peers' : 'network';
    this.known.set(network.id, made);
    this.#emit({ type, network: network.id });
    return made;
  }

  /** Endpoints of others, as the store has them from now on. */
  putEndpoints(id: Id, endpoints: readonly RemoteEndpoint[]): void {
    const known = this.known.get(id);
    if (known) this.known.set(id, { ...known, endpoints: new Map(endpoints.map((one) => [one.id, one])) });
    this.#emit({ type: 'endpoints', network: id });
  }

  drop(id: Id): void {
    this.known.delete(id);
    this.#emit({ type: 'removed', network: id });
  }

  #emit(event: ClusterEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}

/** Notes what is wanted. */
export class FakeTunnels implements Tunnels {
  readonly wanted = new Map<Id, TunnelSpec>();
  readonly want: Tunnels['want'] = async (network, spec) => {
    if (spec === null) this.wanted.delete(network);
    else this.wanted.set(network, spec);
  };
  readonly keep: Tunnels['keep'] = async (networks) => {
    for (const network of this.wanted.keys()) if (!networks.has(network)) this.wanted.delete(network);
  };
  readonly status: Tunnels['status'] = async () => null;
  async [Symbol.asyncDispose](): Promise<void> {
    this.wanted.clear();
  }
}
