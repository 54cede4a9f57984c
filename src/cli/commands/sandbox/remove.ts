import type { Sandbox } from '../../../model/sandbox.ts';
import { pathOf } from '../../api.ts';
import { defineCommand, flag } from '../../command.ts';
import { changeQuery } from '../../output/report.ts';
import { changeEach } from '../each.ts';

export const rm = defineCommand({
  name: 'rm',
  aliases: ['remove'],
  summary: 'Remove one or more sandboxes',
  section: 'Sandboxes',
  arguments: [{ name: 'SANDBOX', many: true, completion: 'sandbox' }],
  changes: true,
  options: { force: flag('End the command of a sandbox first; no error for one that does not exist', { short: 'f' }) },
  examples: [
    { command: 'moor rm lab', what: 'a sandbox without a running command' },
    { command: 'moor rm -f web', what: 'ends its command with SIGTERM, then SIGKILL' },
  ],
  run: (context, names, { force }) =>
    changeEach<Sandbox>(context, names, {
      change: (name) =>
        context.api.remove(pathOf('/moor/sandboxes', name), { force: force ? '1' : undefined, ...changeQuery(context) }),
      ignores: (error) => force === true && error.kind === 'not-found',
    }),
});
