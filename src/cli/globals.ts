/** Options that every command takes, before or after its name. */
import { type Command, flag, type Options, text } from './command.ts';

export const DEFAULT_HOST = 'unix:///run/moor/moor.sock';

export const GLOBAL_OPTIONS = {
  host: text('ADDRESS', 'Where the daemon listens', { short: 'H', shownDefault: `$MOOR_HOST or ${DEFAULT_HOST}` }),
  json: flag('Print JSON for programs'),
} as const satisfies Options;

export const HELP = flag('Show this help', { short: 'h' });

export const DRY_RUN = flag('Print what would be done to the kernel, in ip and nft words, and do nothing');

/** All that a command takes besides `--help`. */
export const optionsOf = (command: Command): Options =>
  command.passThrough === 'all'
    ? {}
    : {
        ...GLOBAL_OPTIONS,
        ...(command.changes || command.passThrough === 'rest' ? { dryRun: DRY_RUN } : {}),
        ...command.options,
      };
