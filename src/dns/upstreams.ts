/** The servers of a client, shared by all clients that have the same ones in the same place. */
import type { Upstream } from '../contracts/resolver.ts';
import type { Fd } from '../sys/fd.ts';
import { connectTo, type Transport } from '../sys/inet.ts';
import { withNetns } from '../sys/netns.ts';

/** As Docker, and as the C library with resolv.conf (MAXNS, <resolv.h>): more are not asked. */
const MAX_SERVERS = 3;
/** Milliseconds that a server which did not answer comes last. */
const PENALTY = 10_000;

export class Server {
  readonly upstream: Upstream;
  /** Milliseconds of the loop's clock. */
  #lastUntil = 0;
  #watched = false;

  constructor(upstream: Upstream) {
    this.upstream = upstream;
  }

  /** Takes the right to listen to its silence. @returns false: somebody has it */
  watch(): boolean {
    if (this.#watched) return false;
    this.#watched = true;
    return true;
  }

  unwatch(): void {
    this.#watched = false;
  }

  /** Silent for a second or more, or unreachable. */
  missed(now: number): void {
    this.#lastUntil = now + PENALTY;
  }

  answered(): void {
    this.#lastUntil = 0;
  }

  isLast(now: number): boolean {
    return now < this.#lastUntil;
  }
}

export class UpstreamSet {
  /** Different for each set, also of the same servers at another time: caches go by it. */
  readonly id: number;
  readonly key: string;
  readonly servers: readonly Server[];
  /** Of the sandbox, if one of the servers is asked from there. */
  readonly #netns: Fd | null;
  users = 0;

  constructor(id: number, { key, upstreams, netns }: SetSpec) {
    this.id = id;
    this.key = key;
    this.servers = upstreams.map((upstream) => new Server(upstream));
    this.#netns = netns;
  }

  /** In the order of the client's, those last that did not answer lately: with views that differ, the first that works decides. */
  order(now: number): readonly Server[] {
    return [...this.servers.filter((server) => !server.isLast(now)), ...this.servers.filter((server) => server.isLast(now))];
  }

  /** @throws when there is no way there, or the namespace is gone */
  connect(transport: Transport, { upstream }: Server): Fd {
    const open = (): Fd => connectTo(transport, upstream);
    return upstream.from === 'sandbox' && this.#netns !== null ? withNetns(this.#netns, open) : open();
  }
}

export interface SetSpec {
  readonly key: string;
  readonly upstreams: readonly Upstream[];
  readonly netns: Fd | null;
}

/** Those of a client that are asked at all. Our own address, seen from the sandbox, would be us again. */
export const usable = (upstreams: readonly Upstream[]): readonly Upstream[] =>
  upstreams.filter(({ address, from }) => !(from === 'sandbox' && address === '127.0.0.11')).slice(0, MAX_SERVERS);

export class UpstreamSets {
  readonly #sets = new Map<string, UpstreamSet>();
  #id = 0;

  /** @param place of the sandbox: counts if a server is asked from there */
  take(upstreams: readonly Upstream[], place: { readonly sandbox: string; readonly netns: Fd | null }): UpstreamSet {
    const key = keyOf(upstreams, place.sandbox);
    let set = this.#sets.get(key);
    if (set === undefined) this.#sets.set(key, (set = new UpstreamSet(++this.#id, { key, upstreams, netns: place.netns })));
    set.users++;
    return set;
  }

  release(set: UpstreamSet): void {
    if (--set.users === 0) this.#sets.delete(set.key);
  }
}

function keyOf(upstreams: readonly Upstream[], sandbox: string): string {
  const own = upstreams.some(({ from }) => from === 'sandbox') ? sandbox : '';
  return [own, ...upstreams.map(({ address, port, from }) => `${from} ${address} ${port}`)].join('|');
}
