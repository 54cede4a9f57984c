/** From the words of a command line to the exit status. */
import { errorData, MoorError } from '../base/errors.ts';
import { createApi } from './api.ts';
import type { RawValues } from './command.ts';
import { COMMANDS } from './commands/commands.ts';
import type { Context } from './context.ts';
import { EXIT_ENGINE, EXIT_STATUS } from './exit.ts';
import { DEFAULT_HOST } from './globals.ts';
import { type Invocation, understand } from './invocation.ts';
import { fail } from './output/report.ts';
import { CommandError, type Ports } from './ports.ts';

/**
 * @param argv words after the program's name
 * @returns the exit status; never throws
 */
export async function runProgram(argv: readonly string[], ports: Ports): Promise<number> {
  let invocation: Invocation | null = null;
  try {
    if (argv[0] === '__complete') return await answerShell(argv.slice(1), ports);
    const meaning = understand(argv, { commands: COMMANDS, version: ports.version });
    if (meaning.type === 'print') {
      ports.terminal.out.write(meaning.text);
      return 0;
    }
    invocation = meaning.invocation;
    const { command, args, values } = invocation;
    return (await command.run(contextOf(values, ports), args, values)) ?? 0;
  } catch (error) {
    return failure(error, { ports, invocation, argv });
  }
}

async function answerShell(args: readonly string[], ports: Ports): Promise<number> {
  const { answerCompletion } = await import('./completion/answer.ts');
  const connect = (host: string | undefined): ReturnType<typeof createApi> => createApi(ports.connect(hostOf({ host }, ports)));
  ports.terminal.out.write(await answerCompletion(args, COMMANDS, connect));
  return 0;
}

function contextOf(values: RawValues, ports: Ports): Context {
  const host = hostOf(values, ports);
  return {
    api: createApi(ports.connect(host)),
    terminal: ports.terminal,
    clock: ports.clock,
    processes: ports.processes,
    ports,
    json: values['json'] === true,
    dryRun: values['dryRun'] === true,
  };
}

function hostOf({ host }: RawValues, { environment }: Ports): string {
  if (typeof host === 'string') return host;
  // Set but empty is as good as not set.
  return environment['MOOR_HOST'] || DEFAULT_HOST;
}

interface Failure {
  readonly ports: Ports;
  /** null: it was not understood. */
  readonly invocation: Invocation | null;
  readonly argv: readonly string[];
}

function failure(error: unknown, { ports, invocation, argv }: Failure): number {
  if (error instanceof CommandError) {
    fail(ports, error.message);
    return error.status;
  }
  const data = errorData(error);
  const json = invocation ? invocation.values['json'] === true : argv.includes('--json');
  if (json) ports.terminal.err.write(`${JSON.stringify({ error: data })}\n`);
  else fail(ports, data.message);
  // A mistake of ours, not of the user's: where it happened helps.
  if (!(error instanceof MoorError) && error instanceof Error && ports.environment['MOOR_DEBUG'])
    ports.terminal.err.write(`${error.stack}\n`);
  const passes = invocation ? invocation.command.passThrough === 'rest' : argv.some((word) => word === 'run' || word === 'exec');
  return passes && data.kind !== 'cancelled' ? EXIT_ENGINE : EXIT_STATUS[data.kind];
}
