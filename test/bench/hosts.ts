/**
 * Two hosts on one wire and a container behind each, once for every contestant of the part `hosts`: by hand with what the kernel has,
 * by hand with socat, and with moord.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { PEER_ENV, PROGRAMS } from './peers.ts';

const SIDES = [1, 2] as const;
type Side = (typeof SIDES)[number];

const other = (side: Side): Side => (side === 1 ? 2 : 1);
const outer = (side: Side): string => `10.9.0.${side}`;
const subnet = (side: Side): string => `10.244.${side}.0/24`;
const mac = (side: Side): string => `02:00:00:00:00:0${side}`;

export type ByHand = 'routes' | 'kernel vxlan' | 'socat';
export type Backend = 'host-gw' | 'vxlan' | 'udp';

export interface Pair extends AsyncDisposable {
  /** Command line that runs what follows it in the container of the first host, and of the second. */
  readonly client: readonly string[];
  readonly server: readonly string[];
  /** Of the second container. */
  readonly address: string;
  /** Segmentation offloads of the wire's devices: on, as a veth has them, or off on both hosts. */
  readonly offload: (state: 'on' | 'off') => void;
}

/** Bytes that the container's MTU is less than the wire's 1500: VXLAN 50 (RFC 7348 over IPv4), IPv4 and UDP headers 28. */
const OVERHEAD = { routes: 0, 'kernel vxlan': 50, socat: 28 } as const satisfies Readonly<Record<ByHand, number>>;

const SOCAT_PORT = 9000;

const enter = (pid: number): readonly string[] => ['nsenter', '-t', String(pid), '--net', '--'];

