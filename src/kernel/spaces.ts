/** Sockets into namespaces, and indexes of links by name, as one thread uses them while it applies a list. */
import { MoorError } from '../base/errors.ts';
import { HOST, type Netns } from '../contracts/change.ts';
import { getLink, type LinkInfo } from '../netlink/link.ts';
import { type Namespace, createNamespace, openNamespace } from '../netlink/namespace.ts';
import { NetlinkSocket } from '../netlink/socket.ts';
import { netnsIdentity, ownNetns, unpinNetns } from '../sys/netns.ts';
import { Nsids } from './nsids.ts';

/** Namespaces held open: two descriptors each. */
const CAPACITY = 128;

/** Guesses that a namespace keeps: some 100 bytes each. */
const GUESSES = 4096;

/** One namespace, open. */
export class Space implements Disposable {
  readonly netns: Netns;
  readonly namespace: Namespace;
  /** Of links looked up or made since `forgetLinks`; a removed link is not here. */
  readonly #indexes = new Map<string, number>();
  readonly #names = new Map<number, string>();
  /** Where links were found in earlier lists: a guess, which is cheaper to check than a link is to find. */
  readonly #guesses = new Map<string, number>();
  readonly #born = new Set<string>();
  #netfilter: NetlinkSocket | null = null;

  constructor(netns: Netns, namespace: Namespace) {
    this.netns = netns;
    this.namespace = namespace;
  }

  get route(): NetlinkSocket {
    return this.namespace.route;
  }

  /**
   * For nftables in here. Open as long as the space: closing it right behind a removal waits for the kernel to let go of what was removed,
   * which takes an RCU grace period (some ten milliseconds).
   */
  get netfilter(): NetlinkSocket {
    return (this.#netfilter ??= NetlinkSocket.open('netfilter', this.namespace.netns));
  }

  /** null = no such link */
  indexOf(name: string): number | null {
    const known = this.#indexes.get(name);
    if (known !== undefined) return known;
    const guess = this.#guesses.get(name);
    if (guess !== undefined && this.route.linkName(guess) === name) {
      this.learn(name, guess);
      return guess;
    }
    this.#guesses.delete(name);
    const info = this.find(name);
    if (info === null) return null;
    if (this.#guesses.size >= GUESSES) this.#guesses.clear();
    this.#guesses.set(name, info.index);
    return info.index;
  }

  /** '' = no such link, or 0 */
  nameOf(index: number): string {
    if (index === 0) return '';
    return this.#names.get(index) ?? this.route.linkName(index);
  }

  /** Asks the kernel. */
  find(link: string | number): LinkInfo | null {
    const info = this.route.find(getLink(link));
    if (info !== null) this.learn(info.name, info.index);
    return info;
  }

  /** Where a link is. */
  learn(name: string, index: number): void {
    this.#indexes.set(name, index);
    this.#names.set(index, name);
  }

  /** A link of this list: made by a message that is sent before those that use its index. */
  bear(name: string, index: number): void {
    this.learn(name, index);
    this.#born.add(name);
  }

  /** Made by this list: nothing of it has been set but what this list sets. */
  isBorn(name: string): boolean {
    return this.#born.has(name);
  }

  forgetLink(name: string): void {
    const index = this.#indexes.get(name);
    if (index !== undefined) this.#names.delete(index);
    this.#indexes.delete(name);
    this.#born.delete(name);
  }

  forgetLinks(): void {
    this.#indexes.clear();
    this.#names.clear();
    this.#born.clear();
  }

  [Symbol.dispose](): void {
    this.#netfilter?.close();
    this.namespace[Symbol.dispose]();
  }
}

export class Spaces implements Disposable {
  readonly host: Space;
  readonly nsids: Nsids;
  /** By path, the longest unused first. An open socket keeps its namespace alive: see `rest`. */
  readonly #open = new Map<Netns, { readonly space: Space; readonly identity: string; checked: number }>();
  #round = 0;

  constructor() {
    this.host = new Space(HOST, { netns: ownNetns(), route: NetlinkSocket.open('route'), [Symbol.dispose]() {} });
    this.nsids = new Nsids(this.host.route);
  }

  /** A new list starts: names may have come to mean other links, paths other namespaces. */
  begin(): void {
    this.#round++;
    this.host.forgetLinks();
    for (const { space } of this.#open.values()) space.forgetLinks();
  }

  /** @throws not-found `no namespace PATH` */
  get(netns: Netns): Space {
    if (netns === HOST) return this.host;
    const known = this.#open.get(netns);
    if (known !== undefined) {
      if (known.checked === this.#round || identityOf(netns) === known.identity) {
        known.checked = this.#round;
        this.#open.delete(netns);
        this.#open.set(netns, known);
        return known.space;
      }
      this.drop(netns);
    }
    let namespace: Namespace;
    try {
      namespace = openNamespace(netns);
    } catch (error) {
      if (error instanceof MoorError && error.kind === 'not-found') throw new MoorError('not-found', `no namespace ${netns}`);
      throw error;
    }
    return this.#hold(netns, namespace);
  }

  /** null when the namespace is gone */
  tryGet(netns: Netns): Space | null {
    try {
      return this.get(netns);
    } catch (error) {
      if (error instanceof MoorError && error.kind === 'not-found') return null;
      throw error;
    }
  }

  /** @throws conflict (EEXIST) when there is one */
  create(path: Netns): void {
    this.drop(path);
    const { namespace } = this.#hold(path, createNamespace(path));
    try {
      // Before a pair leads into it, by which the kernel would choose.
      this.nsids.of(namespace.netns);
    } catch (error) {
      this.drop(path);
      unpinNetns(path);
      throw error;
    }
  }

  /** Closes what is open of a namespace, so that it can die. */
  drop(netns: Netns): void {
    const known = this.#open.get(netns);
    this.#open.delete(netns);
    known?.space[Symbol.dispose]();
  }

  /** More are open than should be: time to send what is pending, and then to `trim`. */
  get full(): boolean {
    return this.#open.size > CAPACITY;
  }

  /** Closes the longest unused ones. Only while no message waits to be sent: messages name descriptors, which would come to mean others. */
  trim(): void {
    for (const netns of this.#open.keys()) {
      if (!this.full) return;
      this.drop(netns);
    }
  }

  /** Nothing to do for a while: keeps no namespace alive that others let go of. */
  rest(): void {
    for (const netns of [...this.#open.keys()]) this.drop(netns);
  }

  [Symbol.dispose](): void {
    this.rest();
    this.host.route.close();
  }

  #hold(netns: Netns, namespace: Namespace): Space {
    const space = new Space(netns, namespace);
    this.#open.set(netns, { space, identity: netnsIdentity(namespace.netns), checked: this.#round });
    return space;
  }
}

/** '' when there is nothing at the path */
function identityOf(path: string): string {
  try {
    return netnsIdentity(path);
  } catch {
    return '';
  }
}
