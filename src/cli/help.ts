/** Help texts, made of the same data that the parser uses. */
import {
  argumentUsage,
  type Command,
  type CommandGroup,
  type CommandNode,
  longName,
  type Options,
  type OptionSpec,
} from './command.ts';
import { DRY_RUN, GLOBAL_OPTIONS, HELP, optionsOf } from './globals.ts';

/** Columns of the left half; a longer one gets a line of its own. */
const LEFT = 28;

export function programHelp(commands: readonly CommandNode[]): string {
  const sections = [...new Set(commands.map((node) => node.section ?? ''))];
  return [
    'Usage: moor [OPTIONS] COMMAND\n\nContainer networks for this host: create them, put sandboxes on them, see what they do to the kernel.\n',
    ...sections.map((section) => `${section}:\n${commandRows(commands.filter((node) => (node.section ?? '') === section))}`),
    `Options:\n${optionRows({ ...GLOBAL_OPTIONS, dryRun: DRY_RUN, help: HELP })}`,
    "Run 'moor COMMAND --help' or 'moor help COMMAND' for more on a command.\n",
  ].join('\n');
}

export function groupHelp(group: CommandGroup, path: readonly string[]): string {
  const name = path.join(' ');
  return [
    `Usage: moor ${name} COMMAND\n\n${group.summary}\n`,
    `Commands:\n${commandRows(group.commands)}`,
    `Run 'moor ${name} COMMAND --help' for more on a command.\n`,
  ].join('\n');
}

export function commandHelp(command: Command, path: readonly string[]): string {
  const own = Object.fromEntries(Object.entries(optionsOf(command)).filter(([key]) => !Object.hasOwn(GLOBAL_OPTIONS, key)));
  const shared = Object.keys(optionsOf(command)).some((key) => Object.hasOwn(GLOBAL_OPTIONS, key)) ? GLOBAL_OPTIONS : {};
  const aliases = [command.name, ...(command.aliases ?? [])].map((alias) => ['moor', ...path.slice(0, -1), alias].join(' '));
  return [
    `Usage: ${usageOf(command, path)}\n\n${command.summary}\n`,
    ...(command.description === undefined ? [] : [`${command.description}\n`]),
    ...(aliases.length > 1 ? [`Aliases:\n  ${aliases.join(', ')}\n`] : []),
    ...(Object.keys(own).length > 0 ? [`Options:\n${optionRows(own)}`] : []),
    ...(Object.keys(shared).length > 0 ? [`Global options:\n${optionRows({ ...shared, help: helpOption(command) })}`] : []),
    `Examples:\n${command.examples.map(({ command: line, what }) => `  # ${what}\n  ${line}\n`).join('\n')}`,
  ].join('\n');
}

/** `moor network rm [OPTIONS] NETWORK [NETWORK...]` */
export function usageOf(command: Command, path: readonly string[]): string {
  const words = command.arguments.map(argumentUsage);
  const separator = command.passThrough === 'rest' ? words.toSpliced(-1, 0, '--') : words;
  const options = command.passThrough === 'all' ? [] : ['[OPTIONS]'];
  return ['moor', ...path, ...options, ...separator].join(' ');
}

/** `-h` is the host name for `moor run`, as for `docker run`. */
export const helpOption = (command: Command): OptionSpec =>
  Object.values(command.options).some(({ short }) => short === HELP.short) ? { kind: 'flag', help: HELP.help } : HELP;

const row = (left: string, right: string): string =>
  left.length > LEFT - 2 ? `  ${left}\n  ${' '.repeat(LEFT)}${right}\n` : `  ${left.padEnd(LEFT)}${right}\n`;

const commandRows = (nodes: readonly CommandNode[]): string => nodes.map(({ name, summary }) => row(name, summary)).join('');

function optionRows(options: Options): string {
  const rows = Object.entries(options).map(([key, spec]) => {
    const short = spec.short === undefined ? '    ' : `-${spec.short}, `;
    const value = spec.kind === 'flag' ? '' : ` ${spec.value}`;
    return { name: longName(key), left: `${short}--${longName(key)}${value}`, right: rightOf(spec) };
  });
  return rows
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ left, right }) => row(left, right))
    .join('');
}

function rightOf(spec: OptionSpec): string {
  const repeats = spec.kind === 'list' && !spec.help.includes('repeatable') ? ' (repeatable)' : '';
  const also = spec.also === undefined ? '' : `; also --${spec.also}`;
  return `${spec.help}${also}${repeats}${spec.shownDefault === undefined ? '' : ` (default ${spec.shownDefault})`}`;
}
