/** Ports for time and logging, so that nothing below `main` reads the real ones by itself. */

export interface Clock {
  /** Wall-clock time in milliseconds since the Unix epoch. */
  readonly now: () => number;
}

export const systemClock: Clock = { now: () => Date.now() };

/** Time that passes evenly, whatever the wall clock is set to: for leases and time-outs. */
export interface SteadyClock {
  /** Milliseconds since some fixed moment. */
  readonly elapsed: () => number;
}

/** Structured fields of one log line. */
export type LogFields = Readonly<Record<string, unknown>>;

/** pino's shape (fields first, then the sentence), so that a pino logger is one. */
export interface Logger {
  readonly debug: (fields: LogFields, message: string) => void;
  readonly info: (fields: LogFields, message: string) => void;
  readonly warn: (fields: LogFields, message: string) => void;
  readonly error: (fields: LogFields, message: string) => void;
}

export const silentLogger: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
