/** One sandbox's sockets, and what it is told. */
import type { Id } from '../base/ids.ts';
import type { ResolverClient } from '../contracts/resolver.ts';
import { epollH, socketH } from '../sys/constants.ts';
import type { Datagrams } from '../sys/datagrams.ts';
import type { Fd } from '../sys/fd.ts';
import { acceptFrom, listenOn, sendDatagram, setOption, socketError } from '../sys/inet.ts';
import { netnsIdentity, openNetns, withNetns } from '../sys/netns.ts';
import { dnsType, HEADER, rcode } from '../wire/dns.ts';
import { Connection } from './connection.ts';
import type { Asker, Forwarder } from './forward.ts';
import type { Loop, Source } from './loop.ts';
import { DROP, FORWARD, type OwnNames, type Room } from './own.ts';
import { ADDRESS, PORT } from './plan.ts';
import { Timer } from './timers.ts';
import { type UpstreamSet, type UpstreamSets, usable } from './upstreams.ts';
import { View } from './view.ts';
import type { Zones } from './zones.ts';

/** Connections of one client, and of all. */
const MAX_CONNECTIONS_EACH = 64;
const MAX_CONNECTIONS = 2048;
/** Connections that wait to be accepted. */
const BACKLOG = 64;
/** Milliseconds without accepting after no descriptor was left. */
const PAUSE = 100;
/**
 * Bytes of datagrams that may wait, as the kernel counts them: more than 700 for a short one. The usual limit (net.core.rmem_default) loses some when a
 * client sends a few hundred at once.
 */
const RECEIVE_BUFFER = 1 << 20;
/** Bytes of the longest TCP message. RFC 1035 section 4.2.2 */
const TCP_MAX = 65535;

/** What all clients share. */
export interface Shared {
  readonly loop: Loop;
  readonly zones: Zones;
  readonly sets: UpstreamSets;
  readonly forwarder: Forwarder;
  readonly own: OwnNames;
  readonly datagrams: Datagrams;
  readonly counts: { queries: number; dropped: number; connections: number };
}

const TCP_ROOM: Room = { bytes: TCP_MAX, datagram: false };
/** A query by TCP, and over it its answer. */
const tcpPlace = new Uint8Array(TCP_MAX);

interface Sockets {
  readonly identity: string;
  /** Kept open while a server is asked from there. */
  readonly netns: Fd;
  readonly udp: Fd;
  readonly listener: Fd;
}

export class Client implements Asker {
  readonly sandbox: Id;
  waiting = 0;
  readonly #shared: Shared;
  readonly #udpRoom: Room;
  readonly #sockets: Sockets;
  readonly #connections = new Set<Connection>();
  readonly #resume = new Timer(() => this.#shared.loop.change(this.#sockets.listener, epollH.EPOLLIN));
  #view: View;
  #set: UpstreamSet | null;
  #ndots: boolean;

