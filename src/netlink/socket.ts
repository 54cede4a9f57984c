/** Request sockets: batches with an answer per request, dumps, extended ACKs. netlink(7) */
import { MoorError } from '../base/errors.ts';
import { netlinkSocketH } from '../sys/constants.ts';
import { hasCode, kernelError } from '../sys/errors.ts';
import type { Fd } from '../sys/fd.ts';
import { withNetns } from '../sys/netns.ts';
import { NetlinkFd } from '../sys/socket.ts';
import { type Source, sourceOf } from '../wire/bytes.ts';
import { netlinkH, nfnetlinkH } from '../wire/netlink/constants.ts';
import { nlmsghdr } from '../wire/netlink/header.ts';
import { nftObject } from '../wire/netlink/nftables.ts';
import { explain } from './extack.ts';
import { eachMessage, type Frame } from './frame.ts';
import { type Query, type Request, unanswered } from './request.ts';

export type { Query, Request } from './request.ts';

export type Protocol = 'route' | 'netfilter';
const PROTOCOLS = { route: netlinkH.NETLINK_ROUTE, netfilter: netlinkH.NETLINK_NETFILTER } as const satisfies Record<
  Protocol,
  number
>;

/**
 * Bytes of kernel memory, for sockets that send more than a few requests at a time. An answer takes about 1 KiB of it, 4 KiB when it describes a link; a socket is born
 * with 208 KiB.
 */
const ROOM = { receive: 8 << 20, send: 1 << 20 } as const;
/** Requests and bytes of one send that a new socket has room for. */
const FEW = { requests: 32, bytes: 64 << 10 } as const;
/**
 * Bytes in one send. The send buffer is 1 MiB, and the answers to all requests, of at least 32 bytes each, wait in the receive buffer before we read the
 * first.
 */
const BATCH_BYTES = 256 << 10;
/** A dump of something that changes all the time is given up after so many starts. */
const DUMP_TRIES = 10;

/** A request that the kernel is at. Neither function waits. */
export interface Aside {
  /** Whether the kernel has finished. */
  readonly done: () => boolean;
  /** null = done, undefined = not answered yet, or why not */
  readonly answer: () => MoorError | null | undefined;
}

/** What is sent: sockets of a thread take turns, as nothing of it is needed once a send has returned. */
let out = new Uint8Array(8192);
let view = new DataView(out.buffer);

/** The kernel answers a request that lies here only when it refuses it. */
const silence = (at: number): void => {
  const flags = at + nlmsghdr.at.flags;
  view.setUint16(flags, view.getUint16(flags, true) & ~netlinkH.NLM_F_ACK, true);
};

/**
 * A request socket: made in one namespace, used by one thread. Nothing waits: the kernel has answered by the time a send returns.
 */
export class NetlinkSocket implements Disposable {
  readonly #fd: NetlinkFd;
  /** What is received; the buffer is reused. */
  readonly #in: Source;
  #sequence = 1;
  #roomy = false;
  #strict: boolean;

  private constructor(fd: NetlinkFd, protocol: Protocol) {
    this.#fd = fd;
    this.#strict = protocol !== 'route';
    // Dumps look at known attributes only.
    this.#in = sourceOf(fd.bytes, false);
  }

  /**
   * @param netns where to make it; default: the namespace the thread is in
   * @throws unsupported when the kernel lacks the protocol
   */
  static open(protocol: Protocol, netns?: Fd): NetlinkSocket {
    const open = (): NetlinkFd => new NetlinkFd(PROTOCOLS[protocol]);
    const fd = netns ? withNetns(netns, open) : open();
    try {
      const { SOL_NETLINK, NETLINK_CAP_ACK, NETLINK_EXT_ACK } = netlinkSocketH;
      fd.setOption(SOL_NETLINK, NETLINK_CAP_ACK, 1);
      fd.setOption(SOL_NETLINK, NETLINK_EXT_ACK, 1);
      return new NetlinkSocket(fd, protocol);
    } catch (error) {
      fd.close();
      throw error;
    }
  }

