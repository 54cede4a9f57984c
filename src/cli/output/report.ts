/** How the outcome of an operation is shown: warnings, the plan of a dry run, errors. */
import { errorData, type MoorError } from '../../base/errors.ts';
import type { Answer, PlanText } from '../api.ts';
import type { Context } from '../context.ts';
import type { Output } from '../ports.ts';
import { paint } from './style.ts';
import { printable, printableLines } from './width.ts';

export const warn = ({ terminal }: Pick<Context, 'terminal'>, message: string): void =>
  terminal.err.write(`${paint(terminal.err, 'yellow', 'WARNING:')} ${printable(message)}\n`);

export const fail = ({ terminal }: Pick<Context, 'terminal'>, message: string): void =>
  terminal.err.write(`${paint(terminal.err, 'red', 'moor:')} ${message.split('\n').map(printable).join('\n')}\n`);

/** An error of the daemon's, for the one who reads: a person, or with `--json` a program. */
export function tell(context: Pick<Context, 'terminal' | 'json'>, error: MoorError): void {
  if (context.json) context.terminal.err.write(`${JSON.stringify({ error: errorData(error) })}\n`);
  else fail(context, error.message);
}

/** Text of the user's own format: as it is for a program, harmless on a screen. */
export const show = (out: Output, text: string): void => out.write(out.isTerminal ? printableLines(text) : text);

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
