/** HTTP over a UNIX socket with kept connections, timed: the same program drives both daemons. */
import { Agent, request } from 'node:http';

export interface Timed {
  /** From the call to the last byte of the answer. */
  readonly ms: number;
  readonly json: () => unknown;
}

/** Stop a run that hangs rather than wait for ever; far above anything measured. */
const LIMIT_MS = 120_000;

export class Client implements Disposable {
  readonly #socket: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 64 });

  constructor(socket: string) {
    this.#socket = socket;
  }

  /**
   * @param body an object is sent as JSON, a Buffer as a tar archive
   * @throws Error with the daemon's answer when the status is not 2xx
   */
  call(method: 'GET' | 'POST' | 'DELETE', path: string, body?: object | Buffer): Promise<Timed> {
    const bytes = body === undefined || Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
    const type = Buffer.isBuffer(body) ? 'application/x-tar' : 'application/json';
    return new Promise((done, fail) => {
      const started = performance.now();
      const outgoing = request(
        {
          socketPath: this.#socket,
          agent: this.#agent,
          method,
          path,
          timeout: LIMIT_MS,
          headers: bytes === undefined ? {} : { 'content-type': type, 'content-length': bytes.length },
        },
        (incoming) => {
          const chunks: Buffer[] = [];
          incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
          incoming.on('error', fail);
          incoming.on('end', () => {
            const ms = performance.now() - started;
            const text = Buffer.concat(chunks).toString();
            const status = incoming.statusCode ?? 0;
            if (status >= 200 && status < 300) done({ ms, json: () => JSON.parse(text) as unknown });
            else fail(new Error(`${method} ${path}: ${status} ${text.trim()}`));
          });
        },
      );
      outgoing.on('timeout', () => outgoing.destroy(new Error(`${method} ${path}: no answer in ${LIMIT_MS} ms`)));
      outgoing.on('error', fail);
      outgoing.end(bytes);
    });
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}
