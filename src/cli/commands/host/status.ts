import type { ClusterView, EngineStatus } from '../../../contracts/engine.ts';
import type { FastPathStatus } from '../../../contracts/tunnel.ts';
import { defineCommand } from '../../command.ts';
import type { PathReport } from '../../../model/node.ts';
import type { Context } from '../../context.ts';
import type { DockerNetwork } from '../../docker/network.ts';
import { ageOf } from '../../output/age.ts';
import { pathAdvice, pathTo, pathWords } from '../../output/path.ts';
import { writeJson } from '../../output/report.ts';
import { paint } from '../../output/style.ts';
import { renderTable } from '../../output/table.ts';
import { printable } from '../../output/width.ts';

/** `GET /moor/status`; numbers of addresses are beyond what a JSON number holds, so they come as text. */
interface Status extends Omit<EngineStatus, 'pools'> {
  readonly pools: readonly { readonly subnet: string; readonly owner: string; readonly used: string; readonly size: string }[];
  readonly version: string;
  readonly pid: number;
  readonly dataRoot: string;
  readonly execRoot: string;
  readonly instance: string;
}

export const status = defineCommand({
  name: 'status',
  summary: 'Show how the daemon and its networks are',
  section: 'Host',
  arguments: [],
  options: {},
  examples: [
    { command: 'moor status', what: 'address pools, the cluster, kernel features, warnings, repairs' },
    { command: 'moor status --json', what: 'all of it for a program' },
  ],
  run: async (context) => {
    const [answer, networks] = await Promise.all([
      context.api.get<Status>('/moor/status'),
      context.api.get<readonly DockerNetwork[]>('/networks'),
    ]);
    if (context.json) writeJson(context, answer);
    else context.terminal.out.write(render(context, answer, new Map(networks.map(({ Id, Name }) => [Id, Name]))));
  },
});

const count = (number: number, noun: string): string => `${number} ${noun}${number === 1 ? '' : 's'}`;

const sandboxes = (number: number): string => `${number} sandbox${number === 1 ? '' : 'es'}`;

function namesLine({ clients, records, queries, forwarded, dropped }: Status['names']): string {
  const asked = `${queries} ${queries === 1 ? 'query' : 'queries'}, ${forwarded} passed on, ${dropped} dropped`;
  return `names of ${count(records, 'endpoint')} for ${sandboxes(clients)}: ${asked}`;
}

const amount = (bytes: number): string => (bytes < 10_000 ? `${bytes} B` : `${Math.round(bytes / 1000)} kB`);

const fastPathLine = ({ why, sentPackets, receivedPackets }: FastPathStatus): string =>
  why === ''
    ? `past the tunnel's process, in the kernel: ${sentPackets} packets sent, ${receivedPackets} received`
    : `all packets go through the tunnel's process: ${printable(why)}`;

type Section = readonly [heading: string, body: string];

