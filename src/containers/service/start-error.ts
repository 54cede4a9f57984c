/** Why a container did not start, in Docker's words, and the exit code that it shows then. */
import { type ErrorKind, errorData, MoorError } from '../../base/errors.ts';

/** As a shell's: 127 no such command, 126 one that cannot be run; 128 is Docker's for everything else. */
const NOT_FOUND = 127;
export const NOT_RUNNABLE = 126;
const UNKNOWN = 128;

export interface StartFailure {
  readonly exitCode: number;
  readonly error: MoorError;
}

/** What the runtime says when the command itself is the problem. */
const MISSING = ['executable file not found', 'no such file or directory', 'system cannot find the file specified'];
const FORBIDDEN = ['permission denied', 'is a directory', 'exec format error'];

/** @param otherwise exit code of what has none of its own: Docker's is another one for a further process */
export function startFailure(cause: unknown, otherwise = UNKNOWN): StartFailure {
  const { kind, message } = errorData(cause);
  const text = message.toLowerCase();
  const has = (words: readonly string[]): boolean => words.some((word) => text.includes(word));
  const failed = (exitCode: number, as: ErrorKind): StartFailure => ({
    exitCode,
    error: cause instanceof MoorError && cause.kind === as ? cause : new MoorError(as, message, { cause }),
  });
  if (has(['not a directory']) && text.includes('mount')) {
    const hint =
      'Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is the expected type';
    return { exitCode: NOT_FOUND, error: new MoorError('invalid', `${message}: ${hint}`, { cause }) };
  }
  if (!text.includes('runtime')) return failed(otherwise, kind);
  if (has(FORBIDDEN)) return failed(NOT_RUNNABLE, 'invalid');
  if (has(MISSING)) return failed(NOT_FOUND, 'invalid');
  return failed(otherwise, kind);
}
