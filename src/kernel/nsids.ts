/**
 * Numbers of sandboxes' namespaces in the host's (ip-netns(8), `list-id`). For each message out of a sandbox that we hear, and each about a pair
 * that leads into one, the kernel looks for its number among all of them, from the lowest on (idr_for_each(), net/core/net_namespace.c). It
 * would itself give the lowest that is free, so that the last of 1,000 sandboxes waited for 999 others some 25 times while it is attached. Here who
 * comes last gets a lower one than all before, since that is mostly the one to which things are done (docs/adr/0023).
 */
import { getNsid, setNsid } from '../netlink/nsid.ts';
import type { NetlinkSocket } from '../netlink/socket.ts';
import type { Fd } from '../sys/fd.ts';
import { hasCode } from '../sys/errors.ts';

/** With 18 bits the kernel's tree of numbers has three levels (RADIX_TREE_MAP_SHIFT 6). */
const FIRST = 2 ** 18 - 1;
/** Below are the kernel's and others'. From here it starts anew at the top, where the oldest have gone by then. */
const LAST = 2 ** 16;
/** Numbers that are tried, each next to one that is taken, before the kernel chooses. */
const TRIES = 8;

export class Nsids {
  readonly #host: NetlinkSocket;
  #next = FIRST;

  /** @param host in the host's namespace */
  constructor(host: NetlinkSocket) {
    this.#host = host;
  }

  /** The number of a namespace; it gets one if it has none. */
  of(netns: Fd): number | null {
    for (let tries = 0; ; tries += 1) {
      const has = this.#host.find(getNsid(netns));
      if (has !== null) return this.#seen(has);
      try {
        this.#host.run(setNsid(netns, tries < TRIES ? this.#take() : -1));
      } catch (error) {
        // The number is taken, or the namespace got one meanwhile: a pair between the two gives it one.
        if (!hasCode(error, 'EEXIST')) throw error;
      }
      if (tries > TRIES) return null;
    }
  }

  #take(): number {
    const number = this.#next;
    this.#next = number > LAST ? number - 1 : FIRST;
    return number;
  }

  /** Those of an earlier daemon: it goes on below. */
  #seen(number: number): number {
    if (number > LAST && number <= this.#next) this.#next = number - 1;
    return number;
  }
}
