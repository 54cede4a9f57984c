/** moor, the command line: the real terminal, connection and processes handed to `cli`. Everything heavy is loaded when it is needed. */
import packageJson from '../../package.json' with { type: 'json' };
import { systemClock } from '../base/clock.ts';
import { runProgram } from '../cli/program.ts';
import { createHttpClient } from './client/http.ts';
import { interrupted } from './client/interrupted.ts';
import { createTerminal } from './client/terminal.ts';

process.exitCode = await runProgram(process.argv.slice(2), {
  connect: createHttpClient,
  terminal: createTerminal(process.env),
  clock: systemClock,
  processes: {
    self: async () => (await import('./client/processes.ts')).processes.self(),
    enter: async (view) => (await import('./client/processes.ts')).processes.enter(view),
    start: async (line) => (await import('./client/processes.ts')).processes.start(line),
    startDetached: async (line, log) => (await import('./client/processes.ts')).processes.startDetached(line, log),
    replace: async (line) => (await import('./client/processes.ts')).processes.replace(line),
  },
  daemon: async (args) => (await import('./client/daemon.ts')).becomeDaemon(args),
  environment: process.env,
  version: packageJson.version,
  interrupted,
});
