/**
 * What the command line needs of the world. `main` hands in the real things; tests hand in recorded answers and a terminal
 * that is a string.
 */
import type { Clock } from '../base/clock.ts';

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** With query string. */
  readonly path: string;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Give up after so many milliseconds without an answer; absent: wait as long as it takes. */
  readonly timeoutMs?: number;
}

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}

export interface HttpPort {
  /** @throws unavailable when nobody answers at the address; timeout; cancelled. Any HTTP status is an answer, not an error. */
  readonly send: (request: HttpRequest, signal?: AbortSignal) => Promise<HttpAnswer>;
  /** Lines of an answer that does not end by itself, as they come. @throws as `send`; also for a status that is not 200. */
  readonly lines: (path: string, signal?: AbortSignal) => AsyncIterable<string>;
}

export interface Output {
  readonly write: (text: string) => void;
  readonly isTerminal: boolean;
  /** Whether colour may be used: a terminal, and NO_COLOR is not set. */
  readonly colour: boolean;
}

export interface Terminal {
  readonly out: Output;
  readonly err: Output;
  /** Writes the question to `out` and reads one line; null at the end of the input. */
  readonly ask: (question: string) => Promise<string | null>;
}

/** A sandbox as a process sees it from inside. */
export interface SandboxView {
  /** Namespace file. */
  readonly netns: string;
  /** Files of the host that show another content inside. */
  readonly files: readonly { readonly source: string; readonly target: string }[];
  readonly hostname?: string;
}

export interface CommandLine {
  /** Program and arguments; at least one. */
  readonly command: readonly [string, ...string[]];
  readonly environment: Readonly<Record<string, string>>;
  readonly directory?: string;
  /** `USER[:GROUP]`, names or numbers. */
  readonly user?: string;
}

export interface Running {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat, clock ticks since boot. */
  readonly startTime: string;
  /** Resolves with the exit status a shell would show: the command's own, or 128 + signal number. */
  readonly ended: Promise<number>;
}

/** Entering a sandbox moves the CLI process itself: it is done once, right before `start` or `replace`. */
export interface ProcessPort {
  /** This process: its pid, and field 22 of its /proc/PID/stat. */
  readonly self: () => Promise<Pick<Running, 'pid' | 'startTime'>>;
  readonly enter: (view: SandboxView) => Promise<void>;
  /** Inherits terminal and standard streams; passes signals on until it ends. @throws CommandError */
  readonly start: (line: CommandLine) => Promise<Running>;
  /** A session of its own that outlives the CLI; output to a file, or nowhere. @throws CommandError; invalid for the log file */
  readonly startDetached: (line: CommandLine, log: string | undefined) => Promise<Running>;
  /** Becomes the command. Only returns by throwing. @throws CommandError */
  readonly replace: (line: CommandLine) => Promise<never>;
}

/** A command that could not be started, with the status that shells and `docker run` give: 127 not found, 126 not executable. */
export class CommandError extends Error {
  readonly status: 126 | 127;
  constructor(status: 126 | 127, message: string) {
    super(message);
    this.status = status;
  }
}

export interface Ports {
  /** Address of the daemon -> connection. Opens nothing yet. @throws invalid for an address it does not understand */
  readonly connect: (address: string) => HttpPort;
  readonly terminal: Terminal;
  readonly clock: Clock;
  readonly processes: ProcessPort;
  /** This process becomes the daemon. Only returns by throwing. */
  readonly daemon: (args: readonly string[]) => Promise<never>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly version: string;
  /** Aborts at SIGINT or SIGTERM, for what waits (events). */
  readonly interrupted: () => AbortSignal;
}
