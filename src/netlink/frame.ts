/** Cuts a datagram into messages. */
import { malformed, type Source } from '../wire/bytes.ts';
import type { Codec } from '../wire/codec.ts';
import { nlmsghdr } from '../wire/netlink/header.ts';
import type { Received } from './request.ts';

/** One message of a datagram. */
export interface Frame extends Received {
  readonly sequence: number;
  readonly source: Source;
  /** Payload: offsets in the source's buffer. */
  readonly at: number;
  readonly end: number;
}

/** One object for all messages of a datagram: thousands come when a table is flushed. */
class Cursor implements Frame {
  readonly source: Source;
  type = 0;
  flags = 0;
  sequence = 0;
  at = 0;
  end = 0;

  constructor(source: Source) {
    this.source = source;
  }

  read<T>(codec: Pick<Codec<T>, 'read'>): T {
    return codec.read(this.source, this.at, this.end);
  }
}

const HEADER = nlmsghdr.size;
const { length: LENGTH, type: TYPE, flags: FLAGS, sequence: SEQUENCE } = nlmsghdr.at;

/**
 * Calls `visit` for each message in the first `length` bytes. The frame is valid until it returns.
 * @throws internal on a length that is too short or points past the end
 */
export function eachMessage(source: Source, length: number, visit: (frame: Frame) => void): void {
  const { view } = source;
  const frame = new Cursor(source);
  for (let offset = 0; offset < length; ) {
    const left = length - offset;
    const size = left < HEADER ? 0 : view.getUint32(offset + LENGTH, true);
    if (size < HEADER || size > left) throw malformed('netlink message', offset, `length ${size} with ${left} bytes left`);
    frame.type = view.getUint16(offset + TYPE, true);
    frame.flags = view.getUint16(offset + FLAGS, true);
    frame.sequence = view.getUint32(offset + SEQUENCE, true);
    frame.at = offset + HEADER;
    frame.end = offset + size;
    visit(frame);
    offset += (size + 3) & ~3;
  }
}
