/** Networks in Docker's JSON, in the order of its fields: `docker network inspect` prints them as they come. */
import { bitsOf, type Family, familyOf, lengthOf, prefixContains, withLength } from '../base/ip.ts';
import type { Attachment } from '../contracts/engine.ts';
import type { Network, Pool } from '../model/network.ts';
import type { Peer, RemoteEndpoint } from '../model/node.ts';
import { gatewayEndpointName } from '../model/way-out.ts';

/** One element of `IPAM.Config`; what is not set is left out, as Go's omitempty does. */
export interface IpamConfigShape {
  readonly Subnet: string;
  readonly IPRange?: string;
  readonly Gateway?: string;
  readonly AuxiliaryAddresses?: Readonly<Record<string, string>>;
}

export interface EndpointResource {
  readonly Name: string;
  readonly EndpointID: string;
  readonly MacAddress: string;
  /** With prefix length, or ''. */
  readonly IPv4Address: string;
  readonly IPv6Address: string;
}

export interface NetworkShape {
  readonly Name: string;
  readonly Id: string;
  /** RFC 3339 */
  readonly Created: string;
  readonly Scope: string;
  readonly Driver: string;
  readonly EnableIPv4: boolean;
  readonly EnableIPv6: boolean;
  readonly IPAM: {
    readonly Driver: string;
    readonly Options: Readonly<Record<string, string>> | null;
    readonly Config: readonly IpamConfigShape[] | null;
  };
  readonly Internal: boolean;
  readonly Attachable: boolean;
  readonly Ingress: boolean;
  readonly ConfigFrom: { readonly Network: string };
  readonly ConfigOnly: boolean;
  /** By sandbox id. */
  readonly Containers: Readonly<Record<string, EndpointResource>>;
  readonly Options: Readonly<Record<string, string>>;
  readonly Labels: Readonly<Record<string, string>>;
  /** Other hosts with a part of the network. Left out when there are none, as Go's omitempty does. */
  readonly Peers?: readonly { readonly Name: string; readonly IP: string }[];
}

/** @param attachments none in lists, where Docker leaves `Containers` empty; likewise `peers` */
export function networkShape(network: Network, attachments: readonly Attachment[], peers: readonly Peer[] = []): NetworkShape {
  return {
    Name: network.name,
    Id: network.id,
    Created: network.created,
    Scope: network.scope,
    Driver: network.driver,
    EnableIPv4: network.ipv4,
    EnableIPv6: network.ipv6,
    IPAM: {
      // Docker has one word for its own, whether addresses are given out on one host or by the cluster.
      Driver: network.ipamDriver === 'cluster' ? 'default' : network.ipamDriver,
      // null is what Docker prints where nobody gave options: on the networks it made itself.
      Options: network.predefined && Object.keys(network.ipamOptions).length === 0 ? null : network.ipamOptions,
      // IPv4 first, whatever the order they were asked for in.
      Config:
        network.pools.length === 0
          ? null
          : [4, 6].flatMap((family) => network.pools.filter((pool) => pool.family === family).map(poolShape)),
    },
    Internal: network.internal,
    Attachable: network.attachable,
    Ingress: false,
    ConfigFrom: { Network: '' },
    ConfigOnly: false,
    Containers: Object.fromEntries(attachments.map((attachment) => [attachment.sandbox.id, endpointResource(attachment)])),
    Options: network.options,
    Labels: network.labels,
    ...(peers.length === 0 ? {} : { Peers: peers.map(({ node, address }) => ({ Name: node, IP: address })) }),
  };
}

/** As Docker showed endpoints of other hosts: under `ep-` and their own id, for the containers are not known here. Their hosts are peers. */
export function withRemotes(shape: NetworkShape, network: Network, remotes: readonly RemoteEndpoint[]): NetworkShape {
  const resources = remotes.map((remote): [string, EndpointResource] => [`ep-${remote.id}`, remoteResource(network, remote)]);
  const known = new Map((shape.Peers ?? []).map((peer) => [peer.Name, peer]));
  for (const { node, hosts } of remotes) if (!known.has(node)) known.set(node, { Name: node, IP: hosts[0] ?? '' });
  const peers = [...known.values()].toSorted((a, b) => (a.Name < b.Name ? -1 : 1));
  return {
    ...shape,
    Containers: { ...shape.Containers, ...Object.fromEntries(resources) },
    ...(peers.length === 0 ? {} : { Peers: peers }),
  };
}

function remoteResource(network: Network, { id, sandbox, mac, addresses }: RemoteEndpoint): EndpointResource {
  const shown = (family: Family): string => {
    const address = addresses.find((one) => familyOf(one) === family);
    if (address === undefined) return '';
    const pools = network.ranges ?? network.pools.map(({ subnet }) => subnet);
    const pool = pools.find((one) => prefixContains(one, address));
    return withLength(address, pool === undefined ? bitsOf(family) : lengthOf(pool));
  };
  return { Name: sandbox, EndpointID: id, MacAddress: mac ?? '', IPv4Address: shown(4), IPv6Address: shown(6) };
}

function poolShape(pool: Pool): IpamConfigShape {
  return {
    Subnet: pool.subnet,
    ...(pool.range === null ? {} : { IPRange: pool.range }),
    ...(pool.gateway === null ? {} : { Gateway: pool.gateway }),
    ...(Object.keys(pool.auxiliary).length === 0 ? {} : { AuxiliaryAddresses: pool.auxiliary }),
  };
}

function endpointResource({ endpoint, sandbox }: Attachment): EndpointResource {
  return {
    Name: endpoint.automatic === true ? gatewayEndpointName(sandbox.id) : sandbox.name,
    EndpointID: endpoint.id,
    MacAddress: endpoint.mac ?? '',
    IPv4Address: endpoint.ipv4 ?? '',
    IPv6Address: endpoint.ipv6 ?? '',
  };
}
