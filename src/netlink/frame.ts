/** Cuts a datagram into messages. */
import { malformed, type Source } from '../wire/bytes.ts';
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

/**
 * Calls `visit` for each message in the first `length` bytes.
 * @throws internal on a length that is too short or points past the end
 */
export function eachMessage(source: Source, length: number, visit: (frame: Frame) => void): void {
  for (let offset = 0; offset < length; ) {
    const header = nlmsghdr.read(source, offset, length);
    if (header.length < nlmsghdr.size || header.length > length - offset) {
      throw malformed('netlink message', offset, `length ${header.length} with ${length - offset} bytes left`);
    }
    const at = offset + nlmsghdr.size;
    const end = offset + header.length;
    const { type, flags, sequence } = header;
    visit({ type, flags, sequence, source, at, end, read: (codec) => codec.read(source, at, end) });
    offset += (header.length + 3) & ~3;
  }
}
