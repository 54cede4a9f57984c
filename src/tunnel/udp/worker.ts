/** The thread of a tunnel: empties the device, empties the socket, sleeps until one of them has something. Nothing else happens on it. */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { MoorError } from '../../base/errors.ts';
import { Fd } from '../../sys/fd.ts';
import { clearEvent, Waiting } from '../../sys/poll.ts';
import { setThreadName } from '../../sys/process.ts';
import { Arena } from './arena.ts';
import { Counters } from './counters.ts';
import { Inbound, INBOUND_BYTES } from './inbound.ts';
import { Outbound, outboundBytes } from './outbound.ts';
import { PeerTable } from './peers.ts';
import type { FromTunnel, ToTunnel, TunnelWorkerData } from './protocol.ts';

const port = parentPort;
if (port === null) throw new MoorError('internal', 'tunnel/udp/worker.ts must run as a worker thread');
const data = workerData as TunnelWorkerData;
setThreadName('moor-tunnel');

const tun = new Fd(data.tun, 'TUN device');
const udp = new Fd(data.udp, 'tunnel socket');
const event = new Fd(data.event, 'eventfd');
const counters = new Counters(data.counters);
const arena = new Arena(outboundBytes(data.capacity) + INBOUND_BYTES);
// One table each way: a table remembers the address that was asked for last.
const outbound = new Outbound({ arena, tun, udp, counters, capacity: data.capacity }, new PeerTable(data.peers));
const inbound = new Inbound({ arena, tun, udp, v6: data.v6, udpSegments: data.udpSegments, counters }, new PeerTable(data.peers));
const waiting = new Waiting([tun, udp, event]);
const flag = new Int32Array(data.flag);
const send = (message: FromTunnel): void => port.postMessage(message);

/** @returns false when the tunnel is to end */
function obey(from: NonNullable<typeof parentPort>): boolean {
  Atomics.store(flag, 0, 0);
  clearEvent(event);
  for (let next = receiveMessageOnPort(from); next !== undefined; next = receiveMessageOnPort(from)) {
    const message = next.message as ToTunnel;
    if (message.type === 'stop') return false;
    outbound.setTable(new PeerTable(message.peers));
    inbound.setTable(new PeerTable(message.peers));
    send({ type: 'took', serial: message.serial });
  }
  return true;
}

send({ type: 'ready' });
for (;;) {
  const read = outbound.drain();
  const received = inbound.drain();
  if (Atomics.load(flag, 0) !== 0 && !obey(port)) break;
  if (read === 0 && received === 0) waiting.wait(-1);
}
port.close();
