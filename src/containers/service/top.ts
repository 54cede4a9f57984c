/** `docker top`: the host's ps, cut down to the processes of a container. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { invalid, MoorError } from '../../base/errors.ts';
import type { Context } from './context.ts';
import { assertRunning } from './stop.ts';

const run = promisify(execFile);

export interface Top {
  readonly titles: readonly string[];
  readonly processes: readonly (readonly string[])[];
}

export async function topContainer(ctx: Context, reference: string, psArguments: readonly string[]): Promise<Top> {
  const live = ctx.registry.find(reference);
  assertRunning(live);
  const words = psArguments.flatMap((word) => word.split(/\s+/)).filter(Boolean);
  checkArguments(words);
  const pids = new Set(await ctx.runtime.processes(live.container.id));
  const { stdout } = await run('ps', words.length === 0 ? ['-ef'] : words).catch((error: unknown) => {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim().split('\n')[0] : String(error);
    throw new MoorError('internal', `error running ps: ${said}`, { cause: error });
  });
  return select(stdout, pids);
}

/** Docker's rule against `-o pid=NAME`, by which the column of numbers could not be told. */
function checkArguments(words: readonly string[]): void {
  for (const word of words) {
    const match = /\s*([a-z]*)=\s*(PID[^\s]*)/.exec(word);
    if (match && match[1] !== 'pid') throw invalid(`specifying "${match[1]}=${match[2]}" is not allowed`);
  }
}

/** @throws internal when there is no column PID */
export function select(output: string, pids: ReadonlySet<number>): Top {
  const [header = '', ...lines] = output.split('\n');
  const titles = header.trim().split(/\s+/);
  const column = titles.indexOf('PID');
  if (column < 0) throw new MoorError('internal', "Couldn't find PID field in ps output");
  const processes = lines
    .filter((line) => line.trim() !== '')
    .map((line) => fields(line, titles.length))
    .filter((row) => pids.has(Number(row[column])));
  return { titles, processes };
}

/** The last column may hold spaces. */
function fields(line: string, count: number): string[] {
  const words = line.trim().split(/\s+/);
  return words.length <= count ? words : [...words.slice(0, count - 1), words.slice(count - 1).join(' ')];
}
