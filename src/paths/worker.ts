/** The thread that looks at paths: sockets, and the clock. It sleeps in poll(2) until an answer or somebody's turn comes. */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { errorData, MoorError } from '../base/errors.ts';
import { type Family, familyOf, type IpAddress, ipBytes, ipFromBytes } from '../base/ip.ts';
import { Datagrams } from '../sys/datagrams.ts';
import { Fd } from '../sys/fd.ts';
import { clearEvent, Waiting } from '../sys/poll.ts';
import { openEchoSocket, openUdp, sendRawUdp, sendTo, sourceTo } from '../sys/probe-sockets.ts';
import { setThreadName } from '../sys/process.ts';
import { echoRequest, HEARD, heard, summedDatagram } from '../wire/icmp.ts';
import { Prober } from './prober.ts';
import type { FromPaths, PathsWorkerData, ToPaths } from './protocol.ts';

const port = parentPort;
if (port === null) throw new MoorError('internal', 'paths/worker.ts must run as a worker thread');
const data = workerData as PathsWorkerData;
setThreadName('moor-paths');
const tell = (message: FromPaths): void => port.postMessage(message);

/** ICMP has no ports: this number, which others may have too, and who answers, say that an answer is ours. */
const id = Math.floor(Math.random() * 0x10000);
/** Of a reply as long as it is, nothing but its headers is looked at; an error quotes 8 bytes and more of ours. Bytes. */
const LOOKED_AT = 160;
const BATCH = 32;

const event = new Fd(data.event, 'eventfd');
const datagrams = new Datagrams(BATCH, LOOKED_AT);

interface Sockets {
  readonly echo: Fd;
  readonly udp: ReturnType<typeof openUdp>;
}

const sockets = new Map<Family, Sockets | null>();
let waiting = new Waiting([event]);

/** null: this host cannot, which is told once. */
function socketsOf(family: Family): Sockets | null {
  const known = sockets.get(family);
  if (known !== undefined) return known;
  let made: Sockets | null = null;
  try {
    made = { echo: openEchoSocket(family, HEARD[family]), udp: openUdp(family) };
  } catch (error) {
    tell({ type: 'trouble', error: errorData(error) });
  }
  sockets.set(family, made);
  waiting = new Waiting([event, ...[...sockets.values()].flatMap((pair) => (pair === null ? [] : [pair.echo]))]);
  return made;
}

/** What a datagram carries, for whoever looks at packets. */
const PAYLOAD = Buffer.from('moord looks whether checksums arrive');

function sendDatagrams(address: IpAddress, destinationPort: number): void {
  const udp = socketsOf(familyOf(address))?.udp;
  const source = sourceTo(address);
  if (udp === undefined || source === null) return;
  sendTo(udp.fd, PAYLOAD, { address, port: destinationPort });
  const head = { source, destination: ipBytes(address), sourcePort: (udp.port ^ 1) & 0xffff, destinationPort };
  sendRawUdp(summedDatagram({ ...head, payload: PAYLOAD }), address);
}

const prober = new Prober(
  {
    echo: (address, { sequence, size }) => {
      const family = familyOf(address);
      const pair = socketsOf(family);
      if (pair === null) return false;
      return sendTo(pair.echo, echoRequest({ family, id, sequence, size }), { address, port: 0 }) === 'sent';
    },
    datagrams: sendDatagrams,
    path: (address, report) => tell({ type: 'path', address, report }),
    checksums: (address, report) => tell({ type: 'checksums', address, report }),
    random: Math.random,
    leftPort: (family) => sockets.get(family)?.udp.port ?? 0,
  },
  data.known,
);

function hear(family: Family, fd: Fd, now: number): void {
  for (;;) {
    const count = datagrams.receive(fd);
    for (let i = 0; i < count; i++) {
      const [at, length] = [datagrams.offset(i), datagrams.length(i)];
      const what = heard(family, datagrams.bytes.subarray(at, at + (length < 0 ? LOOKED_AT : length)));
      if (what === null || (what.type !== 'port-unreachable' && what.id !== id)) continue;
      // `struct sockaddr_in` has the address at 4, `sockaddr_in6` at 8.
      const sender = datagrams.sender(i);
      prober.heard(what, ipFromBytes(family === 6 ? sender.subarray(8, 24) : sender.subarray(4, 8)), now);
    }
    if (count < BATCH) return;
  }
}

/** @returns false when the thread is to end */
function obey(from: NonNullable<typeof parentPort>): boolean {
  clearEvent(event);
  for (let next = receiveMessageOnPort(from); next !== undefined; next = receiveMessageOnPort(from)) {
    const message = next.message as ToPaths;
    if (message.type === 'stop') return false;
    prober.want(message.targets, performance.now());
  }
  return true;
}

while (obey(port)) {
  for (const [family, pair] of sockets) if (pair !== null) hear(family, pair.echo, performance.now());
  const next = prober.turn(performance.now());
  waiting.wait(Number.isFinite(next) ? Math.max(0, Math.ceil(next - performance.now())) : -1);
}
for (const pair of sockets.values()) {
  pair?.echo.close();
  pair?.udp.fd.close();
}
port.close();