  /** @throws when its namespace is gone (not-found) or its ports are taken (conflict); nothing is left open then */
  constructor(spec: ResolverClient, shared: Shared) {
    this.sandbox = spec.sandbox;
    this.#shared = shared;
    this.#udpRoom = { bytes: shared.datagrams.size, datagram: true };
    this.#sockets = openSockets(spec.netns);
    const { loop } = shared;
    const { udp, listener } = this.#sockets;
    try {
      loop.watch(udp, new Part((events) => this.#datagrams(events)), epollH.EPOLLIN);
      loop.watch(
        listener,
        new Part(
          () => this.#accept(),
          () => this.#pause(),
        ),
        epollH.EPOLLIN,
      );
    } catch (error) {
      this.#closeSockets();
      throw error;
    }
    this.#view = new View(spec, shared.zones);
    this.#set = this.#takeSet(spec);
    this.#ndots = spec.ndots ?? false;
  }

  /** Whether its sockets are those of the namespace that is at this path now. @throws not-found */
  fits({ netns }: ResolverClient): boolean {
    return netnsIdentity(netns) === this.#sockets.identity;
  }

  /** Sockets and connections stay. */
  change(spec: ResolverClient): void {
    const { view, set } = { view: this.#view, set: this.#set };
    this.#view = new View(spec, this.#shared.zones);
    this.#set = this.#takeSet(spec);
    this.#ndots = spec.ndots ?? false;
    view.release();
    if (set !== null) this.#shared.sets.release(set);
  }

  close(): void {
    this.#closeSockets();
    for (const connection of this.#connections) connection.close();
    this.#view.release();
    if (this.#set !== null) this.#shared.sets.release(this.#set);
  }

  /** Connections that cannot be taken now wait: asking for them again and again would take all of the thread's time. */
  #pause(): void {
    this.#shared.loop.change(this.#sockets.listener, 0);
    this.#shared.loop.timers.start(this.#resume, PAUSE);
  }

  #closeSockets(): void {
    this.#shared.loop.timers.stop(this.#resume);
    const { netns, udp, listener } = this.#sockets;
    for (const fd of [udp, listener, netns]) this.#shared.loop.close(fd);
  }

  #takeSet({ sandbox, upstreams }: ResolverClient): UpstreamSet | null {
    const servers = usable(upstreams);
    return servers.length === 0 ? null : this.#shared.sets.take(servers, { sandbox, netns: this.#sockets.netns });
  }

  #datagrams(events: number): void {
    const { datagrams, own, counts } = this.#shared;
    const { udp } = this.#sockets;
    if (events & epollH.EPOLLERR) socketError(udp);
    const count = datagrams.receive(udp);
    counts.queries += count;
    for (let i = 0; i < count; i++) {
      const at = datagrams.offset(i);
      own.place(datagrams.bytes, at);
      const length = datagrams.length(i);
      let answer = length < 0 ? DROP : own.respond(this.#view, length, this.#udpRoom);
      if (answer === FORWARD) answer = this.#ownRefusal();
      if (answer > 0) datagrams.answer(i, answer);
      else if (answer === DROP) counts.dropped++;
      else this.#forward(datagrams.bytes.subarray(at, at + length), this.#toSender(i));
    }
    counts.dropped += datagrams.flush(udp);
  }

  #toSender(i: number): { readonly room: number; readonly reply: (answer: Uint8Array) => void } {
    const { datagrams, own } = this.#shared;
    const sender = datagrams.sender(i);
    const { udp } = this.#sockets;
    return { room: Math.min(own.question.size, datagrams.size), reply: (answer) => void sendDatagram(udp, answer, sender) };
  }

  /** What needs no server to be answered; FORWARD: one may know. */
  #ownRefusal(): number {
    const { own } = this.#shared;
    if (this.#set === null) return own.fail(rcode.SERVFAIL);
    const { type, labels } = own.question;
    // As Docker: with ndots, the client goes on with its search list when a name without a dot is answered so.
    if (this.#ndots && labels === 1 && (type === dnsType.A || type === dnsType.AAAA)) return own.fail(rcode.NOERROR);
    return FORWARD;
  }

  #forward(message: Uint8Array, to: { readonly room: number; readonly reply: (answer: Uint8Array) => void }): void {
    const { forwarder, own } = this.#shared;
    if (this.#set === null) return;
    const { question } = own;
    forwarder.ask(
      this.#set,
      { question, message },
      {
        asker: this,
        id: question.id,
        question: message.slice(HEADER, question.end),
        edns: question.edns ? { flags: question.ednsFlags } : null,
        ...to,
      },
    );
  }

  #accept(): void {
    const { loop, counts } = this.#shared;
    const fd = acceptFrom(this.#sockets.listener);
    if (fd === null) return;
    if (this.#connections.size >= MAX_CONNECTIONS_EACH || counts.connections >= MAX_CONNECTIONS) {
      fd.close();
      counts.dropped++;
      return;
    }
    counts.connections++;
    this.#connections.add(
      new Connection({
        loop,
        fd,
        query: (connection, message) => this.#query(connection, message),
        closed: (connection) => {
          if (this.#connections.delete(connection)) counts.connections--;
        },
      }),
    );
  }

  #query(connection: Connection, message: Uint8Array): boolean {
    const { own, counts } = this.#shared;
    counts.queries++;
    tcpPlace.set(message);
    own.place(tcpPlace, 0);
    let answer = own.respond(this.#view, message.length, TCP_ROOM);
    if (answer === FORWARD) answer = this.#ownRefusal();
    if (answer === DROP) {
      counts.dropped++;
      return false;
    }
    if (answer > 0) connection.reply(tcpPlace.subarray(0, answer));
    else this.#forward(message, { room: TCP_MAX, reply: (whole) => connection.reply(whole) });
    return true;
  }
}

/** A socket of a client as the loop knows it. What was received when something broke is lost, as datagrams may be. */
class Part implements Source {
  readonly ready: (events: number) => void;
  readonly broke: () => void;

  constructor(ready: (events: number) => void, broke: () => void = () => {}) {
    this.ready = ready;
    this.broke = broke;
  }
}

function openSockets(path: string): Sockets {
  const netns = openNetns(path);
  const open: Fd[] = [netns];
  try {
    const identity = netnsIdentity(netns);
    const [udp, listener] = withNetns(netns, () => {
      const at = { address: ADDRESS, port: PORT };
      const first = listenOn('udp', at, 0);
      open.push(first);
      setOption(first, socketH.SOL_SOCKET, { name: socketH.SO_RCVBUFFORCE, value: RECEIVE_BUFFER });
      const second = listenOn('tcp', at, BACKLOG);
      open.push(second);
      return [first, second];
    });
    return { identity, netns, udp, listener };
  } catch (error) {
    for (const fd of open) fd.close();
    throw error;
  }
}
