import { setTimeout as sleep } from 'node:timers/promises';
import { MoorError } from '../../../base/errors.ts';
import type { Sandbox } from '../../../model/sandbox.ts';
import { type Answer, pathOf } from '../../api.ts';
import { defineCommand, flag, list, text } from '../../command.ts';
import type { Context } from '../../context.ts';
import { parseEnvironment } from '../../options/pairs.ts';
import { changeQuery, report, warn, writeJson } from '../../output/report.ts';
import type { CommandLine, Running } from '../../ports.ts';
import { SANDBOX_OPTIONS, type SandboxBody, sandboxSpec } from './options.ts';
import { viewOf } from './view.ts';

export const run = defineCommand({
  name: 'run',
  summary: 'Run a command of this host in a new sandbox',
  description:
    'The command sees the files of the host, and a network stack, resolver files and host name of its own. Its terminal, standard\n' +
    'streams and exit status are yours. The sandbox goes when the command ends. Without a command it stays until it is removed.',
  section: 'Sandboxes',
  arguments: [{ name: 'COMMAND', optional: true, many: true, completion: 'command' }],
  changes: true,
  passThrough: 'rest',
  options: {
    ...SANDBOX_OPTIONS,
    detach: flag('Leave the command running in the background and print the id of the sandbox', { short: 'd' }),
    env: list('NAME[=VALUE]', 'Set an environment variable; without a value it is taken from yours', { short: 'e' }),
    interactive: flag('Accepted as in docker run: standard input is always passed on', { short: 'i' }),
    keep: flag('Keep the sandbox when the command has ended'),
    log: text('FILE', "With --detach: append the command's output to a file", { completion: 'file' }),
    rm: flag('Accepted as in docker run: the sandbox always goes with its command, unless --keep'),
    tty: flag('Accepted as in docker run: the terminal is always passed on', { short: 't' }),
    user: text('USER[:GROUP]', 'Run the command as this user, by name or number', { short: 'u' }),
    workdir: text('DIR', 'Run the command in this directory', { short: 'w', completion: 'file' }),
  },
  examples: [
    { command: 'moor run -- ip address', what: 'what a sandbox on the default network has' },
    {
      command: 'moor run --name web --network my_net2 --ip 192.168.7.10 -- python3 -m http.server 80',
      what: 'at a fixed address',
    },
    {
      command: 'moor run --network name=front,alias=www --network name=back,ip=10.8.0.5 -- bash',
      what: 'a shell with two interfaces',
    },
    { command: 'moor run -d --log /tmp/web.log --name web -- python3 -m http.server', what: 'in the background' },
    { command: 'moor run -d -p 8080:80 --name www -- python3 -m http.server 80', what: 'reachable at port 8080 of the host' },
    { command: 'moor run --name lab --network my_net', what: 'a sandbox that stays, for moor exec' },
    { command: 'moor run --dry-run --network my_net -- true', what: 'what would be done to the kernel' },
  ],
  run: async (context, command, options) => {
    const [program, ...args] = command;
    const keep = options.keep ?? options.rm === false;
    const spec: SandboxBody = { ...sandboxSpec(options), ...(program === undefined || keep ? {} : await ending(context)) };
    const line = program === undefined ? null : commandLine(context, [program, ...args], options);
    // From here on an interrupt must not end us before what we made is cleared away.
    const interrupted = context.ports.interrupted();
    const answer = await context.api.post<Answer<Sandbox>>('/moor/sandboxes', spec, changeQuery(context));
    if (context.dryRun || line === null) {
      if (context.json) writeJson(context, answer);
      else report(context, answer, (sandbox) => `${sandbox.id}\n`);
      return 0;
    }
    for (const message of answer.warnings) warn(context, message);
    const sandbox = answer.value;
    let running: Running;
    try {
      running = await startInside(context, { sandbox, line, detached: options.detach ? { log: options.log } : null });
      if (interrupted.aborted) throw new MoorError('cancelled', 'interrupted');
    } catch (error) {
      await removeSandbox(context, sandbox.id);
      throw error;
    }
    if (options.detach) {
      if (context.json) writeJson(context, answer);
      else context.terminal.out.write(`${sandbox.id}\n`);
      return 0;
    }
    const status = await running.ended;
    // The daemon does this too; having it done when we end lets the next command use the name.
    if (!keep) await removeSandbox(context, sandbox.id);
    return status;
  },
});

/** It goes with its command, and before there is one, with us. */
async function ending({ processes }: Context): Promise<Pick<SandboxBody, 'autoRemove' | 'creator'>> {
  return { autoRemove: true, creator: { ...(await processes.self()), command: ['moor', 'run'] } };
}

interface LineOptions {
  readonly env: readonly string[];
  readonly user: string | undefined;
  readonly workdir: string | undefined;
}

export function commandLine(context: Context, command: CommandLine['command'], { env, user, workdir }: LineOptions): CommandLine {
  const present = context.ports.environment;
  return {
    command,
    environment: parseEnvironment([...Object.keys(present), ...env], present),
    ...(user === undefined ? {} : { user }),
    ...(workdir === undefined ? {} : { directory: workdir }),
  };
}

interface Start {
  readonly sandbox: Sandbox;
  readonly line: CommandLine;
  readonly detached: { readonly log: string | undefined } | null;
}

/** Enters, starts, and tells the daemon whose end to wait for. */
async function startInside(context: Context, { sandbox, line, detached }: Start): Promise<Running> {
  const view = await viewOf(context, sandbox.id);
  if (view) await context.processes.enter(view);
  const running = await (detached ? context.processes.startDetached(line, detached.log) : context.processes.start(line));
  try {
    await tellProcess(context, { sandbox, line, running });
  } catch (error) {
    // The command runs: it is not ours to end it because the daemon does not answer.
    warn(context, `the daemon does not know of the command: ${error instanceof Error ? error.message : String(error)}`);
  }
  return running;
}

/** Milliseconds between tries, and how many there are: a daemon that is just being restarted is back by then. */
const PAUSE_MS = 250;
const TRIES = 20;

/** Until it is told the daemon takes our end for that of the command, and the sandbox goes with it. */
async function tellProcess(
  { api }: Context,
  { sandbox, line, running }: Pick<Start, 'sandbox' | 'line'> & { readonly running: Running },
): Promise<void> {
  const { pid, startTime, ended } = running;
  for (let left = TRIES; ; left--) {
    try {
      await api.post(pathOf('/moor/sandboxes', sandbox.id, 'process'), { pid, startTime, command: line.command });
      return;
    } catch (error) {
      const later = left > 1 && error instanceof MoorError && error.kind === 'unavailable';
      // A command that has ended by now needs nobody to wait for it.
      if (!later || (await Promise.race([ended.then(() => true), sleep(PAUSE_MS, false)]))) throw error;
    }
  }
}

/** Whatever happens here, the command's own status or the error that led here is what counts. */
async function removeSandbox(context: Context, id: string): Promise<void> {
  try {
    await context.api.remove(pathOf('/moor/sandboxes', id), { force: '1' });
  } catch (error) {
    // Gone already, or the daemon is: it clears up when it is back.
    if (error instanceof MoorError && (error.kind === 'not-found' || error.kind === 'unavailable')) return;
    warn(context, `the sandbox was not removed: ${error instanceof Error ? error.message : String(error)}`);
  }
}
