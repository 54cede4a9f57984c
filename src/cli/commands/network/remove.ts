import { pathOf } from '../../api.ts';
import { defineCommand, flag } from '../../command.ts';
import { changeQuery } from '../../output/report.ts';
import { changeEach } from '../each.ts';
import type { Network } from '../../../model/network.ts';

export const rm = defineCommand({
  name: 'rm',
  aliases: ['remove'],
  summary: 'Remove one or more networks',
  arguments: [{ name: 'NETWORK', many: true, completion: 'network' }],
  changes: true,
  options: { force: flag('Do not error if the network does not exist', { short: 'f' }) },
  examples: [
    { command: 'moor network rm my_net my_net2', what: 'both' },
    { command: 'moor network rm --dry-run my_net', what: 'what would be taken away' },
  ],
  run: (context, names, { force }) =>
    changeEach<Network>(context, names, {
      change: (name) => context.api.remove(pathOf('/moor/networks', name), changeQuery(context)),
      ignores: (error) => force === true && error.kind === 'not-found',
    }),
});
