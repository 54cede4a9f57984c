/** Data for the tests of this folder. */
import type { Id } from '../../base/ids.ts';
import { type IfAddress, type IpAddress, parseIfAddress, parseIp, type Prefix, parsePrefix } from '../../base/ip.ts';
import { parseMac } from '../../base/mac.ts';
import type { HostFacts } from '../../contracts/kernel.ts';
import type { Instance } from '../../model/instance.ts';
import type { Network, Pool } from '../../model/network.ts';
import type { Endpoint } from '../../model/sandbox.ts';

export const INSTANCE: Instance = { id: '', dataRoot: '/var/lib/moor', execRoot: '/run/moor' };
export const NETNS = '/run/moor/netns/s1';

/** 64 hex digits that start with the given ones. */
export const id = (start: string): Id => start.padEnd(64, '0') as Id;

export function pool(subnet: string, gateway: string | null): Pool {
  const prefix: Prefix = parsePrefix(subnet);
  const address: IpAddress | null = gateway === null ? null : parseIp(gateway);
  return { family: subnet.includes(':') ? 6 : 4, subnet: prefix, gateway: address, range: null, auxiliary: {}, configured: true };
}

export function network(part: Partial<Network> = {}): Network {
  return {
    id: id('1a2b3c4d5e6f'),
    name: 'my_net2',
    created: '2026-01-01T00:00:00.000Z',
    driver: 'bridge',
    scope: 'local',
    ipv4: true,
    ipv6: false,
    internal: false,
    attachable: false,
    options: {},
    labels: {},
    ipamDriver: 'default',
    ipamOptions: {},
    pools: [pool('192.168.7.0/24', '192.168.7.1')],
    predefined: false,
    ...part,
  };
}

export const DUAL = { ipv6: true, pools: [pool('192.168.7.0/24', '192.168.7.1'), pool('fd00:7::/64', 'fd00:7::1')] } as const;

const ifAddress = (text: string): IfAddress => parseIfAddress(text);

export function endpoint(part: Partial<Endpoint> = {}): Endpoint {
  return {
    id: id('abcdef0123'),
    networkId: id('1a2b3c4d5e6f'),
    sandboxId: id('5a'),
    created: '2026-01-01T00:00:00.000Z',
    interfaceName: 'eth0',
    hostInterfaceName: 'vethabcdef0',
    mac: parseMac('02:42:c0:a8:07:0a'),
    ipv4: ifAddress('192.168.7.10/24'),
    ipv6: null,
    requested: {},
    aliases: [],
    gatewayPriority: 0,
    options: {},
    ...part,
  };
}

export const ENDPOINT6 = { ipv6: ifAddress('fd00:7::a/64') } as const;

/** A machine that has just started: no forwarding, no firewall, room for few endpoints. */
export function facts(part: Partial<HostFacts> = {}): HostFacts {
  return {
    uplink: 'ens3',
    uplinkMtu: 1500,
    routes: [],
    addresses: [],
    bridgeNf: null,
    sysctls: {
      'net/ipv4/ip_forward': '0',
      'net/ipv6/conf/all/forwarding': '0',
      'net/ipv4/neigh/default/gc_thresh1': '128',
      'net/ipv4/neigh/default/gc_thresh2': '512',
      'net/ipv4/neigh/default/gc_thresh3': '1024',
      'net/core/netdev_max_backlog': '1000',
    },
    foreignForward: [],
    resolvConf: '',
    hostname: 'host',
    ...part,
  };
}
