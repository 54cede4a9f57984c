/**
 * Two hosts on one wire and a container behind each, once for every contestant of the part `hosts`: by hand with what the kernel has, with the
 * tunnels of others (tunnels.ts), and with moord. With IPv4 on the wire and inside, or with IPv6 in both places.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import {
  enter,
  type Family,
  inner,
  innerBits,
  inside,
  namespace,
  other,
  outer,
  outerBits,
  range,
  see,
  type Side,
  SIDES,
  subnet,
} from './sides.ts';
import { type Tunnel, TUNNELS } from './tunnels.ts';

export type Kernel = 'routes' | 'kernel vxlan';
export type Others = keyof typeof TUNNELS;
export type Backend = 'host-gw' | 'vxlan' | 'udp';

export interface Pair extends AsyncDisposable {
  /** Command line that runs what follows it in the container of the first host, and of the second. */
  readonly client: readonly string[];
  readonly server: readonly string[];
  /** Of the second container. */
  readonly address: string;
  /** A process in the network namespace of each host. */
  readonly hosts: readonly [number, number];
  /** Segmentation offloads of the wire's devices: on, as a veth has them, or off on both hosts. */
  readonly offload: (state: 'on' | 'off') => void;
}

/** RFC 7348: outer IP header, UDP 8, VXLAN 8, Ethernet 14. */
const VXLAN_OVERHEAD = { 4: 50, 6: 70 } as const;

const mac = (side: Side): string => `02:00:00:00:00:0${side}`;

/** Joins the network namespaces of two processes by `eth1` on both sides. */
function wire(hosts: Readonly<Record<Side, number>>, family: Family): void {
  inside(hosts[1], `ip link add eth1 type veth peer name eth1 netns ${hosts[2]}`);
  for (const side of SIDES) {
    inside(hosts[side], `ip address add ${outer(side, family)}/${outerBits(family)} dev eth1${family === 6 ? ' nodad' : ''}`);
    inside(hosts[side], 'ip link set eth1 up');
    inside(hosts[side], `ip route add default via ${outer(other(side), family)}`);
  }
}

function offloads(pids: readonly number[], state: 'on' | 'off'): void {
  for (const pid of pids) inside(pid, `ethtool -K eth1 tso ${state} gso ${state} tx-udp-segmentation ${state}`);
}

/** A bridge on each host, as every container network has one, and a container behind it. */
async function wiredHosts({
  mtu,
  family,
  stack,
}: {
  readonly mtu: number;
  readonly family: Family;
  readonly stack: AsyncDisposableStack;
}) {
  const hosts = { 1: await namespace(stack), 2: await namespace(stack) };
  const containers = { 1: await namespace(stack), 2: await namespace(stack) };
  wire(hosts, family);
  const nodad = family === 6 ? ' nodad' : '';
  for (const side of SIDES) {
    const [host, container] = [hosts[side], containers[side]];
    const gateway = inner(side, family, 1);
    for (const line of [
      'ip link add br0 type bridge',
      `ip address add ${gateway}/${innerBits(family)} dev br0${nodad}`,
      `ip link add c0 master br0 up type veth peer name eth0 netns ${container}`,
      'ip link set br0 up',
      family === 4 ? 'sysctl -qw net.ipv4.ip_forward=1' : 'sysctl -qw net.ipv6.conf.all.forwarding=1',
    ])
      inside(host, line);
    inside(container, `ip address add ${inner(side, family, 2)}/${innerBits(family)} dev eth0${nodad}`);
    inside(container, `ip link set eth0 up mtu ${mtu}`);
    inside(container, `ip route add default via ${gateway}`);
  }
  return { hosts, containers };
}

type Wired = Awaited<ReturnType<typeof wiredHosts>>;

