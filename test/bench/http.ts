/**
 * HTTP over a UNIX socket with kept connections, timed: the same program drives both daemons. It does as little as possible itself, because what is timed
 * is the daemon: Node's own client takes 0.25 ms of a request (a call of the daemon's that takes 2).
 */
import { connect, type Socket } from 'node:net';

export interface Timed {
  /** From the call to the last byte of the answer. */
  readonly ms: number;
  readonly json: () => unknown;
}

/** Stop a run that hangs rather than wait for ever; far above anything measured. */
const LIMIT_MS = 120_000;

interface Answer {
  readonly status: number;
  readonly body: Buffer;
  /** The daemon closes the connection after it. */
  readonly last: boolean;
}

export class Client implements Disposable {
  readonly #path: string;
  readonly #idle: Socket[] = [];
  readonly #all = new Set<Socket>();

  constructor(socket: string) {
    this.#path = socket;
  }

  /**
   * @param body an object is sent as JSON, a Buffer as a tar archive
   * @throws Error with the daemon's answer when the status is not 2xx
   */
  async call(method: 'GET' | 'POST' | 'DELETE', path: string, body?: object | Buffer): Promise<Timed> {
    const started = performance.now();
    const { status, body: bytes } = await this.#exchange(`${method} ${path}`, body);
    const ms = performance.now() - started;
    if (status < 200 || status >= 300) throw new Error(`${method} ${path}: ${status} ${bytes.toString().trim()}`);
    return { ms, json: () => JSON.parse(bytes.toString()) as unknown };
  }

  #exchange(what: string, body: object | Buffer | undefined): Promise<Answer> {
    const socket = this.#idle.pop() ?? this.#dial();
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const chunks: Buffer[] = [];
    const fail = (error: Error): void => {
      socket.destroy();
      done();
      reject(error);
    };
    const read = (chunk: Buffer): void => {
      chunks.push(chunk);
      const answer = parse(chunks.length === 1 ? chunk : Buffer.concat(chunks));
      if (answer === null) return;
      done();
      if (answer.last) socket.destroy();
      else this.#idle.push(socket);
      resolve(answer);
    };
    const end = (): void => fail(new Error(`${what}: the connection ended before the answer`));
    const timer = setTimeout(() => fail(new Error(`${what}: no answer in ${LIMIT_MS} ms`)), LIMIT_MS);
    const done = (): void => {
      clearTimeout(timer);
      socket.off('data', read).off('error', fail).off('close', end);
    };
    socket.on('data', read).on('error', fail).on('close', end);
    const type = Buffer.isBuffer(body) ? 'application/x-tar' : 'application/json';
    const bytes = body === undefined || Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
    const described = bytes === undefined ? '' : `Content-Type: ${type}\r\nContent-Length: ${bytes.length}\r\n`;
    const head = `${what} HTTP/1.1\r\nHost: bench\r\n${described}\r\n`;
    socket.write(bytes === undefined ? head : Buffer.concat([Buffer.from(head), bytes]));
    return promise;
  }

  #dial(): Socket {
    const socket = connect(this.#path);
    this.#all.add(socket);
    socket.on('close', () => {
      this.#all.delete(socket);
      const at = this.#idle.indexOf(socket);
      if (at >= 0) this.#idle.splice(at, 1);
    });
    // Between requests: the daemon may be killed.
    socket.on('error', () => {});
    return socket;
  }

  [Symbol.dispose](): void {
    for (const socket of this.#all) socket.destroy();
  }
}

/** One whole answer (RFC 9112): with a length, in chunks, or without a body. @returns null when it is not all there yet */
export function parse(bytes: Buffer): Answer | null {
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0) return null;
  const [line = '', ...fields] = bytes.toString('latin1', 0, end).toLowerCase().split('\r\n');
  const status = Number(line.split(' ')[1]);
  const field = (name: string): string | undefined =>
    fields
      .find((text) => text.startsWith(`${name}:`))
      ?.slice(name.length + 1)
      .trim();
  const last = field('connection') === 'close';
  const start = end + 4;
  if (status === 204 || status === 304) return { status, body: Buffer.alloc(0), last };
  const length = field('content-length');
  if (length !== undefined) {
    const stop = start + Number(length);
    return bytes.length < stop ? null : { status, body: bytes.subarray(start, stop), last };
  }
  const body = unchunk(bytes.subarray(start));
  return body === null ? null : { status, body, last };
}

/** RFC 9112 section 7.1, without trailers. @returns null when the last chunk is not there yet */
function unchunk(bytes: Buffer): Buffer | null {
  const parts: Buffer[] = [];
  for (let at = 0; ; ) {
    const end = bytes.indexOf('\r\n', at);
    if (end < 0) return null;
    const size = Number.parseInt(bytes.toString('latin1', at, end), 16);
    const stop = end + 2 + size + 2;
    if (bytes.length < stop) return null;
    if (size === 0) return Buffer.concat(parts);
    parts.push(bytes.subarray(end + 2, stop - 2));
    at = stop;
  }
}
