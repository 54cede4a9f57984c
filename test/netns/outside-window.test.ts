/**
 * A TCP segment far outside the window, as some devices on long ways make them (moby/libnetwork#1090). Connection tracking holds it
 * invalid and does not translate it, so the host gets it and answers with a reset, which the client believes. The guide says so.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { idleAgent } from './idle-agent.ts';
import { HOST4, WORLD4 } from './lab.ts';
import { at, HERE, inside } from './packets.ts';
import { binding, createPortsLab } from './ports-lab.ts';

const PORT = 8000;

/** Learns the numbers of a connection from the next segment with data, and sends one whose number is off by the last argument. */
const FORGE = `
import socket, struct, sys
source, target, sport, dport, off = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
print('listens', flush=True)
while True:
    segment = raw.recv(65535)[20:]
    _, to, seq, ack = struct.unpack('!HHII', segment[:12])
    data = len(segment) - (segment[12] >> 4) * 4
    if to == sport and data > 0: break
def build(checksum):
    return struct.pack('!HHIIBBHHH', sport, dport, (ack + off) % 2**32, (seq + data) % 2**32, 5 << 4, 0x18, 500, checksum, 0) + b'x'
pseudo = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack('!BBH', 0, socket.IPPROTO_TCP, len(build(0)))
words = pseudo + build(0) + b'\\0'
total = sum(struct.unpack('!%dH' % (len(words) // 2), words))
while total >> 16: total = (total & 0xffff) + (total >> 16)
raw.bind((source, 0))
raw.sendto(build(~total & 0xffff), (target, 0))
`;

/** Numbers ahead of what the window allows, far more than any window. */
const AHEAD = 2 ** 28;
/** Whether a connection through a published port outlives such a segment. */
async function outlives(liberal: 0 | 1): Promise<boolean> {
  await using stack = new AsyncDisposableStack();
  const lab = stack.use(await createPortsLab());
  await at(HERE, 'sysctl', '-qw', `net.netfilter.nf_conntrack_tcp_be_liberal=${liberal}`);
  stack.defer(async () => void (await at(HERE, 'sysctl', '-qw', 'net.netfilter.nf_conntrack_tcp_be_liberal=0')));
  const network = await lab.network('10.1.0.0/24');
  const sandbox = await lab.sandbox(network, 2);
  await lab.publish(network, sandbox, binding('0.0.0.0', `${PORT}:7000/tcp`));
  const [server, client] = [stack.use(idleAgent(sandbox.place)), stack.use(idleAgent(lab.world))];
  await server.listen(7000);
  const name = 'connection';
  const port = await client.connect({ name, address: HOST4, port: PORT });
  await server.hears(name, name);
  const numbers = [port, PORT, AHEAD].map(String);
  const [file = '', ...args] = inside(lab.world, ['python3', '-c', FORGE, WORLD4, HOST4, ...numbers]);
  const forger = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  stack.defer(() => void forger.kill('SIGKILL'));
  const gone = once(forger, 'exit');
  await once(forger.stdout, 'data');
  server.send(name, 'something');
  await client.hears(name, 'something');
  assert.deepEqual(await gone, [0, null]);
  if (liberal === 0) {
    assert.equal(await client.ends(name), 'ECONNRESET');
    return false;
  }
  client.send(name, 'still there?');
  await server.hears(name, 'still there?');
  return true;
}

test('it resets a connection through a published port', async () => assert.equal(await outlives(0), false));
test('with nf_conntrack_tcp_be_liberal it is translated, and does no harm', async () => assert.ok(await outlives(1)));
