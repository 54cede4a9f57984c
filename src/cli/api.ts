/** The daemon's answers as values, and its refusals as `MoorError`s. */
import { MoorError, type ErrorKind } from '../base/errors.ts';
import type { HttpAnswer, HttpPort, HttpRequest } from './ports.ts';

/** What an operation did, or (dry run) would do. */
export interface Answer<T> {
  readonly value: T;
  readonly warnings: readonly string[];
  readonly plan: PlanText;
}

export interface PlanText {
  readonly title: string;
  /** One line a change, in `ip` and `nft` words. */
  readonly text: readonly string[];
}

export type Query = Readonly<Record<string, string | undefined>>;

export interface Api {
  readonly get: <T>(path: string, query?: Query, options?: { readonly timeoutMs?: number }) => Promise<T>;
  readonly post: <T>(path: string, body?: unknown, query?: Query) => Promise<T>;
  readonly remove: <T>(path: string, query?: Query) => Promise<T>;
  /** JSON values of an endless answer, as they come. */
  readonly stream: <T>(path: string, query: Query, signal: AbortSignal) => AsyncIterable<T>;
}

/** Kinds for answers without one: Docker's paths carry only a status and a message. */
const KIND_OF_STATUS: Readonly<Record<number, ErrorKind>> = {
  400: 'invalid',
  403: 'forbidden',
  404: 'not-found',
  408: 'timeout',
  409: 'conflict',
  413: 'invalid',
  501: 'unsupported',
  503: 'unavailable',
  504: 'timeout',
};

const KINDS = {
  invalid: true,
  'not-found': true,
  conflict: true,
  forbidden: true,
  unsupported: true,
  exhausted: true,
  unavailable: true,
  timeout: true,
  cancelled: true,
  internal: true,
} satisfies Record<ErrorKind, true>;

const isKind = (value: unknown): value is ErrorKind => typeof value === 'string' && Object.hasOwn(KINDS, value);

/** `/networks/` and an escaped name. */
export const pathOf = (collection: string, reference: string, ...rest: readonly string[]): string =>
  [collection, encodeURIComponent(reference), ...rest].join('/');

export function createApi(http: HttpPort): Api {
  const call = async <T>(request: HttpRequest): Promise<T> => parseAnswer<T>(await http.send(request), request);
  return {
    get: (path, query = {}, options = {}) => call({ method: 'GET', path: path + queryText(query), ...options }),
    post: (path, body, query = {}) =>
      call({ method: 'POST', path: path + queryText(query), ...(body === undefined ? {} : { body }) }),
    remove: (path, query = {}) => call({ method: 'DELETE', path: path + queryText(query) }),
    stream: async function* <T>(path: string, query: Query, signal: AbortSignal) {
      for await (const line of http.lines(path + queryText(query), signal)) {
        if (line.trim() !== '') yield JSON.parse(line) as T;
      }
    },
  };
}

function queryText(query: Query): string {
  const pairs = Object.entries(query).flatMap(([key, value]) =>
    value === undefined ? [] : [`${key}=${encodeURIComponent(value)}`],
  );
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`;
}

function parseAnswer<T>(answer: HttpAnswer, request: HttpRequest): T {
  if (answer.status >= 400) throw refusal(answer);
  if (answer.body === '') return undefined as T;
  try {
    return JSON.parse(answer.body) as T;
  } catch (cause) {
    throw new MoorError('internal', `Cannot read the answer to ${request.method} ${request.path}: it is not JSON`, { cause });
  }
}

/** The error that an answer with a status of 400 or more stands for. */
export function refusal(answer: HttpAnswer): MoorError {
  let body: { readonly message?: unknown; readonly kind?: unknown } = {};
  try {
    const parsed: unknown = JSON.parse(answer.body);
    if (typeof parsed === 'object' && parsed !== null) body = parsed;
  } catch {
    // Not JSON: the text itself is all there is to say.
  }
  const message =
    typeof body.message === 'string' ? body.message : answer.body.trim() || `the daemon answered with status ${answer.status}`;
  return new MoorError(isKind(body.kind) ? body.kind : (KIND_OF_STATUS[answer.status] ?? 'internal'), message);
}
