/** One HTTP request to one server, bounded in time, with what is worth knowing about its end. */
import { Agent as HttpAgent, type ClientRequest, type IncomingMessage, request as http } from 'node:http';
import { Agent as HttpsAgent, request as https } from 'node:https';
import { isIP } from 'node:net';
import { type Endpoint, endpointName } from '../address.ts';
import { connectionFault, type TlsText } from '../tls.ts';

export interface HttpCall {
  readonly method: 'GET' | 'PUT';
  /** With its query. */
  readonly path: string;
  readonly body?: string;
}

export interface HttpAnswer {
  readonly status: number;
  /** `X-Consul-Index`; 0 when there is none. */
  readonly index: number;
  readonly text: string;
}

/** No answer: the network, the time, or somebody who does not speak HTTP. */
export class HttpError extends Error {
  /** Whether the server may have got the request. */
  readonly reached: boolean;
  readonly timeout: boolean;

  constructor(message: string, { reached, timeout = false }: { readonly reached: boolean; readonly timeout?: boolean }) {
    super(message);
    this.name = 'HttpError';
    this.reached = reached;
    this.timeout = timeout;
  }
}

/** For TCP and TLS. Two lost packets in a row (1 s, then 2 s more: RFC 6298) are too many. */
const CONNECT_MS = 1_500;
/** Consul keeps idle connections for two minutes; we less, so as not to write to one that it is just closing. */
const IDLE_MS = 30_000;
/** Of the longest listing we take: a million entries of 1 KB would be more than this as JSON. */
const ANSWER_MAX_BYTES = 512 * 2 ** 20;

export class Http {
  readonly #plain = new HttpAgent({ keepAlive: true, timeout: IDLE_MS });
  readonly #secure = new HttpsAgent({ keepAlive: true, timeout: IDLE_MS });
  readonly #tls: () => Promise<TlsText | null>;
  readonly #headers: Readonly<Record<string, string>>;

  /** @param tls asked for each request: a certificate that was renewed is taken from then on */
  constructor(tls: () => Promise<TlsText | null>, token: string | null) {
    this.#tls = tls;
    this.#headers = { 'user-agent': 'moorline', ...(token === null ? {} : { 'x-consul-token': token }) };
  }

  /** @throws HttpError */
  async ask(endpoint: Endpoint, call: HttpCall, { timeoutMs, signal }: Patience): Promise<HttpAnswer> {
    const tls = await this.#tls();
    const name = endpointName(endpoint);
    return new Promise((done, fail) => {
      const options = {
        host: endpoint.host,
        port: endpoint.port,
        method: call.method,
        path: call.path,
        headers: this.#headers,
      };
      const request = tls
        ? https({ ...options, ...tls, agent: this.#secure, ...(isIP(endpoint.host) ? {} : { servername: endpoint.host }) })
        : http({ ...options, agent: this.#plain });
      let reached = false;
      const give = (reason: string, timeout = false): void => {
        fail(new HttpError(`${name}: ${reason}`, { reached, timeout }));
        request.destroy();
      };
      const connecting = setTimeout(() => give('no connection in time', true), Math.min(CONNECT_MS, timeoutMs));
      const answering = setTimeout(() => give('no answer', true), timeoutMs);
      const aborted = (): void => give(reasonOf(signal));
      signal.addEventListener('abort', aborted, { once: true });
      request.on('close', () => {
        clearTimeout(connecting);
        clearTimeout(answering);
        signal.removeEventListener('abort', aborted);
        give('the connection was closed');
      });
      request.on('error', (error) => give(connectionFault(error)));
      whenConnected(request, tls !== null, () => {
        reached = true;
        clearTimeout(connecting);
      });
      request.on('response', (response) => collect(response, done, give));
      if (signal.aborted) aborted();
      else request.end(call.body);
    });
  }

  close(): void {
    this.#plain.destroy();
    this.#secure.destroy();
  }
}

export interface Patience {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

const reasonOf = ({ reason }: AbortSignal): string => (reason instanceof Error ? reason.message : 'given up');

function whenConnected(request: ClientRequest, secure: boolean, connected: () => void): void {
  request.on('socket', (socket) => {
    if (request.reusedSocket) connected();
    else socket.once(secure ? 'secureConnect' : 'connect', connected);
  });
}

function collect(response: IncomingMessage, done: (answer: HttpAnswer) => void, give: (reason: string) => void): void {
  const pieces: Buffer[] = [];
  let bytes = 0;
  response.on('data', (piece: Buffer) => {
    pieces.push(piece);
    bytes += piece.length;
    if (bytes > ANSWER_MAX_BYTES) give(`an answer of more than ${ANSWER_MAX_BYTES} bytes`);
  });
  response.on('error', (error) => give(error.message));
  response.on('end', () => {
    if (!response.complete) return give('the answer was cut short');
    const index = Number(response.headers['x-consul-index'] ?? 0);
    const text = Buffer.concat(pieces).toString('utf8');
    done({ status: response.statusCode ?? 0, index: Number.isSafeInteger(index) && index > 0 ? index : 0, text });
  });
}
