import type { Decision, ExposureReport, PortExposure, Reach } from '../../../contracts/exposure.ts';
import { hostText, rangeText } from '../../../model/ports-text.ts';
import { defineCommand, text } from '../../command.ts';
import type { Context } from '../../context.ts';
import { formatRows } from '../../output/format.ts';
import { compareNatural } from '../../output/natural.ts';
import { warn, writeJson } from '../../output/report.ts';
import { paint } from '../../output/style.ts';
import { printable } from '../../output/width.ts';

const HEADINGS = {
  Name: 'NAME',
  ID: 'ID',
  Published: 'PUBLISHED',
  Target: 'TARGET',
  Network: 'NETWORK',
  From: 'FROM',
  Address: 'ADDRESS',
  Result: 'RESULT',
  Owner: 'DECIDED BY',
  Rule: 'RULE',
  Table: 'TABLE',
  Chain: 'CHAIN',
  Handle: 'HANDLE',
  DependsOn: 'DEPENDS ON',
  Remedy: 'REMEDY',
} as const;

const TABLE = 'table {{.Name}}\t{{.Published}}\t{{.Target}}\t{{.From}}\t{{.Result}}\t{{.Owner}}';

export const ports = defineCommand({
  name: 'ports',
  summary: 'Show who can reach published ports, and which firewall rule decides',
  description:
    'Follows a new connection to every published port through all rules of this host, also those of other tools, without sending it.\n' +
    'RESULT is open, dropped (packets vanish), rejected (refused), elsewhere (it does not lead to the sandbox), or depends (on what\n' +
    'the rules alone do not tell).',
  section: 'Sandboxes',
  arguments: [{ name: 'NAME', optional: true, many: true, completion: 'sandbox' }],
  options: { format: text('FORMAT', "'table', 'table TEMPLATE', 'json' or a Go template") },
  examples: [
    { command: 'moor ports', what: 'all that is published, and what can be done where it is blocked' },
    { command: 'moor ports web --json', what: 'one sandbox or container, for a program' },
    { command: "moor ports --format '{{.Published}} {{.From}} {{.Result}} {{.Rule}}'", what: 'with the rules themselves' },
  ],
  run: async (context, names, { format = '' }) => {
    const report = await context.api.get<ExposureReport>('/moor/exposure', { sandboxes: names.join(',') || undefined });
    if (context.json) {
      writeJson(context, report);
      return;
    }
    const sorted = report.ports.toSorted((a, b) => compareNatural(keyOf(a), keyOf(b)));
    const lines = sorted.flatMap((port) => grouped(port).map((reaches) => ({ port, reaches })));
    const plain = format === '' || format === 'table';
    const table = formatRows(lines.map(rowOf), format, { table: TABLE, headings: HEADINGS });
    context.terminal.out.write(
      plain
        ? coloured(
            context,
            table,
            lines.map(({ reaches: [first] }) => first),
          )
        : table,
    );
    if (plain) context.terminal.out.write(remedies(context, lines));
    for (const message of report.unseen) warn(context, message);
  },
});

const keyOf = ({ sandbox: { name }, binding: { hostPorts, hostAddress } }: PortExposure): string =>
  `${name} ${hostPorts.from} ${hostAddress}`;

/** Of which the same is said; at least one each. */
type Group = readonly [Reach, ...Reach[]];

function grouped({ reach }: PortExposure): readonly Group[] {
  const groups = new Map<string, Group>();
  for (const one of reach) {
    const { ports: range, reachability, direction, decision, on } = one;
    const key = JSON.stringify([range, reachability, direction, decision, on]);
    groups.set(key, [...(groups.get(key) ?? []), one] as unknown as Group);
  }
  return [...groups.values()];
}

interface Line {
  readonly port: PortExposure;
  readonly reaches: Group;
}

function rowOf({ port: { sandbox, binding, target }, reaches }: Line): Readonly<Record<keyof typeof HEADINGS, string>> {
  const [{ address, ports: range, reachability, direction, decision, on, remedy }] = reaches;
  // Gateway mode `routed`: it is asked by its own address.
  const own = target !== null && address === target.address;
  const host = own ? address : binding.hostAddress;
  return {
    Name: sandbox.name,
    ID: sandbox.id.slice(0, 12),
    Published: `${hostText(host)}:${rangeText(range)}/${binding.protocol}`,
    Target:
      target === null
        ? 'nowhere'
        : `${hostText(target.address)}:${own ? rangeText(range) : targetPorts(target.port, { binding, range })}`,
    Network: target?.network ?? '',
    From: [...new Set(reaches.map(fromText))].join(', '),
    Address: [...new Set(reaches.map(({ address }) => address))].join(', '),
    Result: direction === 'answer' ? `${reachability} (answers)` : reachability,
    Owner: decision === null ? (on === '' ? '' : `depends on ${on}`) : whoText(decision),
    Rule: decision?.rule ?? '',
    Table: decision?.table ?? '',
    Chain: decision?.chain ?? '',
    Handle: decision?.handle === null || decision === null ? '' : String(decision.handle),
    DependsOn: on,
    Remedy: remedy,
  };
}

/** Where a part of a range leads, if the whole leads to ports that begin with `port`. */
function targetPorts(
  port: number,
  { binding, range }: { readonly binding: PortExposure['binding']; readonly range: Reach['ports'] },
): string {
  const shift = port - binding.hostPorts.from;
  return rangeText({ from: range.from + shift, to: range.to + shift });
}

/** Our own rules by what they are there for. */
function whoText({ owner, table, chain, rule }: Decision): string {
  const comment = / comment "([^"]*)"$/.exec(rule)?.[1];
  if (owner === 'Moorline') return `Moorline: ${comment ?? rule}`;
  return [owner, ...(table === '' ? [] : [`${table} ${chain}`]), rule].join(': ');
}

function fromText({ from: { kind, name, sources } }: Reach): string {
  switch (kind) {
    case 'host':
      return name === '' ? 'this host' : `this host by ${name}`;
    case 'interface':
      return `${sources.join(' ')} (${name})`;
    case 'network':
      return `network ${name}`;
    case 'same':
      return `its network ${name}`;
  }
}

const COLOURS = { open: 'green', dropped: 'red', rejected: 'red', elsewhere: 'yellow', depends: 'yellow' } as const;

/** Whole lines, so that columns stay where they are. */
function coloured({ terminal: { out } }: Context, table: string, firsts: readonly Reach[]): string {
  return table
    .split('\n')
    .map((line, at) => {
      const reach = firsts[at - 1];
      return reach === undefined ? line : paint(out, COLOURS[reach.reachability], line);
    })
    .join('\n');
}

/** What can be done, once for all that it opens. */
function remedies({ terminal: { out } }: Context, lines: readonly Line[]): string {
  const found = new Map<string, Set<string>>();
  for (const { port, reaches } of lines) {
    for (const { remedy, ports: range } of reaches) {
      if (remedy === '') continue;
      const what = `${port.sandbox.name} ${rangeText(range)}/${port.binding.protocol}`;
      found.set(remedy, (found.get(remedy) ?? new Set()).add(what));
    }
  }
  if (found.size === 0) return '';
  const texts = [...found].map(([remedy, what]) => `${printable([...what].join(', '))}\n    ${printable(remedy)}\n`);
  return `\n${paint(out, 'bold', 'To open')}\n${texts.join('')}`;
}
