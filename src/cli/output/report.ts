/** How the outcome of an operation is shown: warnings, the plan of a dry run, errors. */
import type { Answer, PlanText } from '../api.ts';
import type { Context } from '../context.ts';
import { paint } from './style.ts';
import { printable } from './width.ts';

export const warn = ({ terminal }: Pick<Context, 'terminal'>, message: string): void =>
  terminal.err.write(`${paint(terminal.err, 'yellow', 'WARNING:')} ${printable(message)}\n`);

export const fail = ({ terminal }: Pick<Context, 'terminal'>, message: string): void =>
  terminal.err.write(`${paint(terminal.err, 'red', 'moor:')} ${message.split('\n').map(printable).join('\n')}\n`);

/** The plan as a script with its title as a comment: what it shows can be compared, or typed, line by line. */
export function renderPlan({ terminal }: Pick<Context, 'terminal'>, plan: PlanText): string {
  const title = paint(terminal.out, 'cyan', `# ${printable(plan.title)}`);
  return [title, ...plan.text.map(printable)].map((line) => `${line}\n`).join('');
}

/** Prints what was done with `done`, or with `--dry-run` the plan. Not for `--json`: that is one document for a whole command. */
export function report<T>(context: Context, answer: Answer<T>, done: (value: T) => string): void {
  for (const message of answer.warnings) warn(context, message);
  context.terminal.out.write(context.dryRun ? renderPlan(context, answer.plan) : done(answer.value));
}

export const writeJson = ({ terminal }: Pick<Context, 'terminal'>, value: unknown): void =>
  terminal.out.write(`${JSON.stringify(value, null, 2)}\n`);

/** Query of a change: `dryRun=1` with `--dry-run`. */
export const changeQuery = (context: Context): { readonly dryRun: string | undefined } => ({
  dryRun: context.dryRun ? '1' : undefined,
});
