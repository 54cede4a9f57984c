import type { PortBinding } from '../../../model/ports.ts';
import type { Sandbox } from '../../../model/sandbox.ts';
import { hostText, rangeText } from '../../../model/ports-text.ts';
import { MoorError } from '../../../base/errors.ts';
import { type Api, pathOf } from '../../api.ts';
import { defineCommand, text } from '../../command.ts';
import { formatRows } from '../../output/format.ts';
import { compareNatural } from '../../output/natural.ts';
import { writeJson } from '../../output/report.ts';

/** An entry of `GET /moor/ports`. */
export interface PortEntry extends PortBinding {
  readonly sandbox: { readonly id: string; readonly name: string };
}

const HEADINGS = {
  Name: 'NAME',
  ID: 'ID',
  Published: 'PUBLISHED',
  Target: 'TARGET',
  Host: 'HOST',
  HostPort: 'HOST PORT',
  Port: 'PORT',
  Protocol: 'PROTOCOL',
} as const;

const TABLE = 'table {{.Name}}\t{{.Published}}\t{{.Target}}';

export const ls = defineCommand({
  name: 'ls',
  aliases: ['list'],
  summary: 'List published ports',
  arguments: [{ name: 'SANDBOX', optional: true, completion: 'sandbox' }],
  options: { format: text('FORMAT', "'table', 'table TEMPLATE', 'json' or a Go template") },
  examples: [
    { command: 'moor port ls', what: 'every published port of this daemon' },
    { command: 'moor port ls web', what: 'those of one sandbox or container' },
    { command: "moor port ls --format '{{.HostPort}} {{.Name}}'", what: 'for a script' },
  ],
  run: async (context, [sandbox], { format = '' }) => {
    const id = sandbox === undefined ? null : await idOf(context.api, sandbox);
    const all = await context.api.get<readonly PortEntry[]>('/moor/ports');
    const wanted = all.filter((one) => id === null || one.sandbox.id === id);
    const key = ({ sandbox: { name }, hostPorts, hostAddress }: PortEntry): string => `${name} ${hostPorts.from} ${hostAddress}`;
    const sorted = wanted.toSorted((a, b) => compareNatural(key(a), key(b)));
    if (context.json) {
      writeJson(context, sorted);
      return;
    }
    const rows = sorted.map(({ sandbox: owner, protocol, hostAddress, hostPorts, containerPorts, routed }) => ({
      Name: owner.name,
      ID: owner.id.slice(0, 12),
      Published: routed === true ? 'routed' : `${hostText(hostAddress)}:${rangeText(hostPorts)}`,
      Target: `${rangeText(containerPorts)}/${protocol}`,
      Host: hostText(hostAddress),
      HostPort: routed === true ? '' : rangeText(hostPorts),
      Port: rangeText(containerPorts),
      Protocol: protocol,
    }));
    context.terminal.out.write(formatRows(rows, format, { table: TABLE, headings: HEADINGS }));
  },
});

/** A container that does not run has no sandbox: it is there, and publishes nothing. @throws not-found */
async function idOf({ get }: Api, name: string): Promise<string> {
  try {
    return (await get<Sandbox>(pathOf('/moor/sandboxes', name))).id;
  } catch (error) {
    if (!(error instanceof MoorError) || error.kind !== 'not-found') throw error;
    return (await get<{ readonly Id: string }>(pathOf('/containers', name, 'json'))).Id;
  }
}
