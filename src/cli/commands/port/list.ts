import type { PortBinding } from '../../../model/ports.ts';
import { hostText, rangeText } from '../../../model/ports-text.ts';
import { MoorError } from '../../../base/errors.ts';
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
    const all = await context.api.get<readonly PortEntry[]>('/moor/ports');
    const wanted = all.filter(
      (one) => sandbox === undefined || one.sandbox.name === sandbox || one.sandbox.id.startsWith(sandbox),
    );
    // A name that nothing has is a mistake; one without ports is none.
    if (sandbox !== undefined && wanted.length === 0) await exists(context.api.get, sandbox);
    const key = ({ sandbox: { name }, hostPorts, hostAddress }: PortEntry): string => `${name} ${hostPorts.from} ${hostAddress}`;
    const sorted = wanted.toSorted((a, b) => compareNatural(key(a), key(b)));
    if (context.json) {
      writeJson(context, sorted);
      return;
    }
    const rows = sorted.map(({ sandbox: { id, name }, protocol, hostAddress, hostPorts, containerPorts, routed }) => ({
      Name: name,
      ID: id.slice(0, 12),
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

/** A container that does not run has no sandbox. @throws not-found */
async function exists(get: <T>(path: string) => Promise<T>, name: string): Promise<void> {
  try {
    await get(`/moor/sandboxes/${encodeURIComponent(name)}`);
  } catch (error) {
    if (!(error instanceof MoorError) || error.kind !== 'not-found') throw error;
    await get(`/containers/${encodeURIComponent(name)}/json`);
  }
}
