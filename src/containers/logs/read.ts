/** Reads the file that conmon writes a container's output to (its `k8s-file` format), also while it is being written. */
import { unsupported } from '../../base/errors.ts';
import type { LogEntry, LogQuery } from '../../contracts/containers.ts';

export interface LogSource {
  /** The current file, `Runtime.logPath`; what was rotated away lies beside it. It need not exist yet. */
  readonly path: string;
  /** Aborted when the container has ended (or had before): what is in the file then is still given, and a follow ends. */
  readonly ended: AbortSignal;
}

/**
 * Entries in order; partial lines come as they were written (`data` ends with a line feed where the container wrote one).
 * @param signal ends the iteration, without an error
 */
export function readLogs(_source: LogSource, _query: LogQuery, _signal: AbortSignal): AsyncIterable<LogEntry> {
  throw unsupported('Cannot read logs: not built yet');
}
