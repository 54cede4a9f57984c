import { invalid } from '../../../base/errors.ts';
import type { PlanText } from '../../api.ts';
import { defineCommand, flag, list, text } from '../../command.ts';
import { renderPlan, writeJson } from '../../output/report.ts';
import type { SandboxView } from '../../ports.ts';
import { commandLine } from './run.ts';
import { viewOf } from './view.ts';

/** Nothing of the host's kernel state is changed by entering; what can be shown is where the command would run. */
function entering(sandbox: string, view: SandboxView | null, command: readonly string[]): PlanText {
  const line = command.map(quoted).join(' ');
  if (view === null) return { title: `run in sandbox ${sandbox}, which has the host's own network`, text: [line] };
  return {
    title: `run in sandbox ${sandbox}, with mounts and a host name that only the command sees`,
    text: [
      ...view.files.map(({ source, target }) => `mount --bind ${source} ${target}`),
      ...(view.hostname === undefined ? [] : [`hostname ${view.hostname}`]),
      `nsenter --net=${view.netns} ${line}`,
    ],
  };
}

/** A word as a shell takes it. */
const quoted = (word: string): string => (/^[\w./:@%+=,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

export const exec = defineCommand({
  name: 'exec',
  summary: 'Run a command in a sandbox that exists',
  description: 'moor becomes the command: terminal, signals and exit status are its own.',
  section: 'Sandboxes',
  arguments: [
    { name: 'SANDBOX', completion: 'sandbox' },
    { name: 'COMMAND', many: true, completion: 'command' },
  ],
  passThrough: 'rest',
  options: {
    env: list('NAME[=VALUE]', 'Set an environment variable; without a value it is taken from yours', { short: 'e' }),
    interactive: flag('Accepted as in docker exec: standard input is always passed on', { short: 'i' }),
    tty: flag('Accepted as in docker exec: the terminal is always passed on', { short: 't' }),
    user: text('USER[:GROUP]', 'Run the command as this user, by name or number', { short: 'u' }),
    workdir: text('DIR', 'Run the command in this directory', { short: 'w', completion: 'file' }),
  },
  examples: [
    { command: 'moor exec web -- ip route', what: 'the routes of web' },
    { command: 'moor exec -u nobody web -- bash', what: 'a shell as somebody else' },
  ],
  run: async (context, [sandbox = '', ...words], options) => {
    const [program, ...args] = words[0] === '--' ? words.slice(1) : words;
    if (program === undefined) throw invalid("'moor exec' requires a command");
    const view = await viewOf(context, sandbox);
    if (context.dryRun) {
      const command = [program, ...args];
      if (context.json) writeJson(context, { view, command });
      else context.terminal.out.write(renderPlan(context, entering(sandbox, view, command)));
      return 0;
    }
    const line = commandLine(context, [program, ...args], options);
    if (view) await context.processes.enter(view);
    return context.processes.replace(line);
  },
});
