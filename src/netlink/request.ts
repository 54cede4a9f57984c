/** One netlink message, ready to send but for its sequence number, and what it does in iproute2 words. */
export interface Request {
  readonly bytes: Uint8Array;
  readonly what: string;
}
