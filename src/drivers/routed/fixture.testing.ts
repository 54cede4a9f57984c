/** Data for the tests of this folder. The local driver is one that says what it was asked, as drivers do not know each other. */
import type { Id } from '../../base/ids.ts';
import { parseIfAddress, parseIp, parsePrefix } from '../../base/ip.ts';
import { parseMac } from '../../base/mac.ts';
import { describe as line } from '../../contracts/describe.ts';
import type { Change } from '../../contracts/change.ts';
import type { NetworkDriver } from '../../contracts/driver.ts';
import type { HostFacts } from '../../contracts/kernel.ts';
import type { Network, Pool } from '../../model/network.ts';
import type { Peer, Underlay } from '../../model/node.ts';
import type { Endpoint } from '../../model/sandbox.ts';
import { createRoutedDriver } from './index.ts';

export const id = (start: string): Id => start.padEnd(64, '0') as Id;
export const ALIAS = `moor::${id('1a2b3c4d5e6f')}`;

/** Shows the view that it was given as a file that is written. */
const told = (what: string, { name, driver, scope, options, ranges }: Network): Change => ({
  kind: 'file',
  path: `/${what}`,
  value: `${name} ${driver} ${scope} ${ranges?.join(',')} ${JSON.stringify(options)}`,
  old: null,
});

const local: NetworkDriver = {
  type: 'bridge',
  capabilities: {
    scope: 'local',
    addressing: true,
    gateway: true,
    creatable: true,
    maxEndpoints: { count: 1023, why: 'ports of a bridge' },
  },
  check: () => {},
  planNetwork: (network) => [told('local', network)],
  planJoin: (network) => ({ changes: [told('join', network)], gateway4: null, gateway6: null }),
  planPorts: (network) => [told('ports', network)],
  interfacePrefix: ({ driver }) => driver,
  hostInterface: true,
};

export const driver = createRoutedDriver({
  instance: { id: '', dataRoot: '/var/lib/moor', execRoot: '/run/moor' },
  local,
  flannelFolder: '/run/flannel',
});

const pool = (subnet: string, gateway: string): Pool => ({
  family: subnet.includes(':') ? 6 : 4,
  subnet: parsePrefix(subnet),
  gateway: parseIp(gateway),
  range: null,
  auxiliary: {},
  configured: true,
});

/** IPv4 alone. @param options of the driver */
export function network(options: Readonly<Record<string, string>> = {}, part: Partial<Network> = {}): Network {
  return {
    id: id('1a2b3c4d5e6f'),
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
    pools: [pool('10.244.1.0/24', '10.244.1.1')],
    ranges: [parsePrefix('10.244.0.0/16')],
    predefined: false,
    ...part,
  };
}

export const DUAL = {
  ipv6: true,
  pools: [pool('10.244.1.0/24', '10.244.1.1'), pool('fd44:0:0:1::/64', 'fd44:0:0:1::1')],
  ranges: [parsePrefix('10.244.0.0/16'), parsePrefix('fd44::/48')],
} as const satisfies Partial<Network>;

export const host = (
  addresses: readonly string[] = ['10.9.0.1/24', 'fd09::1/64'],
  underlay: Partial<Underlay> = {},
): HostFacts => ({
  uplink: 'ens3',
  uplinkMtu: 1500,
  routes: [],
  addresses: [],
  bridgeNf: null,
  sysctls: { 'net/ipv6/conf/all/forwarding': '1' },
  foreignForward: [],
  resolvConf: '',
  hostname: 'host',
  underlay: { node: 'n1', device: 'eth1', mtu: 1500, addresses: addresses.map(parseIfAddress), ...underlay },
});

/** The second host. */
export function peer(part: Partial<Peer> = {}): Peer {
  return {
    node: 'n2',
    address: parseIp('10.9.0.2'),
    addresses: [parseIp('10.9.0.2'), parseIp('fd09::2')],
    subnets: [parsePrefix('10.244.2.0/24')],
    vtep4: parseMac('02:00:00:00:00:24'),
    vtep6: parseMac('02:00:00:00:00:26'),
    own: true,
    ...part,
  };
}

export const SUBNETS = { subnets: [parsePrefix('10.244.2.0/24'), parsePrefix('fd44:0:0:2::/64')] } as const;

export const endpoint = (part: Partial<Endpoint>): Endpoint => ({
  id: id('ab'),
  networkId: id('1a2b3c4d5e6f'),
  sandboxId: id('5a'),
  created: '2026-01-01T00:00:00.000Z',
  interfaceName: 'eth0',
  hostInterfaceName: 'vethabcdef0',
  mac: null,
  ipv4: parseIfAddress('10.244.1.10/24'),
  ipv6: parseIfAddress('fd44:0:0:1::a/64'),
  requested: {},
  aliases: [],
  gatewayPriority: 0,
  options: {},
  ...part,
});

export const text = (changes: readonly Change[]): string[] => changes.map(line);
