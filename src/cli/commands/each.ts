/** Doing the same to several named things: an error of one does not keep the others from it. */
import { MoorError } from '../../base/errors.ts';
import type { Answer } from '../api.ts';
import type { Context } from '../context.ts';
import { EXIT_FAILURE, EXIT_STATUS } from '../exit.ts';
import { report, tell, writeJson } from '../output/report.ts';

export interface Each<T> {
  readonly change: (name: string) => Promise<Answer<T>>;
  /** Whether this failure is to be passed over (`rm --force` of what is not there). */
  readonly ignores?: (error: MoorError) => boolean;
}

/** Prints each name that is done. @returns 0; the status of the error when there was one thing; 1 when some of several failed */
export async function changeEach<T>(context: Context, names: readonly string[], each: Each<T>): Promise<number> {
  const answers: Answer<T>[] = [];
  const failures: MoorError[] = [];
  for (const name of names) {
    try {
      const answer = await each.change(name);
      answers.push(answer);
      if (!context.json) report(context, answer, () => `${name}\n`);
    } catch (error) {
      if (!(error instanceof MoorError) || error.kind === 'unavailable') throw error;
      if (each.ignores?.(error)) continue;
      failures.push(error);
      tell(context, error);
    }
  }
  if (context.json) writeJson(context, answers);
  const [first] = failures;
  if (!first) return 0;
  return names.length === 1 ? EXIT_STATUS[first.kind] : EXIT_FAILURE;
}
