/** What every `inspect` does: all that can be found is shown, then what could not. */
import { MoorError } from '../../base/errors.ts';
import type { Context } from '../context.ts';
import { EXIT_FAILURE } from '../exit.ts';
import { formatInspect } from '../output/format.ts';
import { show, tell } from '../output/report.ts';

export interface Inspection {
  readonly format: string | undefined;
  readonly get: (name: string) => Promise<unknown>;
  /** What templates see of an answer. */
  readonly typed: (value: unknown) => unknown;
}

export async function inspectEach(context: Context, names: readonly string[], inspection: Inspection): Promise<number> {
  const found: unknown[] = [];
  const failures: MoorError[] = [];
  for (const name of names) {
    try {
      found.push(await inspection.get(name));
    } catch (error) {
      // A daemon that is not there is not a missing name.
      if (!(error instanceof MoorError) || error.kind === 'unavailable') throw error;
      failures.push(error);
    }
  }
  show(context.terminal.out, formatInspect(found, context.json ? 'json' : inspection.format, inspection.typed));
  for (const error of failures) tell(context, error);
  return failures.length === 0 ? 0 : EXIT_FAILURE;
}
