/** Which words can stand at the cursor: from the commands' own data, and from the daemon for names. */
import type { Command, CommandNode, Completion, OptionSpec } from '../command.ts';
import { longName } from '../command.ts';
import { GLOBAL_OPTIONS, HELP, optionsOf } from '../globals.ts';

export interface Candidate {
  readonly word: string;
  readonly help: string;
}

/** What a shell should offer: words of ours, its own completion of files, or of a command line that starts at a word. */
export type Offer =
  | { readonly type: 'words'; readonly candidates: readonly Candidate[] }
  | { readonly type: 'file' }
  /** `from` counts the words after `moor`. */
  | { readonly type: 'command'; readonly from: number };

/** Names of the daemon's things; an empty list when it does not answer at once. */
export interface Names {
  readonly networks: () => Promise<readonly Candidate[]>;
  readonly sandboxes: () => Promise<readonly Candidate[]>;
}

const NOTHING: Offer = { type: 'words', candidates: [] };

/**
 * @param words those after `moor`, the last one is being typed (may be '')
 * @param commands all there are
 */
export async function complete(words: readonly string[], commands: readonly CommandNode[], names: Names): Promise<Offer> {
  const typed = words.at(-1) ?? '';
  let level: readonly CommandNode[] = commands;
  let command: Command | null = null;
  let positional = 0;
  for (let i = 0; i < words.length - 1; i++) {
    const word = words[i] ?? '';
    const options: readonly NamedOption[] = command ? named(command) : GLOBALS;
    if (word === '--' && command?.passThrough === 'rest') {
      return { type: 'command', from: i + 1 };
    }
    if (word.startsWith('-')) {
      const option = findOption(options, word);
      if (option && takesValue(option.spec) && !word.includes('=') && isWhole(option, word)) {
        if (i + 1 === words.length - 1) return offerValue(option.spec, typed, names);
        i++;
      }
      continue;
    }
    if (command) {
      if (command.passThrough && command.arguments[positional]?.many) return { type: 'command', from: i };
      positional++;
      continue;
    }
    const found: CommandNode | undefined = level.find((node) => node.name === word || node.aliases?.includes(word));
    if (!found && !(word === 'help' && level === commands)) return NOTHING;
    if (found?.type === 'group') level = found.commands;
    else command = found ?? null;
  }
  const options = command ? named(command) : GLOBALS;
  if (typed.startsWith('-') && command?.passThrough !== 'all') {
    const equals = typed.indexOf('=');
    if (equals > 0) {
      const option = findOption(options, typed);
      if (!option) return NOTHING;
      const offer = await offerValue(option.spec, typed.slice(equals + 1), names);
      return offer.type === 'words'
        ? {
            type: 'words',
            candidates: offer.candidates.map(({ word, help }) => ({ word: typed.slice(0, equals + 1) + word, help })),
          }
        : offer;
    }
    return matching(
      typed,
      options.map(({ name, spec }) => ({ word: `--${name}`, help: spec.help })),
    );
  }
  if (!command)
    return matching(
      typed,
      level.map(({ name, summary }) => ({ word: name, help: summary })),
    );
  const argument = command.arguments[Math.min(positional, command.arguments.length - 1)];
  if (!argument || (positional >= command.arguments.length && !argument.many)) return NOTHING;
  if (argument.completion === 'command') return { type: 'command', from: words.length - 1 };
  return offer(argument.completion ?? 'none', typed, names);
}

interface NamedOption {
  readonly name: string;
  readonly spec: OptionSpec;
}

const named = (command: Command): readonly NamedOption[] =>
  Object.entries({ ...optionsOf(command), help: HELP }).map(([key, spec]) => ({ name: longName(key), spec }));

const GLOBALS: readonly NamedOption[] = Object.entries(GLOBAL_OPTIONS).map(([key, spec]) => ({ name: longName(key), spec }));

const takesValue = (spec: OptionSpec): boolean => spec.kind !== 'flag';

/** `--name`, `--name=…`, `-n`, or a cluster of short ones whose last is meant. */
function findOption(options: readonly NamedOption[], word: string): NamedOption | undefined {
  if (word.startsWith('--')) {
    const name = word.slice(2).split('=', 1)[0];
    return options.find((option) => option.name === name || option.spec.also === name);
  }
  return options.find((option) => option.spec.short === word.at(-1));
}

/** `-d` and not `-dbridge`, whose value is there already: all letters before the last are flags. */
const isWhole = (option: NamedOption, word: string): boolean => word.startsWith('--') || word.endsWith(option.spec.short ?? '\n');

const offerValue = (spec: OptionSpec, typed: string, names: Names): Promise<Offer> =>
  spec.kind === 'flag' ? offer(['true', 'false'], typed, names) : offer(spec.completion ?? 'none', typed, names);

async function offer(completion: Completion, typed: string, names: Names): Promise<Offer> {
  switch (completion) {
    case 'none':
    case 'command':
      return NOTHING;
    case 'file':
      return { type: 'file' };
    case 'network':
      return matching(typed, await names.networks());
    case 'sandbox':
      return matching(typed, await names.sandboxes());
    default:
      return matching(
        typed,
        completion.map((word) => ({ word, help: '' })),
      );
  }
}

const matching = (typed: string, candidates: readonly Candidate[]): Offer => ({
  type: 'words',
  candidates: candidates.filter(({ word }) => word.startsWith(typed)),
});
