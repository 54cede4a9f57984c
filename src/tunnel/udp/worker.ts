/**
 * The tunnel process: empties the device, empties the socket, sleeps until one of them, or somebody with a message, is there. It outlives the daemon
 * that started it. There is no event loop: nothing else happens, and a signal ends it at once.
 */
import { writeFileSync } from 'node:fs';
import { errorData } from '../../base/errors.ts';
import { familyOf } from '../../base/ip.ts';
import { Fd } from '../../sys/fd.ts';
import { releaseFilePages } from '../../sys/memory.ts';
import { Waiting } from '../../sys/poll.ts';
import { giveWay, setThreadName } from '../../sys/process.ts';
import { goBeforeOthers } from '../../sys/scheduling.ts';
import { Arena } from './arena.ts';
import { Control } from './control.ts';
import { Counters } from './counters.ts';
import { FastPath } from './fastpath/fastpath.ts';
import { Inbound, INBOUND_BYTES } from './inbound.ts';
import { Outbound, outboundBytes } from './outbound.ts';
import { Linger } from './linger.ts';
import { PeerTable } from './peers.ts';
import { INHERITED, PIDFILE, PROTOCOL, type TunnelProcessData } from './protocol.ts';
import { CAPACITY, SlotTable } from './slots.ts';

/** Batches between two looks for a message while there is no pause: a look is a system call. */
const LOOK = 64;

const data = JSON.parse(process.argv[2] ?? '') as TunnelProcessData;
setThreadName('moor-tunnel');
writeFileSync(`${data.directory}/${PIDFILE}`, `${process.pid}\n`);

const [tun, udp] = [new Fd(INHERITED.tun, data.device), new Fd(INHERITED.udp, `UDP port ${data.local.port}`)];
const listener = new Fd(INHERITED.listener, `control socket of ${data.device}`);

const counters = new Counters(CAPACITY);
const slots = new SlotTable(counters);
const arena = new Arena(outboundBytes(CAPACITY) + INBOUND_BYTES);
const fastPath = new FastPath({ device: data.device, local: data.local, socket: udp, capacity: CAPACITY, counters });
// One table each way: a table remembers the address that was asked for last.
const outbound = new Outbound({ arena, tun, udp, counters, capacity: CAPACITY }, new PeerTable([]));
const v6 = familyOf(data.local.address) === 6;
const inbound = new Inbound(
  { arena, tun, device: data.device, udp, v6, udpSegments: data.udpSegments, counters, fastPath },
  new PeerTable([]),
);

/** @returns why it may not */
function preferred(): string {
  try {
    goBeforeOthers();
    return '';
  } catch (error) {
    return errorData(error).message;
  }
}

/** Until the peers are known every packet would be a stranger's: they wait in the device and in the socket. */
let known = false;
const control = new Control({
  listener,
  hello: { ...data, type: 'hello', protocol: PROTOCOL, pid: process.pid, refused: data.priority ? preferred() : '' },
  shared: [tun, udp],
  obey(message) {
    if (message.type === 'status') {
      const peers = slots.counts((slot) => fastPath.carried(slot));
      return { type: 'status', serial: message.serial, status: { peers, drops: counters.drops(), fastPath: fastPath.status() } };
    }
    const peers = slots.assign(message.peers);
    outbound.setTable(new PeerTable(peers));
    inbound.setTable(new PeerTable(peers));
    fastPath.setPeers(peers, message.underlay);
    known = true;
    return { type: 'took', serial: message.serial };
  },
});

/** Of the list that is waited for. */
const [TUN, UDP, MESSAGES] = [0, 1, 2];
const waitingFor = (): Waiting => new Waiting([tun, udp, ...control.fds]);

function wait(fds: Waiting, count: number, timeout: number): boolean {
  fds.wait(timeout);
  for (let i = MESSAGES; i < count; i++) if (fds.fired(i)) return true;
  return false;
}

/** Until it is told to end. In a function: V8 looks up names of a module, and globals, each time. */
function carry(): void {
  const linger = new Linger();
  const clock = performance;
  let waiting = waitingFor();
  let count = MESSAGES + control.fds.length;
  let [fromTun, fromUdp] = [true, true];
  let now = clock.now();
  for (let batch = 1; ; batch++) {
    const read = fromTun ? outbound.drain() : 0;
    const received = fromUdp ? inbound.drain(now) : 0;
    now = clock.now();
    let message = false;
    if (read > 0 || received > 0) {
      linger.packets(now);
      [fromTun, fromUdp] = [true, true];
      if (batch % LOOK === 0) message = wait(waiting, count, 0);
    } else {
      if (linger.goesOn(now)) {
        // Whoever the last packets were for may wait for this CPU.
        giveWay();
        message = wait(waiting, count, 0);
      } else {
        message = wait(waiting, count, -1);
        now = clock.now();
        linger.woken(now);
      }
      // A ping is one packet: it does not ask the other side as well.
      [fromTun, fromUdp] = [waiting.fired(TUN), waiting.fired(UDP)];
    }
    if (!message) continue;
    if (!control.turn()) return;
    waiting = waitingFor();
    count = MESSAGES + control.fds.length;
  }
}

while (!known) {
  new Waiting(control.fds).wait(-1);
  if (!control.turn()) process.exit(0);
}
// Most of the program's text was for the start.
releaseFilePages(process.execPath);
carry();
process.exit(0);
