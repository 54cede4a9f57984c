/** The kernel's own words on why it refused a request. */
import { netlinkH } from '../wire/netlink/constants.ts';
import { nlmsgerr, nlmsgerrAttributes } from '../wire/netlink/header.ts';
import type { Frame } from './frame.ts';

/** `int error` at the start of NLMSG_DONE, where attributes follow at once. */
const DONE_ERROR = 4;

/** @returns undefined when it gave none */
export function explain(frame: Frame): string | undefined {
  if (!(frame.flags & netlinkH.NLM_F_ACK_TLVS)) return undefined;
  // The request is not echoed after its header: NETLINK_CAP_ACK is set on all our sockets.
  const start = frame.at + (frame.type === netlinkH.NLMSG_DONE ? DONE_ERROR : nlmsgerr.size);
  const { message, offset, missingType } = nlmsgerrAttributes.read(frame.source, Math.min(start, frame.end), frame.end);
  if (message !== undefined) return message;
  if (missingType !== undefined) return `attribute ${missingType} is missing`;
  return offset === undefined ? undefined : `attribute at byte ${offset} is refused`;
}
