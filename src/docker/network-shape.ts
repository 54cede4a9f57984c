/** Networks in Docker's JSON, in the order of its fields: `docker network inspect` prints them as they come. */
import type { Attachment } from '../contracts/engine.ts';
import type { Network, Pool } from '../model/network.ts';
import type { Peer } from '../model/node.ts';
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