  /**
   * Sends requests in as few sends as fit. The kernel takes them in order and goes on after one that it refuses. It answers what it refuses, and the last:
   * silence about another one says that it is done.
   * @returns one entry per request: null = done, or why not
   * @throws only when the socket itself fails
   */
  execute(requests: readonly Request[]): readonly (MoorError | null)[] {
    const results: (MoorError | null)[] = [];
    for (let start = 0; start < requests.length; ) {
      let end = start;
      let bytes = 0;
      /** Where the last one lies. */
      let last = 0;
      const first = this.#nextSequence();
      while (end < requests.length) {
        const request = requests[end];
        if (!request || (end > start && bytes + request.bytes.length > BATCH_BYTES)) break;
        if (end > start) silence(last);
        last = bytes;
        bytes = this.#place(request, bytes);
        end++;
      }
      if (end - start > FEW.requests || bytes > FEW.bytes) this.#makeRoom();
      this.#fd.send(out, bytes);
      this.#acknowledge(requests.slice(start, end), first, results);
      start = end;
    }
    return results;
  }

  /**
   * Sends one request on another thread, so that this one can go on while the kernel works. Nothing else may be asked of this socket
   * before `done` of what this returns, nor may it be closed.
   */
  executeAside(request: Request): Aside {
    const sequence = this.#nextSequence();
    const length = this.#place(request, 0);
    const write = this.#fd.sendAside(out.subarray(0, length));
    return {
      done: () => write.done(),
      answer: () => {
        let answer: MoorError | null | undefined;
        const length = this.#fd.receive();
        if (length < 0) return undefined;
        eachMessage(this.#in, length, (frame) => {
          if (frame.type === netlinkH.NLMSG_ERROR && frame.sequence === sequence) answer = errorOf(frame, request);
        });
        return answer;
      },
    };
  }

  /**
   * Sends requests to nf_tables as one transaction: all of them are done, or none is.
   * @returns one entry per request: null = no fault of its, or why not
   */
  transact(requests: readonly Request[]): readonly (MoorError | null)[] {
    const begin = this.#nextSequence();
    let bytes = this.#place(BATCH_BEGIN, 0);
    for (const [i, request] of requests.entries()) {
      const at = bytes;
      bytes = this.#place(request, bytes);
      if (i < requests.length - 1) silence(at);
    }
    if (requests.length > FEW.requests || bytes > FEW.bytes) this.#makeRoom();
    this.#fd.send(out, this.#place(BATCH_END, bytes));
    // Undefined: not answered yet. Only the last has to be.
    const results: (MoorError | null | undefined)[] = requests.map((_, i) => (i < requests.length - 1 ? null : undefined));
    /** Of the transaction as a whole: it is told as an answer to its beginning. */
    let whole: MoorError | null = null;
    // What is wrong with the whole is told first, and the last request answered last.
    for (let length = 0; results.at(-1) === undefined && (length = this.#fd.receive()) >= 0; ) {
      eachMessage(this.#in, length, (frame) => {
        const index = frame.sequence - begin - 1;
        if (frame.type !== netlinkH.NLMSG_ERROR || index < -1 || index >= requests.length) return;
        const error = errorOf(frame, requests[Math.max(index, 0)] ?? BATCH_BEGIN);
        if (index < 0) whole ??= error;
        else results[index] = error;
      });
    }
    return results.map((result, i) => {
      if (result === undefined && whole === null)
        throw new MoorError('internal', `${requests[i]?.what ?? ''}: the kernel's answer was lost`);
      return result ?? whole;
    });
  }

  /** One request. @throws what the kernel says */
  run(request: Request): void {
    const error = this.execute([request])[0];
    if (error) throw error;
  }

  /**
   * Asks, and reads every answer. Asks again when the kernel says that things changed under the dump.
   * @throws what the kernel says
   */
  collect<T>(query: Query<T>): readonly T[] {
    for (let tries = 1; ; tries++) {
      const { items, interrupted } = this.#ask(query);
      if (!interrupted) return items;
      if (tries === DUMP_TRIES) throw new MoorError('unavailable', `${query.what}: interrupted by changes ${tries} times`);
    }
  }

  /** Asks for one thing. @returns null when there is no such thing */
  find<T>(query: Query<T>): T | null {
    try {
      return this.collect(query)[0] ?? null;
    } catch (error) {
      if (hasCode(error, 'ENODEV', 'ENOENT', 'ESRCH', 'EADDRNOTAVAIL', 'ENETUNREACH')) return null;
      throw error;
    }
  }

  /** Name of a link in the socket's namespace, '' when no link has this index: much cheaper than to find it. */
  linkName(index: number): string {
    return this.#fd.linkName(index);
  }

  /** Readable when there is an answer. */
  get fd(): Fd {
    return this.#fd.fd;
  }

  close(): void {
    this.#fd.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Starts over long before 32 bits are used up, so that no batch wraps. */
  #nextSequence(): number {
    if (this.#sequence > 0x7fffffff) this.#sequence = 1;
    return this.#sequence;
  }

  /** Copies a request into the send buffer under the next sequence number. @returns where the next one goes */
  #place(request: Request, at: number): number {
    const end = at + ((request.bytes.length + 3) & ~3);
    if (end > out.length) {
      const grown = new Uint8Array(Math.max(end, out.length * 2));
      grown.set(out);
      out = grown;
      view = new DataView(out.buffer);
    }
    out.set(request.bytes, at);
    out.fill(0, at + request.bytes.length, end);
    view.setUint32(at + nlmsghdr.at.sequence, this.#sequence, true);
    this.#sequence++;
    return end;
  }

  /** Until the last is answered: answers come in order. */
  #acknowledge(requests: readonly Request[], first: number, results: (MoorError | null)[]): void {
    const base = results.length;
    for (const _ of requests) results.push(null);
    let done = false;
    const visit = (frame: Frame): void => {
      if (frame.type !== netlinkH.NLMSG_ERROR) return;
      const index = frame.sequence - first;
      const request = requests[index];
      // An answer to an earlier batch that failed half way.
      if (!request || done) return;
      results[base + index] = errorOf(frame, request);
      done = index === requests.length - 1;
    };
    while (!done) eachMessage(this.#in, this.#receive(requests[0]), visit);
  }

  /** For many answers, and for what fills more than the buffers of a new socket. */
  #makeRoom(): void {
    if (this.#roomy) return;
    this.#fd.setRoom(ROOM);
    this.#roomy = true;
  }

  #ask<T>(query: Query<T>): { readonly items: readonly T[]; readonly interrupted: boolean } {
    const sequence = this.#nextSequence();
    if (!this.#strict) {
      // Dumps are filtered by the kernel, and what it does not understand is an error instead of being ignored.
      this.#fd.setOption(netlinkSocketH.SOL_NETLINK, netlinkSocketH.NETLINK_GET_STRICT_CHK, 1);
      this.#strict = true;
    }
    this.#fd.send(out, this.#place(query, 0));
    const items: T[] = [];
    let interrupted = false;
    let failure: Error | null = null as Error | null;
    for (let done = false; !done; ) {
      const length = this.#receive(query);
      eachMessage(this.#in, length, (frame) => {
        if (frame.sequence !== sequence || done) return;
        if (frame.flags & netlinkH.NLM_F_DUMP_INTR) interrupted = true;
        if (frame.type === netlinkH.NLMSG_DONE || frame.type === netlinkH.NLMSG_ERROR) {
          failure ??= errorOf(frame, query);
          done = true;
          return;
        }
        if (frame.type < MIN_TYPE || failure) return;
        try {
          const item = query.decode(frame);
          if (item !== undefined) items.push(item);
        } catch (error) {
          // The rest of the dump is still read, so that the socket stays usable.
          failure = error instanceof Error ? error : new Error(String(error));
        }
      });
    }
    if (hasCode(failure, 'EINTR')) return { items, interrupted: true };
    if (failure) throw failure;
    return { items, interrupted };
  }

  #receive(request: Request | undefined): number {
    const length = this.#fd.receive();
    if (length < 0) throw new MoorError('internal', `${request?.what ?? 'netlink'}: the kernel's answer was lost`);
    return length;
  }
}

/** Around a transaction of nf_tables. <linux/netfilter/nfnetlink.h> */
const batchMark = (type: number): Request =>
  unanswered('nft', type, {
    codec: nftObject,
    value: { header: { version: nfnetlinkH.NFNETLINK_V0, resource: nfnetlinkH.NFNL_SUBSYS_NFTABLES }, attributes: {} },
  });
const BATCH_BEGIN = batchMark(nfnetlinkH.NFNL_MSG_BATCH_BEGIN);
const BATCH_END = batchMark(nfnetlinkH.NFNL_MSG_BATCH_END);

/** NLMSG_MIN_TYPE, <linux/netlink.h>: types below are control messages. */
const MIN_TYPE = 0x10;

/** NLMSG_ERROR and NLMSG_DONE both begin with 0 or a negative errno. */
function errorOf(frame: Frame, request: Request): MoorError | null {
  if (frame.end - frame.at < 4) return null;
  const code = frame.source.view.getInt32(frame.at, true);
  return code === 0 ? null : kernelError(request.what, -code, explain(frame));
}
