import { addressOf } from '../../../base/ip.ts';
import { bindingText } from '../../../model/ports-text.ts';
import type { Sandbox } from '../../../model/sandbox.ts';
import { defineCommand, flag, text } from '../../command.ts';
import type { DockerNetwork } from '../../docker/network.ts';
import { ageOf } from '../../output/age.ts';
import { formatRows, type Row } from '../../output/format.ts';
import { compareNatural } from '../../output/natural.ts';
import { writeJson } from '../../output/report.ts';
import { truncate } from '../../output/width.ts';

const HEADINGS = {
  Name: 'NAME',
  ID: 'ID',
  Network: 'NETWORK',
  Address: 'ADDRESS',
  Ports: 'PORTS',
  Command: 'COMMAND',
  Status: 'STATUS',
  Hostname: 'HOSTNAME',
  Pid: 'PID',
  Labels: 'LABELS',
  CreatedAt: 'CREATED AT',
} as const;

const TABLE = 'table {{.Name}}\t{{.ID}}\t{{.Network}}\t{{.Address}}\t{{.Command}}\t{{.Status}}\t{{.Ports}}';

/** Columns a command line gets in the table. */
const COMMAND_WIDTH = 30;

export const ls = defineCommand({
  name: 'ls',
  aliases: ['ps', 'list'],
  summary: 'List sandboxes',
  section: 'Sandboxes',
  arguments: [],
  options: {
    format: text('FORMAT', "'table', 'table TEMPLATE', 'json' or a Go template"),
    noTrunc: flag('Do not truncate the output'),
    quiet: flag('Only display sandbox ids', { short: 'q' }),
  },
  examples: [
    { command: 'moor ls', what: 'all sandboxes' },
    { command: "moor ls --format '{{.Name}} {{.Address}}'", what: 'names and addresses, for a script' },
    { command: 'moor rm -f $(moor ls -q)', what: 'ids for another command' },
  ],
  run: async (context, _, { format = '', noTrunc, quiet }) => {
    const [sandboxes, networks] = await Promise.all([
      context.api.get<readonly Sandbox[]>('/moor/sandboxes'),
      context.api.get<readonly DockerNetwork[]>('/networks'),
    ]);
    const sorted = sandboxes.toSorted((a, b) => compareNatural(a.name, b.name));
    if (context.json) {
      writeJson(context, sorted);
      return;
    }
    const names = new Map(networks.map((network) => [network.Id, network.Name]));
    const rows = sorted.map((sandbox) => sandboxRow(sandbox, { names, now: context.clock.now(), full: noTrunc === true }));
    const chosen = quiet && (format === '' || format === 'table') ? '{{.ID}}' : format;
    context.terminal.out.write(formatRows(rows, chosen, { table: TABLE, headings: HEADINGS }));
  },
});

interface RowOptions {
  /** of networks, by id */
  readonly names: ReadonlyMap<string, string>;
  /** milliseconds since the epoch */
  readonly now: number;
  readonly full: boolean;
}

export function sandboxRow(sandbox: Sandbox, { names, now, full }: RowOptions): Row {
  const { endpoints, process, labels } = sandbox;
  const command = (process?.command ?? []).join(' ');
  const addresses = endpoints.flatMap(({ ipv4, ipv6 }) =>
    [ipv4, ipv6].flatMap((address) => (address ? [addressOf(address)] : [])),
  );
  return {
    Name: sandbox.name,
    ID: full ? sandbox.id : sandbox.id.slice(0, 12),
    Network: endpoints.map(({ networkId }) => names.get(networkId) ?? networkId.slice(0, 12)).join(','),
    Address: addresses.join(','),
    Ports: (sandbox.ports ?? []).map(bindingText).join(', '),
    Command: full ? command : truncate(command, COMMAND_WIDTH),
    Status: `${statusWord(sandbox)} ${ageOf(sandbox.created, now).toLowerCase()}`,
    Hostname: sandbox.hostname,
    Pid: process ? String(process.pid) : '',
    Label: (name: unknown) => labels[String(name)] ?? '',
    Labels: Object.entries(labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(','),
    CreatedAt: sandbox.created,
  };
}

/** A sandbox that only holds a stack is idle until something is run in it. */
function statusWord({ process, netns }: Sandbox): string {
  if (process) return 'Up';
  return netns.type === 'adopted' ? 'Adopted' : 'Idle';
}
