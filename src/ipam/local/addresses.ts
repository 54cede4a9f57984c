/**
 * The addresses of one subnet: who holds which, and which comes next. Costs memory only for addresses that are or were in
 * use, so a /8 or a /64 is as cheap as a /24.
 *
 * Order: upwards through the range, and an address that was released comes again only when no other is left, the one that was
 * released first. Neighbours' ARP caches and clients' connections have then forgotten it. One that is given back unused leaves the
 * order as if it had not been asked for.
 */
import { conflict, exhausted, invalid } from '../../base/errors.ts';
import { familyOf, formatIp, type IpAddress, ipValue, type Prefix, prefixContains, prefixRange } from '../../base/ip.ts';
import { reservedFor, usableRange } from '../../model/subnet.ts';

/**
 * Released addresses remembered in order: all those of a /16. In a larger range the longest released are forgotten, and
 * found again by going through the range once more, before any that is remembered is reused.
 */
const REMEMBERED = 65_536;

export interface Taken {
  readonly address?: IpAddress;
  /** See AddressWish. */
  readonly restored?: boolean;
}

/** How an address came to its holder: as the next in order; by name, before its turn; by name, after it had been in use. */
type Way = 'turn' | 'early' | 'again';

interface Holder {
  readonly owner: string;
  readonly way: Way;
}

export class AddressSet {
  readonly #subnet: Prefix;
  /** What addresses come out of by themselves: the range, or else the subnet. */
  readonly source: Prefix;
  /** First and last address given out by itself. */
  readonly #first: bigint;
  readonly #last: bigint;
  readonly #holderOf = new Map<IpAddress, Holder>();
  readonly #addressOf = new Map<string, IpAddress>();
  /** Held addresses between `#first` and `#last`. */
  #held = 0n;
  /** Where the way upwards goes on; it begins again at the end. */
  #next: bigint;
  /** Nothing was given out by itself yet. */
  #untouched = true;
  /** Highest address that was restored; below the range: none. */
  #highest: bigint;
  readonly #released = new ReleaseOrder();
  /** Given out in their turn and given back unused: they come before all others. */
  readonly #returned = new Set<IpAddress>();

  /** @param range part of the subnet that addresses come out of by themselves; null: all of it. */
  constructor(subnet: Prefix, range: Prefix | null) {
    this.#subnet = subnet;
    const usable = usableRange(subnet);
    this.source = range ?? subnet;
    const wanted = prefixRange(this.source);
    this.#first = usable.first > wanted.first ? usable.first : wanted.first;
    this.#last = usable.last < wanted.last ? usable.last : wanted.last;
    this.#next = this.#first;
    this.#highest = this.#first - 1n;
  }