function pairOf({ hosts, containers }: Wired, family: Family, stack: AsyncDisposableStack): Pair {
  const owned = stack.move();
  return {
    client: enter(containers[1]),
    server: enter(containers[2]),
    address: inner(2, family, 2),
    hosts: [hosts[1], hosts[2]],
    offload: (state) => offloads([hosts[1], hosts[2]], state),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/**
 * With what the kernel has.
 * @param options.firewall as somebody writes it by hand who wants what a daemon's table gives: answers, the network's own, masquerading of what goes
 * elsewhere, and nothing else
 */
export async function pairByHand(
  how: Kernel,
  { family = 4, firewall = false }: { readonly family?: Family; readonly firewall?: boolean } = {},
): Promise<Pair> {
  await using stack = new AsyncDisposableStack();
  const mtu = how === 'routes' ? 1500 : 1500 - VXLAN_OVERHEAD[family];
  const wired = await wiredHosts({ mtu, family, stack });
  for (const side of SIDES) {
    for (const line of LINES[how](side, family)) inside(wired.hosts[side], line);
    if (firewall) protect(wired.hosts[side], family);
  }
  return pairOf(wired, family, stack);
}

function protect(host: number, family: Family): void {
  const ip = family === 4 ? 'ip' : 'ip6';
  const rules = `table inet filter {
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    iifname "br0" accept
    oifname "br0" ${ip} saddr ${range(family)} accept
  }
  chain postrouting {
    type nat hook postrouting priority srcnat;
    iifname "br0" ${ip} daddr != ${range(family)} masquerade
  }
}`;
  execFileSync('nsenter', ['-t', String(host), '--net', '--', 'nft', '-f', '-'], {
    input: rules,
    stdio: ['pipe', 'ignore', 'inherit'],
  });
}

const LINES = {
  routes: (side, family) => [`ip route add ${subnet(other(side), family)} via ${outer(other(side), family)}`],
  'kernel vxlan': (side, family) => {
    const peer = other(side);
    const [own, next] = [inner(side, family, 0), inner(peer, family, 0)];
    return [
      `ip link add vx0 address ${mac(side)} type vxlan id 1 dstport 8472 local ${outer(side, family)} nolearning`,
      `ip address add ${own}/${family === 4 ? 32 : 128} dev vx0`,
      'ip link set vx0 up',
      `ip neigh add ${next} lladdr ${mac(peer)} dev vx0`,
      `bridge fdb append ${mac(peer)} dev vx0 dst ${outer(peer, family)}`,
      `ip route add ${subnet(peer, family)} via ${next} dev vx0 onlink`,
    ];
  },
} as const satisfies Readonly<Record<Kernel, (side: Side, family: Family) => readonly string[]>>;

/** With a tunnel of somebody else. */
export async function pairBy(who: Others): Promise<Pair> {
  await using stack = new AsyncDisposableStack();
  const { mtu, open }: Tunnel = TUNNELS[who];
  const wired = await wiredHosts({ mtu, family: 4, stack });
  await open({ hosts: wired.hosts, stack });
  return pairOf(wired, 4, stack);
}

/** Two moords that know each other by a file. */
export async function pairOfDaemons(backend: Backend, family: Family = 4): Promise<Pair> {
  await using stack = new AsyncDisposableStack();
  const daemon = async (side: Side): Promise<TestDaemon> =>
    stack.use(await startDaemon({ start: false, args: ['--node-name', `h${side}`, '--cluster-advertise', 'eth1'] }));
  const hosts = { 1: await daemon(1), 2: await daemon(2) };
  wire({ 1: hosts[1].holder, 2: hosts[2].holder }, family);
  tellPeers(hosts, family, () => '');
  const containers = { 1: await joined(hosts[1], backend, family), 2: await joined(hosts[2], backend, family) };
  // What a store would tell the other one, a file is told by whoever writes it.
  if (backend === 'vxlan') tellPeers(hosts, family, (side) => `, vtep${family}: "${vtepOf(hosts[side], family)}"`);
  const owned = stack.move();
  return {
    client: containers[1].enter,
    server: containers[2].enter,
    address: containers[2].address,
    hosts: [hosts[1].holder, hosts[2].holder],
    offload: (state) => offloads([hosts[1].holder, hosts[2].holder], state),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

type Hosts = Readonly<Record<Side, TestDaemon>>;

const peersFile = (daemon: TestDaemon): string => `${daemon.directory}/peers.yaml`;

function tellPeers(hosts: Hosts, family: Family, more: (side: Side) => string): void {
  const entry = (side: Side): string =>
    `  - {name: h${side}, address: "${outer(side, family)}", subnet: "${subnet(side, family)}"${more(side)}}\n`;
  for (const side of SIDES) writeFileSync(peersFile(hosts[side]), `peers:\n${SIDES.map(entry).join('')}`);
}

function vtepOf({ holder }: TestDaemon, family: Family): string {
  const device = family === 4 ? 'moor-vx1' : 'moor6vx1';
  const [link] = JSON.parse(see(holder, `ip -j link show ${device}`)) as readonly { readonly address: string }[];
  return link?.address ?? '';
}

interface Container {
  readonly enter: readonly string[];
  readonly address: string;
}

type Addresses = { readonly [family in `ipv${Family}`]?: string };

async function joined(daemon: TestDaemon, backend: Backend, family: Family): Promise<Container> {
  await daemon.start('--peers', peersFile(daemon));
  const ask = async (path: string, body: unknown): Promise<unknown> => {
    const answer = await daemon.request('POST', path, body);
    if (answer.status !== 201) throw new Error(`POST ${path}: ${answer.status} ${answer.text}`);
    return answer.json();
  };
  await ask('/networks/create', {
    Name: 'pods',
    Driver: 'routed',
    Options: { backend },
    EnableIPv4: family === 4,
    EnableIPv6: family === 6,
    IPAM: { Config: [{ Subnet: range(family) }] },
  });
  const { value } = (await ask('/moor/sandboxes', { name: 'one', networks: [{ network: 'pods' }] })) as {
    readonly value: { readonly netns: { readonly path: string }; readonly endpoints: readonly Addresses[] };
  };
  return {
    // Twice: the pin is a mount that only the daemon's mount namespace has.
    enter: ['nsenter', '-t', String(daemon.holder), '--mount', '--', 'nsenter', `--net=${value.netns.path}`, '--'],
    address: value.endpoints[0]?.[`ipv${family}`]?.split('/')[0] ?? '',
  };
}
