import { defineCommand, flag, text } from '../../command.ts';
import { writeJson } from '../../output/report.ts';
import { compileTemplate } from '../../template/template.ts';
import { toJson } from '../../template/value.ts';

/** Docker's `GET /version`, as far as it is shown. */
interface ServerVersion {
  readonly Version: string;
  readonly ApiVersion: string;
  readonly MinAPIVersion: string;
  readonly KernelVersion?: string;
  readonly Os?: string;
  readonly Arch?: string;
}

export const version = defineCommand({
  name: 'version',
  summary: 'Show the versions of moor and of the daemon',
  section: 'Other',
  arguments: [],
  options: {
    client: flag('Only of moor: the daemon is not asked'),
    format: text('FORMAT', "'json' or a Go template", { short: 'f' }),
  },
  examples: [
    { command: 'moor version', what: 'both' },
    { command: "moor version --format '{{.Server.Version}}'", what: 'for a script' },
  ],
  run: async (context, _, { client: clientOnly, format = '' }) => {
    const client = { Version: context.ports.version, Node: process.version, Os: process.platform, Arch: process.arch };
    const { out } = context.terminal;
    const plain = format === '' && !context.json;
    // What is known is shown before the daemon is asked: it may not be there.
    if (plain)
      out.write(
        block('Client: Moorline', [
          ['Version', client.Version],
          ['Node.js', client.Node],
          ['OS/Arch', `${client.Os}/${client.Arch}`],
        ]),
      );
    const server = clientOnly ? null : await context.api.get<ServerVersion>('/version');
    const both = { Client: client, Server: server };
    if (context.json) writeJson(context, both);
    else if (format === 'json') out.write(`${toJson(both)}\n`);
    else if (!plain) out.write(`${compileTemplate(format)(both)}\n`);
    else if (server) {
      const api = `${server.ApiVersion} (minimum version ${server.MinAPIVersion})`;
      out.write(
        `\n${block('Server: Moorline', [
          ['Version', server.Version],
          ['Docker API', api],
          ['Kernel', server.KernelVersion ?? ''],
          ['OS/Arch', `${server.Os}/${server.Arch}`],
        ])}`,
      );
    }
  },
});

const block = (heading: string, rows: readonly (readonly [string, string])[]): string =>
  [heading, ...rows.map(([name, value]) => ` ${`${name}:`.padEnd(14)}${value}`)].map((line) => `${line}\n`).join('');
