/**
 * Commands as data: one value says how a command is called, what it takes, how its words are completed, and what it does. Help,
 * parsing and completion are all derived from it.
 */
import type { Context } from './context.ts';

/** Where completion finds candidates for a word. A list is the candidates themselves. */
export type Completion = 'network' | 'sandbox' | 'file' | 'command' | 'none' | readonly string[];

interface OptionBase {
  readonly short?: string;
  /** Another long name, without the dashes, that is taken for it. The help names it behind its own text. */
  readonly also?: string;
  readonly help: string;
  /** Shown in the help as the default. */
  readonly shownDefault?: string;
}

/** `--internal`, also `--internal=false`. undefined when it was not given. */
export interface FlagOption extends OptionBase {
  readonly kind: 'flag';
}

interface ValueOption extends OptionBase {
  /** Placeholder in the help: `CIDR`. */
  readonly value: string;
  readonly completion?: Completion;
}

export interface TextOption extends ValueOption {
  readonly kind: 'text';
}

export interface IntegerOption extends ValueOption {
  readonly kind: 'integer';
}

/** May be repeated. */
export interface ListOption extends ValueOption {
  readonly kind: 'list';
  /** `a,b` is two values, as pflag's `strings`; its `list` and `map` take a comma as it is. */
  readonly commas: boolean;
}

export type OptionSpec = FlagOption | TextOption | IntegerOption | ListOption;
/** By name in camel case: `ipRange` is `--ip-range`. */
export type Options = Readonly<Record<string, OptionSpec>>;

type ValueOf<O extends OptionSpec> = O extends FlagOption
  ? boolean | undefined
  : O extends TextOption
    ? string | undefined
    : O extends IntegerOption
      ? number | undefined
      : readonly string[];

export type Values<O extends Options> = { readonly [K in keyof O]: ValueOf<O[K]> };
export type RawValues = Readonly<Record<string, boolean | string | number | readonly string[] | undefined>>;

export interface ArgumentSpec {
  readonly name: string;
  readonly optional?: boolean;
  /** The last one may take all the rest. */
  readonly many?: boolean;
  readonly completion?: Completion;
}

export interface Example {
  readonly command: string;
  readonly what: string;
}

interface CommandBase {
  readonly name: string;
  readonly aliases?: readonly string[];
  /** One line, for lists of commands. */
  readonly summary: string;
  /** More, for the command's own help. */
  readonly description?: string;
  /** Heading it stands under in the list of commands. */
  readonly section?: string;
}

export interface Command extends CommandBase {
  readonly type: 'command';
  readonly arguments: readonly ArgumentSpec[];
  readonly options: Options;
  readonly examples: readonly Example[];
  /** Changes the kernel, so it takes `--dry-run`. */
  readonly changes?: boolean;
  /**
   * `rest`: options end at the first argument, the rest belongs to somebody else's command; `all`: everything does.
   * An error of such a command exits with 125.
   */
  readonly passThrough?: 'rest' | 'all';
  /** @returns the exit status; nothing means 0 */
  readonly run: (context: Context, args: readonly string[], values: RawValues) => Promise<number | void>;
}

export interface CommandGroup extends CommandBase {
  readonly type: 'group';
  readonly commands: readonly Command[];
}

export type CommandNode = Command | CommandGroup;

/** Ties the types of the options to what `run` gets. */
export function defineCommand<O extends Options>(
  spec: Omit<Command, 'type' | 'run' | 'options'> & {
    readonly options: O;
    readonly run: (context: Context, args: readonly string[], values: Values<O>) => Promise<number | void>;
  },
): Command {
  // The parser fills in exactly the keys and kinds that `options` names.
  return { ...spec, type: 'command', run: (context, args, values) => spec.run(context, args, values as Values<O>) };
}

export const flag = (help: string, more: Omit<FlagOption, 'kind' | 'help'> = {}): FlagOption => ({ kind: 'flag', help, ...more });

export const text = (value: string, help: string, more: Omit<TextOption, 'kind' | 'help' | 'value'> = {}): TextOption => ({
  kind: 'text',
  value,
  help,
  ...more,
});

export const integer = (value: string, help: string): IntegerOption => ({ kind: 'integer', value, help });

/** Repeatable; a comma is part of the value. */
export const list = (
  value: string,
  help: string,
  more: { readonly short?: string; readonly completion?: Completion } = {},
): ListOption => ({
  kind: 'list',
  commas: false,
  value,
  help,
  ...more,
});

/** Repeatable, and `a,b` is two values. */
export const strings = (value: string, help: string): ListOption => ({ kind: 'list', commas: true, value, help });

/** `ipRange` -> `ip-range` */
export const longName = (key: string): string => key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** Is this, without the dashes, a long name of the option? */
export const isNamed = (key: string, { also }: OptionSpec, name: string): boolean => longName(key) === name || also === name;

/** `NETWORK [NETWORK...]` */
export function argumentUsage(argument: ArgumentSpec): string {
  const usage = argument.many ? `${argument.name} [${argument.name}...]` : argument.name;
  if (!argument.optional) return usage;
  return argument.many ? `[${argument.name}...]` : `[${argument.name}]`;
}
