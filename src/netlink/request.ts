/** Requests as values: bytes that any number of which can be sent together, and words for people. */
import { Writer } from '../wire/bytes.ts';
import type { Codec } from '../wire/codec.ts';
import { netlinkH } from '../wire/netlink/constants.ts';
import { nlmsghdr } from '../wire/netlink/header.ts';

/** One netlink message, ready to send but for its sequence number. */
export interface Request {
  readonly bytes: Uint8Array;
  /** What it does, in iproute2 words: `ip link add veth1 type veth peer name eth0`. */
  readonly what: string;
}

/** A request that is answered with messages, and how to read one. */
export interface Query<T> extends Request {
  /** @returns undefined for a message to leave out */
  readonly decode: (message: Received) => T | undefined;
  /** The messages are answers to a dump, which the kernel can say was interrupted. */
  readonly dump: boolean;
}

/** A message in a receive buffer, valid until the next one is received. */
export interface Received {
  /** RTM_*, or subsystem << 8 | message for nfnetlink */
  readonly type: number;
  /** NLM_F_* */
  readonly flags: number;
  readonly read: <T>(codec: Pick<Codec<T>, 'read'>) => T;
}

const { NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP } = netlinkH;

/** Words are for the rare request that fails: they are put together when somebody asks. */
type Words = string | (() => string);

class Message implements Request {
  readonly bytes: Uint8Array;
  readonly #what: Words;

  constructor(what: Words, bytes: Uint8Array) {
    this.#what = what;
    this.bytes = bytes;
  }

  get what(): string {
    return typeof this.#what === 'string' ? this.#what : this.#what();
  }
}

/** One writer serves all requests of a thread: building is synchronous. */
const writer = new Writer(4096);

/**
 * @param type RTM_*, or subsystem << 8 | message
 * @param flags NLM_F_* beside NLM_F_REQUEST
 */
function encode<T>(type: number, flags: number, body: { readonly codec: Codec<T>; readonly value: T }): Uint8Array {
  writer.clear();
  nlmsghdr.write(writer, { type, flags: NLM_F_REQUEST | flags });
  body.codec.write(writer, body.value);
  writer.view.setUint32(0, writer.length, true);
  return writer.finish();
}

/** A change: answered with an ACK. */
export function change<T>(what: Words, type: number, options: { flags?: number; codec: Codec<T>; value: T }): Request {
  return new Message(what, encode(type, NLM_F_ACK | (options.flags ?? 0), options));
}

/** A message that the kernel only answers when something is wrong with it. */
export function unanswered<T>(what: string, type: number, options: { codec: Codec<T>; value: T }): Request {
  return { what, bytes: encode(type, 0, options) };
}

/** A question about one thing (answered with it and an ACK) or, with `dump`, about all. */
export function query<T, R>(
  what: string,
  type: number,
  options: { dump: boolean; codec: Codec<T>; value: T; decode: Query<R>['decode'] },
): Query<R> {
  const { dump, decode } = options;
  return { what, dump, decode, bytes: encode(type, dump ? NLM_F_DUMP : NLM_F_ACK, options) };
}
