import { MoorError } from '../../../base/errors.ts';
import type { Answer } from '../../api.ts';
import { defineCommand, flag } from '../../command.ts';
import { changeQuery, report, writeJson } from '../../output/report.ts';
import { printable } from '../../output/width.ts';
import { confirmed } from '../confirm.ts';

export const reconcile = defineCommand({
  name: 'reconcile',
  summary: 'Compare everything with the kernel now, and repair it',
  description:
    'The daemon does this by itself when the kernel reports a change, and every now and then. With --dry-run files, and settings\n' +
    'inside sandboxes, are left out: they are only compared when they are written.',
  section: 'Host',
  arguments: [],
  changes: true,
  options: {},
  examples: [
    { command: 'moor reconcile', what: 'says what had to be repaired' },
    { command: 'moor reconcile --dry-run', what: 'what there is to repair' },
  ],
  run: async (context) => {
    if (context.dryRun) {
      const drift = await context.api.post<Answer<null>>('/moor/reconcile', undefined, changeQuery(context));
      if (context.json) writeJson(context, drift);
      else if (drift.plan.text.length === 0) context.terminal.out.write('Nothing to repair\n');
      else report(context, drift, () => '');
      return;
    }
    const answer = await context.api.post<{ readonly repaired: readonly string[] }>('/moor/reconcile');
    if (context.json) writeJson(context, answer);
    else if (answer.repaired.length === 0) context.terminal.out.write('Nothing to repair\n');
    else context.terminal.out.write(answer.repaired.map((line) => `${printable(line)}\n`).join(''));
  },
});

const WARNING = 'WARNING! This will end all sandboxes and remove every network, rule and file of this daemon.';

export const reset = defineCommand({
  name: 'reset',
  summary: 'Remove everything the daemon made on this host',
  section: 'Host',
  arguments: [],
  changes: true,
  options: { force: flag('Do not prompt for confirmation', { short: 'f' }) },
  examples: [
    { command: 'moor reset --dry-run', what: 'what that is' },
    { command: 'moor reset --force', what: 'without asking' },
  ],
  run: async (context, _, { force }) => {
    if (!force && !context.dryRun && !(await confirmed(context, WARNING)))
      throw new MoorError('cancelled', 'reset has been cancelled');
    const answer = await context.api.post<Answer<null>>('/moor/reset', undefined, changeQuery(context));
    if (context.json) writeJson(context, answer);
    else report(context, answer, () => '');
  },
});
