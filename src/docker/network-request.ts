/** Bodies of `POST /networks/…` as specifications of the engine. What is wrong with a value is for the engine to say. */
import { unsupported } from '../base/errors.ts';
import type { NetworkSpec, PoolRequest } from '../model/network.ts';
import type { EndpointSpec } from '../model/sandbox.ts';
import type { JsonObject } from './body.ts';

/** Docker's endpoint option for the interface name inside the container (Engine 28). */
const IFNAME = 'com.docker.network.endpoint.ifname';

/** @param knowsIpv4 `EnableIPv4` came with API 1.48; before that Docker ignores the field. @throws unsupported, invalid */
export function networkSpec(body: JsonObject, knowsIpv4: boolean): NetworkSpec {
  if (body.boolean('ConfigOnly') || given(body.object('ConfigFrom')?.string('Network'))) {
    throw unsupported('Cannot create the network: configuration-only networks are not supported by Moorline');
  }
  if (body.boolean('Ingress')) throw unsupported('Cannot create the network: ingress networks are not supported by Moorline yet');
  // Names are unique here, so that it says nothing; it has to be a boolean all the same.
  body.boolean('CheckDuplicate');
  const ipam = body.object('IPAM');
  return compact({
    name: body.string('Name') ?? '',
    driver: given(body.string('Driver')),
    scope: given(body.string('Scope')),
    ipv4: knowsIpv4 ? body.boolean('EnableIPv4') : undefined,
    ipv6: body.boolean('EnableIPv6'),
    internal: body.boolean('Internal'),
    attachable: body.boolean('Attachable'),
    options: body.stringMap('Options'),
    labels: body.stringMap('Labels'),
    ipamDriver: given(ipam?.string('Driver')),
    ipamOptions: ipam?.stringMap('Options'),
    pools: ipam?.objects('Config')?.map(poolRequest),
  });
}

function poolRequest(config: JsonObject): PoolRequest {
  return compact({
    subnet: given(config.string('Subnet')),
    range: given(config.string('IPRange')),
    gateway: given(config.string('Gateway')),
    auxiliary: config.stringMap('AuxiliaryAddresses'),
  });
}

/** `EndpointConfig` of connect. @throws unsupported, invalid */
export function endpointSpec(config: JsonObject | undefined): EndpointSpec {
  if (!config) return {};
  const ipam = config.object('IPAMConfig');
  if (ipam?.strings('LinkLocalIPs')?.some((address) => address !== '')) {
    throw unsupported('Cannot connect: link-local addresses (LinkLocalIPs) are not supported by Moorline');
  }
  const { [IFNAME]: interfaceName, ...options } = config.stringMap('DriverOpts') ?? {};
  return compact({
    ipv4: given(ipam?.string('IPv4Address')),
    ipv6: given(ipam?.string('IPv6Address')),
    mac: given(config.string('MacAddress')),
    aliases: config.strings('Aliases'),
    links: config.strings('Links')?.filter((link) => link !== ''),
    gatewayPriority: config.integer('GwPriority'),
    interfaceName: given(interfaceName),
    options,
  });
}

/** Docker's clients send '' for what was not given. */
export const given = (text: string | undefined): string | undefined => (text === '' ? undefined : text);

/** The same without the fields that are undefined, so that optional fields are absent and not set to undefined. */
export function compact<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}