  /** Addresses that are held, in the range or not. */
  get used(): bigint {
    return BigInt(this.#holderOf.size);
  }

  /** Addresses that an endpoint can get without naming one. */
  get size(): bigint {
    return this.#last < this.#first ? 0n : this.#last - this.#first + 1n;
  }

  /** The address whose turn it is, held or not; null as long as none was given out by itself. */
  get turn(): IpAddress | null {
    return this.#untouched ? null : formatIp(familyOf(this.#subnet), this.#next);
  }

  /** Goes on where another set of the same subnet was. Which addresses were released, and in which order, is forgotten. */
  resume(turn: IpAddress): void {
    const value = ipValue(turn);
    if (!this.#inRange(value)) return;
    this.#next = value;
    this.#untouched = false;
  }

  /** Who holds what, the longest holder first. */
  *holders(): Iterable<readonly [IpAddress, string]> {
    for (const [address, { owner }] of this.#holderOf) yield [address, owner];
  }

  /**
   * Takes an address for an owner, or finds the one that it holds.
   * @throws invalid, conflict; exhausted with a bare message when none is free.
   */
  take(owner: string, wish: Taken = {}): IpAddress {
    if (wish.address !== undefined) return this.#takeNamed(owner, wish.address, wish.restored ?? false);
    const mine = this.#addressOf.get(owner);
    if (mine !== undefined) return mine;
    const address = this.#pick();
    this.#untouched = false;
    this.#hold(address, { owner, way: 'turn' });
    return address;
  }

  /** Nothing happens when it is not held. @param unused nobody has seen it: see AddressRelease */
  release(address: IpAddress, unused = false): void {
    const holder = this.#holderOf.get(address);
    if (holder === undefined) return;
    this.#holderOf.delete(address);
    this.#addressOf.delete(holder.owner);
    const value = ipValue(address);
    if (!this.#inRange(value)) return;
    this.#held--;
    if (unused && holder.way === 'turn') this.#returned.add(address);
    // Its turn comes still, unless the way upwards has gone past it; then it is as good as used.
    else if (!(unused && holder.way === 'early' && value >= this.#next)) this.#released.add(address);
  }

  #takeNamed(owner: string, address: IpAddress, restored: boolean): IpAddress {
    const holder = this.#holderOf.get(address)?.owner;
    if (holder === owner) return address;
    if (!prefixContains(this.#subnet, address)) {
      throw invalid(`requested address is out of range: ${address} is not in ${this.#subnet}`);
    }
    const reserved = reservedFor(this.#subnet, address);
    if (reserved) throw invalid(`cannot give out ${address}: it is ${reserved}`);
    if (holder !== undefined) throw conflict(`Address already in use: ${address} is held by ${holder}`);
    const mine = this.#addressOf.get(owner);
    if (mine !== undefined) throw conflict(`cannot give ${address} to ${owner}: it holds ${mine} in ${this.#subnet} already`);
    this.#hold(address, { owner, way: this.#wayTo(address) });
    const value = ipValue(address);
    if (restored && this.#untouched && this.#inRange(value) && value > this.#highest) {
      this.#highest = value;
      this.#next = this.#after(value);
    }
    return address;
  }

  /** Of a free address that is asked for by name. */
  #wayTo(address: IpAddress): Way {
    if (this.#returned.has(address)) return 'turn';
    return this.#released.has(address) ? 'again' : 'early';
  }

  #hold(address: IpAddress, holder: Holder): void {
    this.#holderOf.set(address, holder);
    this.#addressOf.set(holder.owner, address);
    if (!this.#inRange(ipValue(address))) return;
    this.#held++;
    this.#returned.delete(address);
    this.#released.delete(address);
  }

  #pick(): IpAddress {
    const free = this.size - this.#held;
    if (free <= 0n) throw exhausted(`no available addresses in ${this.#subnet}`);
    for (const address of this.#returned) return address;
    // Every free address is one that was released and is remembered.
    if (free === BigInt(this.#released.size)) return this.#released.oldest();
    for (;;) {
      const address = formatIp(familyOf(this.#subnet), this.#next);
      this.#next = this.#after(this.#next);
      if (!this.#holderOf.has(address) && !this.#released.has(address)) return address;
    }
  }

  #after(value: bigint): bigint {
    return value >= this.#last ? this.#first : value + 1n;
  }

  #inRange(value: bigint): boolean {
    return value >= this.#first && value <= this.#last;
  }
}

/** Released addresses, oldest first. */
class ReleaseOrder {
  readonly #turnOf = new Map<IpAddress, number>();
  /** With entries that are out of date: those whose turn is not the address's. */
  #queue: { readonly address: IpAddress; readonly turn: number }[] = [];
  #head = 0;
  #turn = 0;

  get size(): number {
    return this.#turnOf.size;
  }

  has(address: IpAddress): boolean {
    return this.#turnOf.has(address);
  }

  add(address: IpAddress): void {
    this.#turnOf.set(address, ++this.#turn);
    this.#queue.push({ address, turn: this.#turn });
    if (this.#turnOf.size > REMEMBERED) this.#turnOf.delete(this.oldest());
    // At most as much waste as content, so this costs a constant time for each `add`.
    if (this.#queue.length > 64 && this.#queue.length > 2 * this.#turnOf.size) {
      this.#queue = this.#queue.filter((entry, index) => index >= this.#head && this.#isCurrent(entry));
      this.#head = 0;
    }
  }

  delete(address: IpAddress): void {
    this.#turnOf.delete(address);
  }

  /** Precondition: there is one. */
  oldest(): IpAddress {
    for (;;) {
      const entry = this.#queue[this.#head];
      if (!entry) throw new Error('no released address');
      if (this.#isCurrent(entry)) return entry.address;
      this.#head++;
    }
  }

  #isCurrent(entry: { readonly address: IpAddress; readonly turn: number }): boolean {
    return this.#turnOf.get(entry.address) === entry.turn;
  }
}
