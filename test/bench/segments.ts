/**
 * Two hosts with an overlay network of moord's and, on the same hosts and the same wire, one made by hand: namespaces, bridges and VXLAN devices
 * alike, so that what is compared is how they are set up and nothing else.
 */
import { execFileSync } from 'node:child_process';
import { startEtcd, type EtcdServer } from '../support/etcd.ts';
import { createHosts, createOverlay, type Host, outer, sandboxOn, STORE_FLAGS, until } from '../hosts/lab.ts';
import { inside, namespace, other, type Side, SIDES } from './sides.ts';

export interface Ends {
  /** Command line that runs what follows it in the container of each host. */
  readonly client: readonly string[];
  readonly server: readonly string[];
  /** Of the second container. */
  readonly address: string;
}

export interface Segments extends AsyncDisposable {
  readonly hosts: Readonly<Record<Side, Host>>;
  readonly store: EtcdServer;
  readonly ours: Ends;
  readonly byHand: Ends;
}

export const NETWORK = 'ov_net1';
const STORE = '10.9.0.254:2379';

export async function startSegments(): Promise<Segments> {
  await using stack = new AsyncDisposableStack();
  const world = stack.use(await createHosts(2, () => STORE_FLAGS));
  const store = stack.use(await startEtcd(2379, { flags: ['--listen-client-urls', `http://127.0.0.1:2379,http://${STORE}`] }));
  const [h1, h2] = world.hosts;
  if (h1 === undefined || h2 === undefined) throw new Error('there are no hosts');
  const hosts = { 1: h1, 2: h2 } as const;
  await Promise.all(world.hosts.map(({ daemon }) => daemon.start()));
  await createOverlay(h1, NETWORK, { IPAM: { Config: [{ Subnet: '10.0.0.0/16' }] } });
  await until('the network is on both', async () => (await h2.daemon.request('GET', `/networks/${NETWORK}`)).status === 200);
  const [s1, s2] = [await sandboxOn(h1, NETWORK), await sandboxOn(h2, NETWORK)];
  const into = ({ daemon }: Host, netns: string): readonly string[] => [
    ...['nsenter', '-t', String(daemon.holder), '--mount', '--', 'nsenter', `--net=${netns}`, '--'],
  ];
  const ours = { client: into(h1, s1.netns), server: into(h2, s2.netns), address: s2.address };
  const byHand = await handMade(hosts, stack);
  const owned = stack.move();
  return { hosts, store, ours, byHand, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

const mac = (side: Side): string => `02:00:00:00:00:0${side}`;
const address = (side: Side): string => `10.77.0.${side}`;

/** With ip(8) and bridge(8), as Docker lays it out: the device is born on the host and moved into the network's namespace. */
async function handMade(hosts: Segments['hosts'], stack: AsyncDisposableStack): Promise<Ends> {
  const containers = { 1: 0, 2: 0 };
  for (const side of SIDES) {
    const host = hosts[side].daemon.holder;
    const [segment, container] = [await namespace(stack), await namespace(stack)];
    containers[side] = container;
    const peer = other(side);
    inside(host, `ip link add vx1 mtu 1450 type vxlan id 1 dstport 4789 local ${outer(side)} nolearning proxy`);
    inside(host, `ip link set vx1 netns ${segment}`);
    for (const line of [
      'ip link add br0 type bridge',
      'ip link set br0 up',
      'ip link set vx1 master br0 up',
      `ip link add c0 mtu 1450 master br0 up type veth peer name eth0 mtu 1450 address ${mac(side)} netns ${container}`,
      `ip neigh add ${address(peer)} lladdr ${mac(peer)} dev vx1`,
      `bridge fdb add ${mac(peer)} dev vx1 dst ${outer(peer)}`,
    ])
      inside(segment, line);
    inside(container, `ip address add ${address(side)}/24 dev eth0`);
    inside(container, 'ip link set eth0 up');
  }
  const enter = (pid: number): readonly string[] => ['nsenter', '-t', String(pid), '--net', '--'];
  return { client: enter(containers[1]), server: enter(containers[2]), address: address(2) };
}

/** Commands in the namespace that a host has for the network. */
export function inSegment({ daemon }: Host): readonly string[] {
  const enter = ['nsenter', '-t', String(daemon.holder), '--mount', '--'];
  const line = [...enter, 'sh', '-c', `ls -d ${daemon.directory}/exec/netns/1-* | head -1`];
  const pin = execFileSync(line[0] ?? '', line.slice(1), { encoding: 'utf8' }).trim();
  return [...enter, 'nsenter', `--net=${pin}`, '--'];
}
