/** Docker's JSON messages: one object a line, in answers that take their time (pull, load, import). */
import type { Progress } from '../../contracts/containers.ts';
import type { Call, DockerDeps } from '../route.ts';
import { sendHead } from './response.ts';

export function progressLine({ status, id, current, total }: Progress): string {
  const detail = { ...(current === undefined ? {} : { current }), ...(total === undefined ? {} : { total }) };
  // Docker has progressDetail, be it empty, on every line about a layer.
  const rest = id === undefined ? {} : { progressDetail: detail, id };
  return line({ status, ...rest });
}

export const line = (message: Readonly<Record<string, unknown>>): string => `${JSON.stringify(message)}\r\n`;

export const errorLine = (error: unknown): string => {
  const message = error instanceof Error ? error.message : String(error);
  return line({ errorDetail: { message }, error: message });
};

/** Most bytes kept for a client that does not read; beyond that progress is left out, but not the result. */
const MAX_BACKLOG = 1 << 20;

export interface Report {
  readonly progress: (line: Progress) => void;
  readonly say: (message: Readonly<Record<string, unknown>>) => void;
  /** Aborts when the client is gone or the daemon stops. */
  readonly signal: AbortSignal;
}

/**
 * Runs something and streams what it reports. As in Docker a failure before the first line is an ordinary error with a status, one after it
 * is the last line.
 */
export async function report(
  { stopping }: Pick<DockerDeps, 'stopping'>,
  { reply }: Call,
  work: (report: Report) => Promise<void>,
): Promise<undefined> {
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort());
  let started = false;
  const write = (text: string): void => {
    if (!started) sendHead(reply, 'application/json');
    started = true;
    reply.raw.write(text);
  };
  try {
    await work({
      progress: (progress) => {
        if (reply.raw.writableLength < MAX_BACKLOG) write(progressLine(progress));
      },
      say: (message) => write(line(message)),
      signal: AbortSignal.any([gone.signal, stopping]),
    });
  } catch (error) {
    if (!started) throw error;
    write(errorLine(error));
  }
  if (!started) sendHead(reply, 'application/json');
  reply.raw.end();
  return undefined;
}
