/** Streams of a client that attached before its container was started: joined to the process when there is one. */
import { PassThrough } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Streams } from '../../contracts/containers.ts';

export class LateStreams implements Streams {
  readonly stdin: PassThrough | null;
  readonly stdout = new PassThrough();
  readonly stderr = new PassThrough();
  readonly #forget: () => void;
  #joined: Streams | null = null;

  /** @param forget called when the client is gone before the start */
  constructor(stdin: boolean, forget: () => void) {
    this.stdin = stdin ? new PassThrough() : null;
    this.#forget = forget;
  }

  /** From now on these are the process's streams, and end with them. */
  join(streams: Streams): void {
    this.#joined = streams;
    // Either end may go first; then the other has nothing more to do.
    const quiet = (): void => {};
    pipeline(streams.stdout, this.stdout).catch(quiet);
    pipeline(streams.stderr, this.stderr).catch(quiet);
    if (this.stdin !== null && streams.stdin !== null) pipeline(this.stdin, streams.stdin).catch(quiet);
  }

  /** There will be no process. */
  end(): void {
    this.stdout.end();
    this.stderr.end();
    this.stdin?.destroy();
  }

  readonly close = (): void => {
    this.#forget();
    if (this.#joined === null) this.end();
    else this.#joined.close();
  };
}
