/** Whatever was thrown, as an HTTP answer. */
import { type ErrorKind, MoorError } from '../base/errors.ts';
import { HTTP_STATUS } from '../base/http.ts';

export interface Failure {
  readonly status: number;
  readonly kind: ErrorKind;
  readonly message: string;
}

type Level = 'warn' | 'error';

/** How the daemon's log tells of a failed request; null: as one of many requests. What a user got wrong is no error of ours. */
const LEVEL = {
  invalid: null,
  'not-found': null,
  conflict: null,
  forbidden: null,
  unsupported: null,
  cancelled: null,
  // A pool or a bridge is full, we are stopping, something did not answer: worth knowing, and nothing is broken.
  exhausted: 'warn',
  unavailable: 'warn',
  timeout: 'warn',
  internal: 'error',
} as const satisfies Record<ErrorKind, Level | null>;

export function levelOf(error: unknown): Level | null {
  const { kind } = failureOf(error);
  // The machine's own resources, and not those that a user has been given: a disk, descriptors, memory.
  if (kind === 'exhausted' && error instanceof MoorError && error.kernel !== undefined) return 'error';
  return LEVEL[kind];
}

/** Fastify's codes for requests that never reach a handler. */
const FRAMEWORK: Readonly<Record<string, Failure>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: { status: 413, kind: 'invalid', message: 'request body too large: at most 1 MiB is accepted' },
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: { status: 400, kind: 'invalid', message: 'request body and Content-Length differ' },
  FST_ERR_CTP_INVALID_MEDIA_TYPE: { status: 400, kind: 'invalid', message: 'malformed Content-Type header: mime: no media type' },
  FST_ERR_BAD_URL: { status: 400, kind: 'invalid', message: 'malformed URL: bad percent-encoding' },
};

interface FastifyLike {
  readonly code?: unknown;
  readonly statusCode?: unknown;
}

/** Characters of a word that a message may repeat: more than any id, and than paths that are not meant badly. */
const LONGEST_WORD = 256;
/** What is shown of a longer one. */
const SHOWN = 64;
/** Characters of a whole message. */
const LONGEST_MESSAGE = 4096;

/** A message may repeat what the client sent, but not a screenful of it. */
function shortened(message: string): string {
  const text = message.replace(TOO_LONG, (word) => `${word.slice(0, SHOWN)}...`);
  return text.length > LONGEST_MESSAGE ? `${text.slice(0, LONGEST_MESSAGE)}...` : text;
}

const TOO_LONG = new RegExp(`[^\\s"'(),;]{${LONGEST_WORD + 1},}`, 'g');

export function failureOf(error: unknown): Failure {
  const failure = wholeFailure(error);
  return { ...failure, message: shortened(failure.message) };
}

function wholeFailure(error: unknown): Failure {
  if (error instanceof MoorError) return { status: HTTP_STATUS[error.kind], kind: error.kind, message: error.message };
  if (!(error instanceof Error)) return { status: 500, kind: 'internal', message: String(error) };
  const { code, statusCode } = error as Error & FastifyLike;
  const known = typeof code === 'string' ? FRAMEWORK[code] : undefined;
  if (known) return known;
  if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500) {
    return { status: statusCode, kind: 'invalid', message: error.message };
  }
  return { status: 500, kind: 'internal', message: error.message };
}
