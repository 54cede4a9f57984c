/**
 * The CNI bridge plugin and netavark as contestants. Neither has a daemon: their engine starts a program for each attachment, and so
 * do we, in the namespaces of the whole run.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { type Attacher, gatewayOf, type Network, stackName } from './contestant.ts';
import { CNI_PATH, PROGRAMS, timedRun } from './peers.ts';
import { numbers } from './rounds.ts';

/** The second interface of a stack, as in a container that has one network already. */
const INTERFACE = 'eth1';

const path = (prefix: string, stack: number): string => `/run/netns/${prefix}${stack}`;
const idOf = (text: string): string => createHash('sha256').update(text).digest('hex');

function namespaces(prefix: string): Pick<Attacher, 'stacks' | 'enter'> {
  let made = 0;
  return {
    stacks: async (n) => {
      for (const k of numbers(made + 1, n)) execFileSync('ip', ['netns', 'add', `${prefix}${k}`]);
      made = Math.max(made, n);
    },
    enter: async (k) => ['nsenter', `--net=${path(prefix, k)}`, '--'],
  };
}

/** @param directory for the leases of host-local */
export function cniBridge(directory: string): Attacher {
  const run = (command: 'ADD' | 'DEL', network: Network, stack: number): Promise<number> =>
    timedRun(PROGRAMS.cniBridge, [], {
      input: JSON.stringify({
        cniVersion: '1.0.0',
        name: network.name,
        type: 'bridge',
        bridge: `c-${network.name}`,
        isGateway: true,
        ipMasq: true, // what the daemons do as well
        ipam: { type: 'host-local', dataDir: directory, ranges: [[{ subnet: network.subnet }]] },
      }),
      env: {
        CNI_COMMAND: command,
        CNI_CONTAINERID: stackName(stack),
        CNI_NETNS: path('cni', stack),
        CNI_IFNAME: INTERFACE,
        CNI_PATH,
      },
    });
  return {
    ...namespaces('cni'),
    network: async () => {}, // made by the first ADD
    gateway: gatewayOf,
    connect: (network, stack) => run('ADD', network, stack),
    disconnect: (network, stack) => run('DEL', network, stack),
  };
}

/** The same network elsewhere: both plugins' bridges are in one namespace. */
const apart = ({ name, subnet }: Network): Network => ({
  name,
  subnet: subnet.replace(/^10\.(\d+)/, (_, second: string) => `10.${Number(second) + 100}`),
});

/** Addresses are chosen by the caller, as Podman does it. @param directory netavark's state folder */
export function netavark(directory: string): Attacher {
  const run = (command: 'setup' | 'teardown', asked: Network, stack: number): Promise<number> => {
    const network = apart(asked);
    const id = idOf(network.name);
    const address = network.subnet.replace(/0\.0\/\d+$/, `${1 + (stack >> 8)}.${stack & 255}`);
    return timedRun(PROGRAMS.netavark, ['--config', directory, command, path('nv', stack)], {
      input: JSON.stringify({
        container_id: idOf(stackName(stack)),
        container_name: stackName(stack),
        networks: { [network.name]: { static_ips: [address], interface_name: INTERFACE } },
        network_info: {
          [network.name]: {
            name: network.name,
            id,
            driver: 'bridge',
            network_interface: `n-${network.name}`,
            subnets: [{ subnet: network.subnet, gateway: gatewayOf(network) }],
            ipv6_enabled: false,
            internal: false,
            dns_enabled: false,
            ipam_options: { driver: 'host-local' },
          },
        },
      }),
    });
  };
  return {
    ...namespaces('nv'),
    network: async () => {}, // made by the first setup
    gateway: (network) => gatewayOf(apart(network)),
    connect: (network, stack) => run('setup', network, stack),
    disconnect: (network, stack) => run('teardown', network, stack),
  };
}
