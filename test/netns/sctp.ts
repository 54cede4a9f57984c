/** SCTP without a kernel that speaks it: one packet from a raw socket to another, which is all that NAT needs to show. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { end, inside, type Place } from './packets.ts';

/** An INIT chunk (RFC 9260 section 3.3.2) in a packet with its CRC32c. */
const COMMON = `
import socket, struct, sys
def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0x82f63b78 if crc & 1 else crc >> 1
    return struct.pack('<I', crc ^ 0xffffffff)
family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
raw = socket.socket(family, socket.SOCK_RAW, 132)
`;
const SEND = `${COMMON}
chunk = struct.pack('!BBHIIHHI', 1, 0, 20, 0x1234, 0x10000, 1, 1, 0x55)
head = struct.pack('!HHI', 4000, int(sys.argv[2]), 0)
raw.sendto(head + crc32c(head + bytes(4) + chunk) + chunk, (sys.argv[1], 0))
`;
const RECEIVE = `${COMMON}
print('up', flush=True)
packet, peer = raw.recvfrom(2000)
packet = packet[20:] if family == socket.AF_INET else packet
good = packet[8:12] == crc32c(packet[:8] + bytes(4) + packet[12:])
print(peer[0], struct.unpack('!HH', packet[:4])[1], 'good' if good else 'bad', flush=True)
`;

const python = (place: Place, script: string, ...args: readonly string[]) => {
  const [file = '', ...words] = inside(place, ['python3', '-c', script, ...args]);
  return spawn(file, words, { stdio: ['ignore', 'pipe', 'inherit'] });
};

/** @returns `198.51.100.2 80 good`: the sender and the port as the receiver sees them, and whether the checksum is right */
export async function sctpArrival(from: Place, to: Place, { address, port }: { address: string; port: number }): Promise<string> {
  const receiver = python(to, RECEIVE, address);
  await using stack = new AsyncDisposableStack();
  stack.defer(() => end(receiver));
  const lines = createInterface({ input: receiver.stdout })[Symbol.asyncIterator]();
  await lines.next();
  const sender = python(from, SEND, address, String(port));
  await once(sender, 'exit');
  return (await lines.next()).value ?? '';
}