/** The store, and who is reached in each network that spans hosts. */
function clusterSections({ self, nodes, store, paths, checksums, networks }: ClusterView): Section[] {
  const state = store.error === '' ? 'reached' : printable(store.error);
  const lines = [
    `this host is ${self.name} (${self.addresses.join(', ')}), of ${count(nodes.length, 'host')}`,
    `${store.url}: ${state}`,
    ...(checksums === 'left'
      ? []
      : [
          'checksums inside of VXLAN are made here: they arrived wrong when they were left to a network card (option checksum-offload)',
        ]),
  ];
  return [
    ['Cluster', lines.map((line) => `${line}\n`).join('')],
    ...networks.map(({ name, backend, subnets, mtu, peers, tunnel }): Section => {
      const counted = tunnel !== undefined;
      const pathOf = ({ address, addresses = [address] }: (typeof peers)[number]): PathReport | null => pathTo(paths, addresses);
      const rows = peers.map((peer) => {
        const { node, address, subnets: behind, trouble, counts } = peer;
        return [
          node,
          address,
          behind.join(' '),
          ...(counted
            ? [
                counts === undefined ? '' : `${counts.sentPackets} (${amount(counts.sentBytes)})`,
                counts === undefined ? '' : `${counts.receivedPackets} (${amount(counts.receivedBytes)})`,
                counts === undefined ? '' : String(counts.spoofed),
              ]
            : []),
          pathWords(pathOf(peer), mtu ?? undefined),
          printable(trouble) || 'reached',
        ];
      });
      const headings = ['PEER', 'ADDRESS', 'SUBNETS', ...(counted ? ['SENT', 'RECEIVED', 'SPOOFED'] : []), 'PATH', 'STATE'];
      const drops = Object.entries(tunnel?.drops ?? {}).filter(([, number]) => number > 0);
      const notes = [
        ...peers.map((peer) => pathAdvice(peer.node, pathOf(peer))).filter((line) => line !== ''),
        ...(tunnel === undefined || tunnel.error === '' ? [] : [`tunnel: ${printable(tunnel.error)}`]),
        ...(tunnel?.fastPath === undefined ? [] : [fastPathLine(tunnel.fastPath)]),
        ...(drops.length === 0 ? [] : [`dropped: ${drops.map(([reason, number]) => `${number} ${reason}`).join(', ')}`]),
      ];
      const what = [backend, `here ${subnets.join(' ')}`, ...(mtu === null ? [] : [`MTU ${mtu}`])].filter((word) => word !== '');
      return [
        `Network ${name} (${what.join(', ')})`,
        renderTable([headings, ...rows]) + notes.map((line) => `${line}\n`).join(''),
      ];
    }),
  ];
}

function render({ terminal: { out }, clock }: Context, answer: Status, names: ReadonlyMap<string, string>): string {
  const { facts } = answer;
  const uplink = facts.uplink === '' ? 'no uplink' : `uplink ${facts.uplink} (MTU ${facts.uplinkMtu})`;
  const sections: (readonly [heading: string, body: string])[] = [
    [
      `Moorline ${answer.version}`,
      [
        `pid ${answer.pid}, state in ${answer.dataRoot} and ${answer.execRoot}${answer.instance === '' ? '' : `, instance ${answer.instance}`}`,
        `${facts.hostname}, ${uplink}`,
        `${count(answer.networks, 'network')}, ${sandboxes(answer.sandboxes)}, ${count(answer.endpoints, 'endpoint')}`,
        namesLine(answer.names),
      ]
        .map((line) => `${line}\n`)
        .join(''),
    ],
  ];
  if (answer.pools.length > 0) {
    const rows = answer.pools.map(({ subnet, owner, used, size }) => [
      subnet,
      names.get(owner) ?? owner.slice(0, 12),
      used,
      size,
    ]);
    sections.push(['Address pools', renderTable([['SUBNET', 'NETWORK', 'USED', 'OF'], ...rows])]);
  }
  if (answer.cluster !== undefined) sections.push(...clusterSections(answer.cluster));
  if (answer.features.length > 0) {
    const rows = answer.features.map(({ name, state, why }) => [name, state, printable(why)]);
    sections.push(['Kernel features', renderTable([['FEATURE', 'STATE', 'WHY'], ...rows])]);
  }
  if (answer.warnings.length > 0)
    sections.push([paint(out, 'yellow', 'Warnings'), answer.warnings.map((line) => `${printable(line)}\n`).join('')]);
  if (answer.repairs.length > 0) {
    const rows = answer.repairs.map(({ time, what, why }) => [
      `${ageOf(new Date(time).toISOString(), clock.now())} ago`,
      printable(what),
      printable(why),
    ]);
    sections.push(['Repairs since the start', renderTable([['WHEN', 'WHAT', 'WHY'], ...rows])]);
  }
  return sections.map(([heading, body]) => `${paint(out, 'bold', heading)}\n${body}`).join('\n');
}
