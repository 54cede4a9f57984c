/** moord, the daemon process: configuration, signals, exit codes. */
import { setFlagsFromString } from 'node:v8';
import packageJson from '../../package.json' with { type: 'json' };
import { MoorError } from '../base/errors.ts';
import { type DaemonConfig, loadConfig } from './daemon/config.ts';
import { helpText, parseFlags } from './daemon/flags.ts';
import { createLogger } from './daemon/logger.ts';
import { type Daemon, startDaemon } from './daemon/run.ts';
import { releaseFilePages } from '../sys/memory.ts';
import { putBehind, threadsNamed } from '../sys/threads.ts';
import { notifySystemd } from '../sys/notify.ts';

const VERSION = packageJson.version;

// Names are filtered by expressions that clients send: one that backtracks for ever is finished by V8's linear engine.
setFlagsFromString('--enable-experimental-regexp-engine-on-excessive-backtracks');

/**
 * Flags of V8 once the API answers. A daemon does the same few things again and again, but seldom: by the usual thresholds what it does for a connect would be
 * interpreted the first four hundred times. Not from the start on, which would compile what only the start needs (docs/adr/0020, 0022).
 */
const SERVING = [
  '--no-optimize-for-size',
  // What has not run for a while would be thrown away, and compiled anew for the next request.
  '--no-flush-bytecode',
  '--always-sparkplug',
  '--invocation-count-for-feedback-allocation=1',
  '--invocation-count-for-maglev=5',
  '--minimum-invocations-after-ic-update=3',
  // A function whose code met something new has to be called 600 times before it is compiled again.
  '--invocation-count-for-maglev-with-delay=8',
  '--no-maglev-inlining',
];

/** Milliseconds after the start when what only the start needed is out of use. */
const SETTLE_MS = 1000;

/** Exit code of a process that a signal ended, as shells show it. */
const SIGNALLED = { SIGTERM: 128 + 15, SIGINT: 128 + 2 } as const;

/** @returns the exit code, or null when the daemon runs */
async function main(args: readonly string[]): Promise<number | null> {
  const flags = parseFlags(args);
  const on = (name: 'help' | 'version' | 'validate'): boolean => flags.get(name)?.at(-1) === 'true';
  if (on('help')) {
    process.stdout.write(helpText());
    return 0;
  }
  if (on('version')) {
    process.stdout.write(`moord version ${VERSION}\n`);
    return 0;
  }
  const config = loadConfig(flags);
  if (on('validate')) {
    process.stdout.write('configuration OK\n');
    return 0;
  }
  if (process.geteuid?.() !== 0) throw new Error('moord has to be started by root: it makes network namespaces, links and rules');
  await run(config, args);
  return null;
}

async function run(config: DaemonConfig, args: readonly string[]): Promise<void> {
  const logger = createLogger({ level: config.logLevel, format: config.logFormat });
  process.on('uncaughtException', (error) => {
    logger.fatal({ err: error }, 'uncaught error: the daemon ends, and puts things in order at its next start');
    process.exit(1);
  });
  // Set before the start, which can take a while: a signal in the middle of it waits for its end, a second one does not.
  const stop = Promise.withResolvers<'SIGTERM' | 'SIGINT'>();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      process.once(signal, () => process.exit(SIGNALLED[signal]));
      stop.resolve(signal);
    });
  }
  process.on('SIGHUP', () => reload(args, logger));

  let daemon: Daemon;
  try {
    daemon = await startDaemon({ config, version: VERSION, logger, debug: () => logger.isLevelEnabled('debug') });
  } catch (error) {
    // Where it came from is news only when we did not expect it.
    const expected = error instanceof MoorError && error.kind !== 'internal';
    logger.fatal(
      expected ? {} : { err: error },
      `failed to start daemon: ${error instanceof Error ? error.message : String(error)}`,
    );
    process.exit(1);
  }
  logger.info({ version: VERSION, pid: process.pid, listen: daemon.addresses.join(' ') }, 'moord is ready');
  notifySystemd('READY=1');
  setTimeout(() => releaseFilePages(process.execPath), SETTLE_MS).unref();
  for (const thread of threadsNamed(['node-V8Worker'])) putBehind(thread);
  for (const flag of SERVING) setFlagsFromString(flag);

  const signal = await stop.promise;
  notifySystemd('STOPPING=1');
  logger.info({ signal }, 'stopping');
  await daemon[Symbol.asyncDispose]();
  logger.info({}, 'stopped; networks and sandboxes stay as they are');
  process.exit(0);
}

/** SIGHUP: reads the configuration again; the log level is what can change while running. */
function reload(args: readonly string[], logger: ReturnType<typeof createLogger>): void {
  // sd_notify(3): a service of Type=notify-reload tells when it began, by CLOCK_MONOTONIC.
  notifySystemd(`RELOADING=1\nMONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
  try {
    const config = loadConfig(parseFlags(args));
    logger.level = config.logLevel;
    logger.info({ logLevel: config.logLevel, file: config.file ?? 'none' }, 'configuration reloaded');
  } catch (error) {
    logger.error({ err: error }, 'configuration not reloaded: the one in force stays');
  }
  notifySystemd('READY=1');
}

try {
  const code = await main(process.argv.slice(2));
  if (code !== null) process.exitCode = code;
} catch (error) {
  process.stderr.write(`moord: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
