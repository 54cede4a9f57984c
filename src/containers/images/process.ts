/** Runs a program of the distribution to its end. */
import { spawn } from 'node:child_process';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { MoorError } from '../../base/errors.ts';
import type { Chunks } from './tar/bytes.ts';

export interface RunOptions {
  readonly args: readonly string[];
  /** Becomes its standard input. */
  readonly input?: Chunks;
  /** Added to this process's. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly signal: AbortSignal;
}

export interface RunResult {
  readonly code: number;
  readonly stdout: Buffer;
  /** The last STDERR_MAX characters. */
  readonly stderr: string;
}

const STDERR_MAX = 16 * 1024;
/** Manifests and configurations, the largest things printed, are at most 4 MiB (our own limit). */
const STDOUT_MAX = 8 << 20;

/**
 * @throws unavailable when the program is not installed; cancelled by the signal (the program is killed and gone then); whatever `input` throws
 */
export async function run(program: string, { args, input, env, cwd, signal }: RunOptions): Promise<RunResult> {
  if (signal.aborted) throw cancelled(program, signal);
  const child = spawn(program, args, {
    stdio: [input ? 'pipe' : 'ignore', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C', ...env },
    ...(cwd === undefined ? {} : { cwd }),
  });
  const kill = (): void => void child.kill('SIGKILL');
  signal.addEventListener('abort', kill);
  const out: Buffer[] = [];
  let outBytes = 0;
  let stderr = '';
  child.stdout?.on('data', (data: Buffer) => {
    outBytes += data.length;
    if (outBytes > STDOUT_MAX) kill();
    else out.push(data);
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr = (stderr + text).slice(-STDERR_MAX)));
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', (error) => reject(notStarted(program, error)));
    child.once('close', (code) => resolve(code ?? -1));
  });
  try {
    const [code, fed] = await Promise.all([ended, input && child.stdin ? feed(input, child.stdin, kill) : null]);
    if (signal.aborted) throw cancelled(program, signal);
    if (fed) throw fed;
    return { code: outBytes > STDOUT_MAX ? -1 : code, stdout: Buffer.concat(out), stderr };
  } finally {
    signal.removeEventListener('abort', kill);
  }
}

/** @returns the error of the input itself; that the program did not read to the end shows in its exit code */
async function feed(input: Chunks, stdin: NodeJS.WritableStream, kill: () => void): Promise<Error | null> {
  let own: Error | null = null;
  const watched = async function* (): AsyncGenerator<Buffer, void> {
    try {
      yield* input;
    } catch (error) {
      own = error instanceof Error ? error : new Error(String(error));
      // Without this the program would take the end of its input for the end of the archive.
      kill();
      throw own;
    }
  };
  try {
    await pipeline(Readable.from(watched()), stdin);
  } catch {
    // told by `own`, or by how the program ended
  }
  return own;
}

function notStarted(program: string, error: Error): MoorError {
  const missing = 'code' in error && error.code === 'ENOENT';
  return new MoorError('unavailable', `Cannot run ${program}: ${missing ? 'it is not installed' : error.message}`, {
    cause: error,
  });
}

const cancelled = (program: string, signal: AbortSignal): MoorError =>
  new MoorError('cancelled', `${program} was cancelled`, { cause: signal.reason });