function inside(pid: number, line: string): void {
  const [command = '', ...args] = [...enter(pid), ...line.split(' ')];
  execFileSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** Joins the network namespaces of two processes by `eth1` on both sides. */
function wire(first: number, second: number): void {
  inside(first, `ip link add eth1 type veth peer name eth1 netns ${second}`);
  for (const side of SIDES) {
    const pid = side === 1 ? first : second;
    inside(pid, `ip address add ${outer(side)}/24 dev eth1`);
    inside(pid, 'ip link set eth1 up');
    inside(pid, `ip route add default via ${outer(other(side))}`);
  }
}

function offloads(pids: readonly number[], state: 'on' | 'off'): void {
  for (const pid of pids) inside(pid, `ethtool -K eth1 tso ${state} gso ${state} tx-udp-segmentation ${state}`);
}

/** A network namespace, with a process in it. */
async function namespace(stack: AsyncDisposableStack): Promise<number> {
  const child = spawn('unshare', ['--net', 'sh', '-c', 'ip link set lo up; echo ready; exec sleep infinity'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  stack.defer(async () => {
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  });
  return child.pid ?? 0;
}

export async function pairByHand(how: ByHand): Promise<Pair> {
  await using stack = new AsyncDisposableStack();
  const hosts = { 1: await namespace(stack), 2: await namespace(stack) };
  const containers = { 1: await namespace(stack), 2: await namespace(stack) };
  wire(hosts[1], hosts[2]);
  for (const side of SIDES) {
    const [host, container] = [hosts[side], containers[side]];
    const gateway = `10.244.${side}.1`;
    // A bridge, as every container network has one.
    for (const line of [
      'ip link add br0 type bridge',
      `ip address add ${gateway}/24 dev br0`,
      `ip link add c0 master br0 up type veth peer name eth0 netns ${container}`,
      'ip link set br0 up',
      'sysctl -qw net.ipv4.ip_forward=1',
    ])
      inside(host, line);
    inside(container, `ip address add 10.244.${side}.2/24 dev eth0`);
    inside(container, `ip link set eth0 up mtu ${1500 - OVERHEAD[how]}`);
    inside(container, `ip route add default via ${gateway}`);
    await WAYS[how](host, side, stack);
  }
  const owned = stack.move();
  return {
    client: enter(containers[1]),
    server: enter(containers[2]),
    address: '10.244.2.2',
    offload: (state) => offloads([hosts[1], hosts[2]], state),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

type Way = (host: number, side: Side, stack: AsyncDisposableStack) => Promise<void>;

const WAYS: Readonly<Record<ByHand, Way>> = {
  routes: async (host, side) => inside(host, `ip route add ${subnet(other(side))} via ${outer(other(side))}`),
  'kernel vxlan': async (host, side) => {
    const peer = other(side);
    for (const line of [
      `ip link add vx0 address ${mac(side)} type vxlan id 1 dstport 8472 local ${outer(side)} nolearning`,
      `ip address add 10.244.${side}.0/32 dev vx0`,
      'ip link set vx0 up',
      `ip neigh add 10.244.${peer}.0 lladdr ${mac(peer)} dev vx0`,
      `bridge fdb append ${mac(peer)} dev vx0 dst ${outer(peer)}`,
      `ip route add ${subnet(peer)} via 10.244.${peer}.0 dev vx0 onlink`,
    ])
      inside(host, line);
  },
  socat: async (host, side, stack) => {
    const peer = other(side);
    const ends = [
      `UDP4-DATAGRAM:${outer(peer)}:${SOCAT_PORT},bind=${outer(side)}:${SOCAT_PORT}`,
      `TUN:10.245.0.${side}/32,tun-name=tun0,iff-no-pi,iff-up`,
    ];
    const child = spawn('nsenter', ['-t', String(host), '--net', '--', PROGRAMS.socat, ...ends], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: PEER_ENV,
    });
    stack.defer(() => void child.kill('SIGKILL'));
    const look = ['-t', String(host), '--net', '--', 'ip', 'link', 'show', 'tun0'];
    await settled(() => void execFileSync('nsenter', look, { stdio: 'ignore' }));
    inside(host, `ip link set tun0 mtu ${1500 - OVERHEAD.socat}`);
    inside(host, `ip route add ${subnet(peer)} dev tun0`);
  },
};

/** Waits until something can be done that another process makes possible. @throws what it throws after 10 s */
async function settled(work: () => void): Promise<void> {
  for (const end = Date.now() + 10_000; ; await sleep(100)) {
    try {
      work();
      return;
    } catch (error) {
      if (Date.now() > end) throw error;
    }
  }
}

/** Two moords that know each other by a file. */
export async function pairOfDaemons(backend: Backend): Promise<Pair> {
  await using stack = new AsyncDisposableStack();
  const daemon = async (side: Side): Promise<TestDaemon> =>
    stack.use(await startDaemon({ start: false, args: ['--node-name', `h${side}`, '--cluster-advertise', 'eth1'] }));
  const hosts = { 1: await daemon(1), 2: await daemon(2) };
  wire(hosts[1].holder, hosts[2].holder);
  tellPeers(hosts, () => '');
  const containers = { 1: await joined(hosts[1], backend), 2: await joined(hosts[2], backend) };
  // What a store would tell the other one, a file is told by whoever writes it.
  if (backend === 'vxlan') tellPeers(hosts, (side) => `, vtep4: "${vtepOf(hosts[side])}"`);
  const owned = stack.move();
  return {
    client: containers[1].enter,
    server: containers[2].enter,
    address: containers[2].address,
    offload: (state) => offloads([hosts[1].holder, hosts[2].holder], state),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

type Hosts = Readonly<Record<Side, TestDaemon>>;

const peersFile = (daemon: TestDaemon): string => `${daemon.directory}/peers.yaml`;

function tellPeers(hosts: Hosts, more: (side: Side) => string): void {
  const entry = (side: Side): string => `  - {name: h${side}, address: ${outer(side)}, subnet: ${subnet(side)}${more(side)}}\n`;
  for (const side of SIDES) writeFileSync(peersFile(hosts[side]), `peers:\n${SIDES.map(entry).join('')}`);
}

function vtepOf({ holder }: TestDaemon): string {
  const line = ['-t', String(holder), '--net', '--', 'ip', '-j', 'link', 'show', 'moor-vx1'];
  const [link] = JSON.parse(execFileSync('nsenter', line, { encoding: 'utf8' })) as readonly { readonly address: string }[];
  return link?.address ?? '';
}

interface Container {
  readonly enter: readonly string[];
  readonly address: string;
}

async function joined(daemon: TestDaemon, backend: Backend): Promise<Container> {
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
    IPAM: { Config: [{ Subnet: '10.244.0.0/16' }] },
  });
  const { value } = (await ask('/moor/sandboxes', { name: 'one', networks: [{ network: 'pods' }] })) as {
    readonly value: { readonly netns: { readonly path: string }; readonly endpoints: readonly { readonly ipv4: string }[] };
  };
  return {
    // Twice: the pin is a mount that only the daemon's mount namespace has.
    enter: ['nsenter', '-t', String(daemon.holder), '--mount', '--', 'nsenter', `--net=${value.netns.path}`, '--'],
    address: value.endpoints[0]?.ipv4.split('/')[0] ?? '',
  };
}
