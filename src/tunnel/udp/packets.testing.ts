/** Packets as they should be, of container 2 for container 1: what tests send, and what a fuzzer begins with. */

interface Transport {
  readonly protocol: number;
  readonly bytes: Buffer;
}

function ip4({ protocol, bytes }: Transport, { fragment = 0, options = 0 } = {}): Buffer {
  const header = Buffer.alloc(20 + options);
  header.set([0x40 | (header.length / 4), 0, 0, 0, 0, 1, 0, 0, 64, protocol]);
  header.writeUInt16BE(header.length + bytes.length, 2);
  header.writeUInt16BE(fragment, 6);
  header.set([10, 244, 2, 2, 10, 244, 1, 2], 12);
  let sum = 0;
  for (let i = 0; i < header.length; i += 2) sum += header.readUInt16BE(i);
  header.writeUInt16BE(~((sum & 0xffff) + (sum >>> 16)) & 0xffff, 10);
  return Buffer.concat([header, bytes]);
}

function ip6({ protocol, bytes }: Transport): Buffer {
  const header = Buffer.alloc(40);
  header[0] = 0x60;
  header.writeUInt16BE(bytes.length, 4);
  header.set([protocol, 64], 6);
  header.set([0xfd, 0x44, 0, 2], 8);
  header[23] = 2;
  header.set([0xfd, 0x44, 0, 1], 24);
  header[39] = 2;
  return Buffer.concat([header, bytes]);
}

function udp(checksum: number, payload: number): Transport {
  const bytes = Buffer.alloc(8 + payload);
  bytes.writeUInt16BE(7000, 0);
  bytes.writeUInt16BE(7000, 2);
  bytes.writeUInt16BE(bytes.length, 4);
  bytes.writeUInt16BE(checksum, 6);
  return { protocol: 17, bytes };
}

function tcp(flags: number, { options = 0, payload = 0, sequence = 1000, port = 7000 } = {}): Transport {
  const bytes = Buffer.alloc(20 + options + payload);
  bytes.writeUInt16BE(port, 0);
  bytes.writeUInt16BE(7000, 2);
  bytes.writeUInt32BE(sequence, 4);
  bytes.writeUInt32BE(1000, 8);
  bytes.set([((20 + options) / 4) << 4, flags, 1, 0, 0x12, 0x34], 12);
  return { protocol: 6, bytes };
}

/** A datagram for a port that nobody has, without a checksum. */
export const plainDatagram = (): Buffer => ip4(udp(0, 20));

const ACK = 0x10;
const PSH = 0x08;
const SYN = 0x02;

/** What the kernel takes past the process from anywhere. */
export const pureAck = (): Buffer => ip4(tcp(ACK));
/** Data of a flow, its checksum left to the receiver: the field holds the sum of the pseudo-header. */
export function segment(sequence: number, { payload = 100, push = false, port = 7000 } = {}): Buffer {
  const packet = ip4(tcp(push ? ACK | PSH : ACK, { sequence, payload, port }));
  let sum = 6 + packet.length - 20;
  for (let i = 12; i < 20; i += 2) sum += packet.readUInt16BE(i);
  packet.writeUInt16BE((sum & 0xffff) + (sum >>> 16), 36);
  return packet;
}
/** A segment with payload and a wrong checksum. */
export const spoiledSegment = (): Buffer => ip4(tcp(ACK, { payload: 100 }));

/** One of each kind that a tunnel treats differently. */
export const packets = (): readonly Buffer[] => [
  plainDatagram(),
  ip4(udp(0x1234, 20)),
  ip4(udp(0x1234, 0)),
  pureAck(),
  ip6(tcp(ACK)),
  ip4(tcp(ACK, { payload: 100 })),
  ip4(tcp(ACK | PSH, { options: 12, payload: 400 })),
  ip4(tcp(SYN, { options: 20 })),
  ip4(udp(0x1234, 64), { options: 8 }),
  ip4(udp(0x1234, 64), { fragment: 0x2000 }),
  ip4({ protocol: 1, bytes: Buffer.from([8, 0, 0xf7, 0xff, 0, 0, 0, 0]) }),
  ip6(udp(0x1234, 20)),
  ip6(tcp(ACK, { options: 12, payload: 100 })),
  // Hop-by-hop options in front of a datagram.
  ip6({ protocol: 0, bytes: Buffer.concat([Buffer.from([17, 0, 1, 4, 0, 0, 0, 0]), udp(0x1234, 8).bytes]) }),
];
