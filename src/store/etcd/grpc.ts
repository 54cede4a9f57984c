/**
 * What gRPC adds to HTTP/2 (github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md): each message has a head of five bytes, and the outcome of a call
 * stands in the trailers.
 */

/** Codes of a call's outcome (doc/statuscodes.md), those that etcd uses. */
export const GRPC = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const;

/** A call that failed, in the server's words or ours. */
export class RpcError extends Error {
  /** One of `GRPC`, or one that we do not know. */
  readonly code: number;
  /** False: the server has certainly done nothing, so any call may be tried again. */
  readonly reached: boolean;

  constructor(code: number, text: string, reached: boolean) {
    super(text);
    this.name = 'RpcError';
    this.code = code;
    this.reached = reached;
  }
}

/** Compressed flag (1 byte, never set: we accept no encoding), then the length, big-endian. */
const HEAD_BYTES = 5;
/** A page of a listing is the largest: at the server's default limit of 1.5 MiB a value, 500 of them are 750 MiB. */
const MESSAGE_MAX_BYTES = 1 << 30;

/** A message with its head. */
export function frame(message: Uint8Array): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** Puts messages together from the pieces in which they arrive. */
export class Unframer {
  #pieces: Buffer[] = [];
  #size = 0;
  /** Bytes until something can be done. */
  #wanted = HEAD_BYTES;

  /**
   * @returns the messages that the piece completes.
   * @throws RpcError for a message that is compressed or larger than we take.
   */
  push(piece: Buffer): Buffer[] {
    this.#pieces.push(piece);
    this.#size += piece.length;
    const messages: Buffer[] = [];
    // Joined only when enough has come: joining at each piece would cost the square of a large message's size.
    if (this.#size < this.#wanted) return messages;
    let rest: Buffer = this.#pieces.length === 1 ? piece : Buffer.concat(this.#pieces);
    for (;;) {
      this.#wanted = HEAD_BYTES;
      if (rest.length < HEAD_BYTES) break;
      if (rest[0] !== 0) throw new RpcError(GRPC.INTERNAL, 'the answer is compressed', true);
      const length = rest.readUInt32BE(1);
      if (length > MESSAGE_MAX_BYTES) throw new RpcError(GRPC.INTERNAL, `the answer has a message of ${length} bytes`, true);
      this.#wanted += length;
      if (rest.length < this.#wanted) break;
      messages.push(rest.subarray(HEAD_BYTES, this.#wanted));
      rest = rest.subarray(this.#wanted);
    }
    this.#pieces = rest.length > 0 ? [rest] : [];
    this.#size = rest.length;
    return messages;
  }

  /** Whether the last message is cut. */
  get partial(): boolean {
    return this.#size > 0;
  }
}

/** Headers of one kind, as HTTP/2 gives them. */
type Headers = Readonly<Record<string, string | string[] | number | undefined>>;

/** The outcome in trailers, or in the headers of a call that failed at once; null: there is none. */
export function outcome(headers: Headers): RpcError | 'ok' | null {
  const status = headers['grpc-status'];
  if (status === undefined) return null;
  const code = Number(status);
  if (code === GRPC.OK) return 'ok';
  const text = headers['grpc-message'];
  return new RpcError(Number.isInteger(code) ? code : GRPC.UNKNOWN, decodeText(typeof text === 'string' ? text : ''), true);
}

/** Percent-encoded; what is not well encoded is left as it is. */
function decodeText(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
