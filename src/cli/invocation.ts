/** Which command a command line means, and with what; or which help it asks for. */
import { invalid } from '../base/errors.ts';
import { type Command, type CommandGroup, type CommandNode, flag, type RawValues } from './command.ts';
import { DRY_RUN, GLOBAL_OPTIONS, HELP, optionsOf } from './globals.ts';
import { commandHelp, groupHelp, helpOption, programHelp, usageOf } from './help.ts';
import { parseWords } from './parse.ts';
import { suggestion } from './suggest.ts';

export interface Invocation {
  readonly command: Command;
  readonly args: readonly string[];
  readonly values: RawValues;
}

export type Meaning =
  | { readonly type: 'run'; readonly invocation: Invocation }
  | { readonly type: 'print'; readonly text: string };

const OUTER = { ...GLOBAL_OPTIONS, dryRun: DRY_RUN, help: HELP } as const;

interface Tree {
  readonly commands: readonly CommandNode[];
  readonly version: string;
}

/** @throws invalid, with how the command is used */
export function understand(words: readonly string[], { commands, version }: Tree): Meaning {
  const outer = parseOuter(words, { ...OUTER, version: flag('Show the version', { short: 'v' }) }, ['moor']);
  if (outer.values['version']) return print(`moor version ${version}\n`);
  const [name, ...rest] = outer.args;
  if (outer.values['help'] && name !== undefined) return helpFor(outer.args, commands);
  if (name === undefined) return print(programHelp(commands));
  if (name === 'help') return helpFor(rest, commands);
  const node = find(commands, name, 'moor');
  if (node.type === 'command') return invoke({ command: node, path: [node.name], words: rest }, outer.values);
  const inner = parseOuter(rest, OUTER, ['moor', node.name]);
  const [sub, ...last] = inner.args;
  if (sub === undefined || inner.values['help']) return helpFor([node.name, ...(sub === undefined ? [] : [sub])], commands);
  const command = findIn(node, sub);
  return invoke({ command, path: [node.name, command.name], words: last }, merge(outer.values, inner.values));
}

const print = (text: string): Meaning => ({ type: 'print', text });

function parseOuter(
  words: readonly string[],
  options: Parameters<typeof parseWords>[1],
  path: readonly string[],
): ReturnType<typeof parseWords> {
  try {
    return parseWords(words, options, { stopAtArgument: true });
  } catch (error) {
    throw withHint(error, `See '${path.join(' ')} --help'`);
  }
}

interface Call {
  readonly command: Command;
  readonly path: readonly string[];
  readonly words: readonly string[];
}

function invoke({ command, path, words }: Call, outer: RawValues): Meaning {
  if (command.passThrough === 'all') {
    checkNothingBefore(path, outer);
    return { type: 'run', invocation: { command, args: words, values: {} } };
  }
  const options = { ...optionsOf(command), help: helpOption(command) };
  const hint = `\nUsage:  ${usageOf(command, path)}\n\nSee 'moor ${path.join(' ')} --help' for more information`;
  try {
    const { values, args } = parseWords(words, options, { stopAtArgument: command.passThrough === 'rest' });
    if (values['help']) return print(commandHelp(command, path));
    if (outer['dryRun'] && !Object.hasOwn(options, 'dryRun'))
      throw invalid(`'moor ${path.join(' ')}' has no --dry-run: it changes nothing in the kernel`);
    checkCount(command, path, args);
    return { type: 'run', invocation: { command, args, values: merge(outer, values) } };
  } catch (error) {
    throw withHint(error, hint);
  }
}

/** Who takes all words behind its name would not see those in front of it: a daemon would start at another place, or at all. */
function checkNothingBefore(path: readonly string[], outer: RawValues): void {
  const name = `'moor ${path.join(' ')}'`;
  if (outer['dryRun']) throw invalid(`${name} has no --dry-run: with --validate it only checks its configuration`);
  const given = Object.keys(GLOBAL_OPTIONS).find((key) => outer[key] !== undefined);
  if (given !== undefined) throw invalid(`--${given} has to stand behind ${name}`);
}

/** A global option counts wherever it stands; the one nearest to the command wins. */
const merge = (outer: RawValues, inner: RawValues): RawValues => ({
  ...outer,
  ...Object.fromEntries(Object.entries(inner).filter(([, value]) => value !== undefined)),
});

/** In Docker's words. */
function checkCount(command: Command, path: readonly string[], args: readonly string[]): void {
  const least = command.arguments.filter(({ optional }) => !optional).length;
  const most = command.arguments.at(-1)?.many ? Number.POSITIVE_INFINITY : command.arguments.length;
  if (args.length >= least && args.length <= most) return;
  const name = `'moor ${path.join(' ')}'`;
  if (most === 0) throw invalid(`${name} accepts no arguments`);
  const plural = least === 1 ? 'argument' : 'arguments';
  throw invalid(`${name} requires ${most === least ? '' : 'at least '}${least} ${plural}`);
}

function helpFor(words: readonly string[], commands: readonly CommandNode[]): Meaning {
  const [name, sub] = words;
  if (name === undefined) return print(programHelp(commands));
  const node = find(commands, name, 'moor');
  if (node.type === 'command') return print(commandHelp(node, [node.name]));
  if (sub === undefined) return print(groupHelp(node, [node.name]));
  const command = findIn(node, sub);
  return print(commandHelp(command, [node.name, command.name]));
}

const findIn = (group: CommandGroup, name: string): Command => find(group.commands, name, `moor ${group.name}`);

function find<N extends CommandNode>(nodes: readonly N[], name: string, parent: string): N {
  const found = nodes.find((node) => node.name === name || node.aliases?.includes(name));
  if (found) return found;
  const near = suggestion(
    name,
    nodes.map((node) => node.name),
  );
  throw invalid(`unknown command: ${parent} ${name}${near}\nSee '${parent} --help'`);
}

function withHint(error: unknown, hint: string): unknown {
  return error instanceof Error ? invalid(`${error.message}\n${hint}`) : error;
}
