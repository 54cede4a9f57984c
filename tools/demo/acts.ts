/** The acts of `make demo-hosts`: networks that span the hosts, each in another way, as data; and what is played with each of them. */
import { resolve } from 'node:path';
import { fallAndReturn } from './death.ts';
import { drawSegment } from './drawing.ts';
import { pictureOf } from './look.ts';
import { addressOf, type Player, type Scene, settled } from './scene.ts';
import { heading } from './stage.ts';
import { measure, type Throughput } from './throughput.ts';

const NETWORK = 'pods';
const RANGE = '10.244.0.0/16';
const PAGE = resolve(import.meta.dirname, 'page.ts');
/** Ids and names of what was asked for are no news. */
const SILENT = { last: 0 } as const;

interface Act {
  readonly title: string;
  /** In the table. */
  readonly name: string;
  /** Options of `moor network create`. */
  readonly create: readonly string[];
  /** How addresses are, before everybody reaches everybody. */
  readonly addresses: string;
  /** What shows, on a host, how packets get to the others. */
  readonly look: readonly Look[];
  /** Device that leads to the others, and what it puts around packets, for the drawing. */
  readonly device?: { readonly name: string; readonly carries: string };
  /** What else is shown while the network is there. */
  readonly more?: (scene: Scene) => Promise<void>;
}

interface Look {
  readonly line: string;
  /** In the namespace that an overlay network has on each host. */
  readonly segment?: true;
  readonly only?: RegExp;
}

const ROUTES = `ip -4 route show root ${RANGE}`;

const routed = (backend: string): Pick<Act, 'name' | 'create' | 'addresses'> => ({
  name: backend,
  create: ['-d', 'routed', '--subnet', RANGE, '-o', `backend=${backend}`],
  addresses: 'Each host has a subnet of its own',
});

export const ACTS: readonly Act[] = [
  {
    ...routed('host-gw'),
    title: 'host-gw: a route by way of each peer, and nothing around the packets',
    look: [{ line: ROUTES }],
  },
  {
    ...routed('vxlan'),
    title: 'vxlan: one device, and for each peer a route, a neighbour and a forwarding entry',
    look: [{ line: ROUTES }, { line: 'ip -4 neigh show dev moor-vx1' }, { line: 'bridge fdb show dev moor-vx1' }],
    device: { name: 'moor-vx1', carries: 'VXLAN' },
    more: (scene) => fallAndReturn(scene, ROUTES),
  },
  {
    ...routed('udp'),
    title: 'udp: a TUN device, and a thread of the daemon that puts packets into UDP',
    look: [{ line: ROUTES }],
    device: { name: 'moor-udp0', carries: 'UDP' },
  },
  {
    name: 'overlay',
    title: 'overlay: one switch over all hosts, with a neighbour and a forwarding entry for each sandbox elsewhere',
    create: ['-d', 'overlay'],
    addresses: 'There is one subnet',
    look: [
      { line: 'ip -4 neigh show dev vxlan0', segment: true },
      { line: 'bridge fdb show dev vxlan0', segment: true, only: /dst/ },
    ],
    device: { name: 'vxlan0', carries: 'VXLAN' },
  },
];

export async function play(act: Act, scene: Scene): Promise<Throughput> {
  const { players, signal } = scene;
  const [h1, h2] = players;
  heading(act.title);
  await h1.stage.moor(['network', 'create', ...act.create, NETWORK], SILENT);
  for (const { name, daemon } of players) {
    const there = async (): Promise<boolean> => (await daemon.request('GET', `/networks/${NETWORK}`)).status === 200;
    await settled(`${name} has the network`, there, { signal });
  }
  for (const { name, stage, sandbox } of players) {
    const page = ['node', PAGE, sandbox, 'on', name];
    await stage.moor(['run', '-d', '--name', sandbox, '--network', NETWORK, '--', ...page], SILENT);
  }
  heading(`${act.addresses}, and all sandboxes reach each other, by address and by name`);
  await reachEachOther(scene);

  heading('What each kernel got');
  for (const player of players) {
    for (const { line, segment, only } of act.look) {
      const enter = segment ? ['nsenter', `--net=${await segmentOf(player)}`] : [];
      await player.stage.host([...enter, ...line.split(' ')], only && { only });
    }
  }
  console.log();
  for (const line of await picture(act, scene)) console.log(`  ${line}`);
  await act.more?.(scene);

  heading(`What passes between ${h1.sandbox} and ${h2.sandbox}`);
  const measured = await measure(scene, act.name);

  heading('The network away again');
  for (const { stage, sandbox } of players) await stage.moor(['rm', '-f', sandbox], SILENT);
  // That the others have no endpoints any more is told by way of the store.
  const unused = async (): Promise<boolean> => (await h1.daemon.moor('network', 'rm', '--dry-run', NETWORK)).code === 0;
  await settled('no host has endpoints', unused, { signal });
  await h1.stage.moor(['network', 'rm', NETWORK], SILENT);
  return measured;
}

/** Pings and pages, around the three of them. */
async function reachEachOther({ players, signal }: Scene): Promise<void> {
  const [h1, h2, h3] = players;
  const pairs: readonly (readonly [from: Player, to: Player])[] = [
    [h1, h2],
    [h2, h3],
    [h3, h1],
  ];
  for (const [from, to] of pairs) {
    const address = await addressOf(to);
    const ping = ['exec', from.sandbox, '--', 'ping', '-n', '-c', '1', '-W', '1', address];
    await settled(`${from.sandbox} reaches ${to.sandbox}`, async () => (await from.daemon.moor(...ping)).code === 0, { signal });
    await from.stage.moor(ping, { only: /bytes from/ });
  }
  for (const [from, to] of pairs) {
    // The page tells the address it was asked from: the sandbox's own, not one of a host.
    const asked = (await addressOf(from)).replaceAll('.', String.raw`\.`);
    const says = new RegExp(`^hello ${asked}, this is ${to.sandbox} on ${to.name}$`, 'm');
    const fetch = ['exec', from.sandbox, '--', 'curl', '-s', `http://${to.sandbox}/`];
    await settled(`${from.sandbox} finds ${to.sandbox}`, async () => (await from.daemon.moor(...fetch)).code === 0, { signal });
    await from.stage.moor(fetch, { says });
  }
}

/** Where an overlay network's namespace is pinned on a host; '' when there is none. */
async function segmentOf({ daemon: { directory, inside } }: Player): Promise<string> {
  return (await inside('sh', '-c', `ls -d ${directory}/exec/netns/1-* 2>/dev/null`)).stdout.trim();
}

/** The three hosts on their segment, with what the kernels say. */
async function picture({ device }: Act, { players }: Scene): Promise<readonly string[]> {
  const { stdout } = await players[0].daemon.moor('node', 'ls', '--format', '{{.Name}} {{.Addresses}}');
  const nodes = stdout
    .trim()
    .split('\n')
    .map((line) => line.split(' ', 2));
  const hosts = players.map(async (player) => {
    const others = nodes.flatMap(([name, address = '']) => (name === player.name ? [] : [address]));
    const leadsTo = new Map(device === undefined ? [] : [[device.name, `${device.carries} to ${others.join(', ')}`]]);
    return pictureOf(player.daemon, { title: player.name, leadsTo, segment: await segmentOf(player), network: NETWORK });
  });
  return drawSegment('10.9.0.0/24, and an etcd at 10.9.0.254', await Promise.all(hosts));
}
