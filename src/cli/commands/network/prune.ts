import { MoorError, unsupported } from '../../../base/errors.ts';
import type { PruneResult } from '../../../contracts/engine.ts';
import type { Answer } from '../../api.ts';
import { defineCommand, flag, list } from '../../command.ts';
import { encodeFilters } from '../../options/pairs.ts';
import { changeQuery, report, writeJson } from '../../output/report.ts';
import { confirmed } from '../confirm.ts';

const WARNING = 'WARNING! This will remove all custom networks not used by at least one sandbox.';

export const prune = defineCommand({
  name: 'prune',
  summary: 'Remove all unused networks',
  arguments: [],
  changes: true,
  options: {
    filter: list('FILTER', 'Only networks that match, as in until=24h', { completion: ['label=', 'label!=', 'until='] }),
    force: flag('Do not prompt for confirmation', { short: 'f' }),
  },
  examples: [
    { command: 'moor network prune', what: 'asks first' },
    { command: 'moor network prune --force --filter until=24h', what: 'those made more than a day ago' },
  ],
  run: async (context, _, { filter, force }) => {
    const filters = encodeFilters(filter);
    if (filters !== undefined && context.dryRun)
      throw unsupported('Cannot show a plan for some of the unused networks: leave out --filter');
    if (!force && !context.dryRun && !(await confirmed(context, WARNING))) {
      throw new MoorError('cancelled', 'network prune has been cancelled');
    }
    if (filters !== undefined) {
      // Filters are Docker's words, which its own path understands.
      const { NetworksDeleted } = await context.api.post<DockerPrune>('/networks/prune', undefined, { filters });
      if (context.json) writeJson(context, { value: { networks: NetworksDeleted ?? [] } });
      else context.terminal.out.write(deleted(NetworksDeleted ?? []));
      return;
    }
    const answer = await context.api.post<Answer<PruneResult>>('/moor/networks/prune', undefined, changeQuery(context));
    if (context.json) writeJson(context, answer);
    else report(context, answer, ({ networks }) => deleted(networks));
  },
});

interface DockerPrune {
  readonly NetworksDeleted: readonly string[] | null;
}

const deleted = (networks: readonly string[]): string =>
  networks.length === 0 ? '' : `Deleted Networks:\n${networks.map((name) => `${name}\n`).join('')}\n`;
