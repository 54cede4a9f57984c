import type { ClusterStatus } from '../../../contracts/cluster.ts';
import { defineCommand, text } from '../../command.ts';
import type { PathReport } from '../../../model/node.ts';
import { formatRows } from '../../output/format.ts';
import { pathWords, worst } from '../../output/path.ts';
import { writeJson } from '../../output/report.ts';
import { printable } from '../../output/width.ts';

/** An entry of `GET /moor/nodes`. */
type NodeEntry = ClusterStatus['nodes'][number] & {
  /** `ready`; `silent`: a host of a file that does not answer; `unknown`: it was there when it was last heard of, or was not asked yet. */
  readonly state: string;
  /** What is known of the ways to its addresses. */
  readonly paths: readonly PathReport[];
  readonly self: boolean;
};

const HEADINGS = {
  Name: 'NAME',
  Addresses: 'ADDRESSES',
  MTU: 'MTU',
  Path: 'PATH',
  Version: 'VERSION',
  State: 'STATE',
  Self: 'SELF',
  Started: 'STARTED',
  Features: 'FEATURES',
} as const;

const TABLE = 'table {{.Name}}\t{{.Addresses}}\t{{.MTU}}\t{{.Path}}\t{{.Version}}\t{{.State}}';

export const ls = defineCommand({
  name: 'ls',
  aliases: ['list'],
  summary: 'List the hosts of the cluster',
  arguments: [],
  options: { format: text('FORMAT', "'table', 'table TEMPLATE', 'json' or a Go template") },
  examples: [
    { command: 'moor node ls', what: 'who is in the cluster, and how it is reached' },
    { command: "moor node ls --format '{{.Name}} {{.Addresses}}'", what: 'for a script' },
  ],
  run: async (context, _, { format = '' }) => {
    const nodes = await context.api.get<readonly NodeEntry[]>('/moor/nodes');
    if (context.json) {
      writeJson(context, nodes);
      return;
    }
    const rows = nodes.map(({ name, addresses, mtu, paths, version, state, self, started, features }) => ({
      Name: self && format === '' ? `${name} *` : name,
      Addresses: addresses.join(' '),
      MTU: mtu === 0 ? '' : String(mtu),
      Path: pathWords(worst(paths)),
      Version: printable(version),
      State: state,
      Self: String(self),
      Started: printable(started),
      Features: printable(features.join(' ')),
    }));
    context.terminal.out.write(formatRows(rows, format, { table: TABLE, headings: HEADINGS }));
  },
});
