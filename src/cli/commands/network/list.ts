import { defineCommand, flag, list, text } from '../../command.ts';
import { NETWORK_HEADINGS, NETWORK_TABLE, networkRow, type DockerNetwork } from '../../docker/network.ts';
import { encodeFilters } from '../../options/pairs.ts';
import { formatRows } from '../../output/format.ts';
import { compareNatural } from '../../output/natural.ts';
import { writeJson } from '../../output/report.ts';

export const ls = defineCommand({
  name: 'ls',
  aliases: ['list'],
  summary: 'List networks',
  arguments: [],
  options: {
    filter: list('FILTER', 'Only networks that match, as in driver=bridge', {
      short: 'f',
      completion: ['dangling=', 'driver=', 'id=', 'label=', 'name=', 'scope=', 'type='],
    }),
    format: text('FORMAT', "'table', 'table TEMPLATE', 'json' or a Go template"),
    noTrunc: flag('Do not truncate the output'),
    quiet: flag('Only display network ids', { short: 'q' }),
  },
  examples: [
    { command: 'moor network ls', what: 'all networks' },
    { command: 'moor network ls --filter driver=bridge --filter label=tier=db', what: 'those that match' },
    { command: "moor network ls --format 'table {{.Name}}\\t{{.Internal}}\\t{{.Labels}}'", what: 'columns of your choice' },
    { command: 'moor network rm $(moor network ls -q -f type=custom)', what: 'ids for another command' },
  ],
  run: async (context, _, { filter, format = '', noTrunc, quiet }) => {
    const networks = await context.api.get<readonly DockerNetwork[]>('/networks', { filters: encodeFilters(filter) });
    const sorted = networks.toSorted((a, b) => compareNatural(a.Name, b.Name));
    if (context.json) {
      writeJson(context, sorted);
      return;
    }
    const rows = sorted.map((network) => networkRow(network, !noTrunc));
    const chosen = quiet && (format === '' || format === 'table') ? '{{.ID}}' : format;
    context.terminal.out.write(formatRows(rows, chosen, { table: NETWORK_TABLE, headings: NETWORK_HEADINGS }));
  },
});
