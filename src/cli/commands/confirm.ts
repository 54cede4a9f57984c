import type { Context } from '../context.ts';

/** Only a clear yes is one; the end of the input is a no. */
export async function confirmed({ terminal }: Pick<Context, 'terminal'>, warning: string): Promise<boolean> {
  const answer = await terminal.ask(`${warning}\nAre you sure you want to continue? [y/N] `);
  // Nobody ended the line of the question.
  if (answer === null) terminal.out.write('\n');
  return answer !== null && /^y(es)?$/i.test(answer.trim());
}
