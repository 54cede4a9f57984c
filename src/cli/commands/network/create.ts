import { defineCommand, flag, list, strings, text } from '../../command.ts';
import { changeQuery, report, writeJson } from '../../output/report.ts';
import { parseLabels, parseMap } from '../../options/pairs.ts';
import { pairPools } from '../../options/pools.ts';
import type { Answer } from '../../api.ts';
import type { Network, NetworkSpec } from '../../../model/network.ts';

export const create = defineCommand({
  name: 'create',
  summary: 'Create a network',
  description:
    'Each gateway, range and auxiliary address goes to the subnet that contains it. What is left open is chosen for you.',
  arguments: [{ name: 'NETWORK', completion: 'none' }],
  changes: true,
  options: {
    attachable: flag('Enable manual container attachment'),
    auxAddress: list('NAME=IP', 'Address used by something else on this network: never given to a sandbox'),
    driver: text('DRIVER', 'Driver to manage the network', {
      short: 'd',
      shownDefault: 'bridge',
      completion: ['bridge', 'routed', 'overlay'],
    }),
    gateway: strings('IP', 'IPv4 or IPv6 gateway for a subnet'),
    internal: flag('Restrict external access to the network'),
    ipRange: strings('CIDR', 'Allocate addresses from a sub-range'),
    ipamDriver: text('DRIVER', 'IP address management driver', { shownDefault: 'default' }),
    ipamOpt: list('KEY=VALUE', 'Set IPAM driver specific options'),
    ipv4: flag('Enable or disable IPv4 address assignment', { shownDefault: 'true' }),
    ipv6: flag('Enable or disable IPv6 address assignment'),
    label: list('KEY=VALUE', 'Set metadata on a network'),
    opt: list('KEY=VALUE', 'Set driver specific options', {
      short: 'o',
      completion: [
        'com.docker.network.bridge.name=',
        'com.docker.network.bridge.enable_icc=',
        'com.docker.network.bridge.enable_ip_masquerade=',
        'com.docker.network.bridge.host_binding_ipv4=',
        'com.docker.network.driver.mtu=',
        'com.docker.network.container_iface_prefix=',
        'backend=vxlan',
        'backend=host-gw',
        'backend=udp',
        'backend=alloc',
        'subnet-len=',
        'vni=',
        'port=',
        'direct-routing=true',
      ],
    }),
    scope: text('SCOPE', "Control the network's scope", { completion: ['local', 'global'] }),
    subnet: strings('CIDR', 'Subnet in CIDR format; 0.0.0.0/24 is any free one of that size'),
  },
  examples: [
    { command: 'moor network create my_net', what: 'a bridge network on a free subnet' },
    {
      command: 'moor network create --subnet 192.168.7.0/24 --gateway 192.168.7.1 my_net2',
      what: 'with addresses of your choice',
    },
    {
      command: 'moor network create --ipv6 --subnet fd00:7::/64 --subnet 10.7.0.0/16 --ip-range 10.7.1.0/24 dual',
      what: 'IPv6 and IPv4',
    },
    {
      command: 'moor network create --internal --dry-run quiet',
      what: 'what an internal network would change, in ip and nft words',
    },
    {
      command: 'moor network create -d routed --subnet 10.244.0.0/16 -o backend=vxlan pods',
      what: 'a network over all hosts of the cluster',
    },
    {
      command: 'moor network create -d overlay ov_net1',
      what: 'one segment over all hosts of the cluster',
    },
  ],
  run: async (context, [name = ''], options) => {
    const spec: NetworkSpec = {
      name,
      ...given('driver', options.driver),
      ...given('scope', options.scope),
      ...given('ipv4', options.ipv4),
      ...given('ipv6', options.ipv6),
      ...given('internal', options.internal),
      ...given('attachable', options.attachable),
      ...given('ipamDriver', options.ipamDriver),
      options: parseMap(options.opt),
      labels: parseLabels(options.label),
      ipamOptions: parseMap(options.ipamOpt),
      pools: pairPools({
        subnets: options.subnet,
        ranges: options.ipRange,
        gateways: options.gateway,
        auxiliary: parseMap(options.auxAddress),
      }),
    };
    const answer = await context.api.post<Answer<Network>>('/moor/networks', spec, changeQuery(context));
    if (context.json) writeJson(context, answer);
    else report(context, answer, (network) => `${network.id}\n`);
  },
});

/** A field only when it was said, so that the daemon's own defaults hold. */
function given<K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]: V });
}
