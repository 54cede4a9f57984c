/** An attachment to a network, in Docker's JSON. */
import { addressOf, type IfAddress, lengthOf, prefixContains } from '../../base/ip.ts';
import { dnsNames } from '../../model/dns-names.ts';
import type { Network } from '../../model/network.ts';
import type { Endpoint, EndpointSpec, Sandbox } from '../../model/sandbox.ts';

/** @param network undefined when it is gone: an endpoint outlives its network only while a removal is under way */
export function endpointSettings(
  endpoint: Endpoint,
  network: Network | undefined,
  sandbox: Sandbox,
): Readonly<Record<string, unknown>> {
  const gateway = (address: IfAddress | null): string => {
    if (address === null || network === undefined || network.internal) return '';
    return network.pools.find((pool) => prefixContains(pool.subnet, addressOf(address)))?.gateway ?? '';
  };
  const { ipv4, ipv6 } = endpoint.requested;
  return {
    IPAMConfig:
      ipv4 === undefined && ipv6 === undefined
        ? null
        : { ...(ipv4 === undefined ? {} : { IPv4Address: ipv4 }), ...(ipv6 === undefined ? {} : { IPv6Address: ipv6 }) },
    Links: endpoint.links ?? null,
    Aliases: endpoint.aliases.length === 0 ? null : endpoint.aliases,
    MacAddress: endpoint.mac ?? '',
    DriverOpts: Object.keys(endpoint.options).length === 0 ? null : endpoint.options,
    GwPriority: endpoint.gatewayPriority,
    NetworkID: endpoint.networkId,
    EndpointID: endpoint.id,
    Gateway: gateway(endpoint.ipv4),
    IPAddress: endpoint.ipv4 === null ? '' : addressOf(endpoint.ipv4),
    IPPrefixLen: endpoint.ipv4 === null ? 0 : lengthOf(endpoint.ipv4),
    IPv6Gateway: gateway(endpoint.ipv6),
    GlobalIPv6Address: endpoint.ipv6 === null ? '' : addressOf(endpoint.ipv6),
    GlobalIPv6PrefixLen: endpoint.ipv6 === null ? 0 : lengthOf(endpoint.ipv6),
    // The names service exists on user-defined networks only.
    DNSNames: network === undefined || network.predefined ? null : dnsNames(sandbox, endpoint),
  };
}

/** The same of a container that does not run: what it will ask for when it starts. */
export function plannedSettings(spec: EndpointSpec, network: Network | undefined): Readonly<Record<string, unknown>> {
  const { ipv4, ipv6, aliases = [], links = [], options = {} } = spec;
  return {
    IPAMConfig:
      ipv4 === undefined && ipv6 === undefined
        ? null
        : { ...(ipv4 === undefined ? {} : { IPv4Address: ipv4 }), ...(ipv6 === undefined ? {} : { IPv6Address: ipv6 }) },
    Links: links.length === 0 ? null : links,
    Aliases: aliases.length === 0 ? null : aliases,
    MacAddress: spec.mac ?? '',
    DriverOpts: Object.keys(options).length === 0 ? null : options,
    GwPriority: spec.gatewayPriority ?? 0,
    NetworkID: network?.id ?? '',
    EndpointID: '',
    Gateway: '',
    IPAddress: '',
    IPPrefixLen: 0,
    IPv6Gateway: '',
    GlobalIPv6Address: '',
    GlobalIPv6PrefixLen: 0,
    DNSNames: null,
  };
}
