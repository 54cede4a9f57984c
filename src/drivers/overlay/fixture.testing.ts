import { type Id, newId } from '../../base/ids.ts';
import { addressOf, type IpAddress, parseIfAddress, parseIp, parsePrefix } from '../../base/ip.ts';
import { macFromIpv4, parseMac } from '../../base/mac.ts';
import type { HostFacts } from '../../contracts/kernel.ts';
import { hostVethName } from '../../model/names.ts';
import type { Network, Pool } from '../../model/network.ts';
import type { RemoteEndpoint } from '../../model/node.ts';
import type { Endpoint } from '../../model/sandbox.ts';
import { OPTION } from './options.ts';

export const ID = '1a2b3c4d5e6f'.padEnd(64, '0') as Id;
const VNIS = OPTION.vnis;

export const pool = (subnet: string, gateway: string | null): Pool => ({
  family: subnet.includes(':') ? 6 : 4,
  subnet: parsePrefix(subnet),
  gateway: gateway === null ? null : parseIp(gateway),
  range: null,
  auxiliary: {},
  configured: true,
});

export const network = (part: Partial<Network> = {}): Network => ({
  id: ID,
  name: 'ov_net1',
  created: '2026-01-01T00:00:00.000Z',
  driver: 'overlay',
  scope: 'global',
  ipv4: true,
  ipv6: false,
  internal: false,
  attachable: false,
  options: { [VNIS]: '4097' },
  labels: {},
  ipamDriver: 'cluster',
  ipamOptions: {},
  pools: [pool('10.0.0.0/24', '10.0.0.1')],
  predefined: false,
  ...part,
});

export const DUAL = { ipv6: true, pools: [pool('10.0.0.0/24', '10.0.0.1'), pool('fd00::/64', 'fd00::1')] } as const;

/** @param id default: a new one, so that names of devices differ */
export function endpoint(ipv4: string, ipv6: string | null = null, id: Id = newId()): Endpoint {
  return {
    id,
    networkId: ID,
    sandboxId: id,
    created: '2026-01-01T00:00:00.000Z',
    interfaceName: 'eth0',
    hostInterfaceName: hostVethName(id),
    mac: macFromIpv4(addressOf(parseIfAddress(ipv4))),
    ipv4: parseIfAddress(ipv4),
    ipv6: ipv6 === null ? null : parseIfAddress(ipv6),
    requested: {},
    aliases: [],
    gatewayPriority: 0,
    options: {},
  };
}

export function remote(
  addresses: readonly string[],
  part: { readonly mac?: string; readonly hosts: readonly string[] },
): RemoteEndpoint {
  const parse = (list: readonly string[]): readonly IpAddress[] => list.map(parseIp);
  const id = newId();
  return {
    id,
    sandbox: 'bbox2',
    sandboxId: id,
    mac: part.mac === undefined ? macFromIpv4(parseIp(addresses[0] ?? '')) : parseMac(part.mac),
    addresses: parse(addresses),
    names: ['bbox2'],
    node: 'h2',
    hosts: parse(part.hosts),
  };
}

/** A host on an underlay. */
export const facts = (addresses: readonly string[] = ['10.9.0.1/24'], mtu = 1500): HostFacts => ({
  uplink: 'eth1',
  uplinkMtu: mtu,
  routes: [],
  addresses: [],
  bridgeNf: null,
  sysctls: { 'net/ipv6/conf/all/forwarding': '0' },
  foreignForward: [],
  resolvConf: '',
  hostname: 'h1',
  underlay: { node: 'h1', device: 'eth1', mtu, addresses: addresses.map(parseIfAddress) },
});
