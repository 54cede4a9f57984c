/**
 * Who is where: inner address -> peer by longest prefix, outer address -> peer. Built anew when peers change, read for every packet: a few hash
 * lookups (one per prefix length in use), and none for the address that was asked for before.
 */
import { addressOf, familyOf, ipBytes, lengthOf } from '../../base/ip.ts';
import type { TunnelPeer } from '../../contracts/tunnel.ts';

export type Slots = readonly (TunnelPeer | null)[];

const NONE = -1;

interface Level<K> {
  readonly length: number;
  readonly peers: ReadonlyMap<K, number>;
}

export class PeerTable {
  /** By slot. null: nobody has it now; a peer keeps its slot, and with it its counters. */
  readonly peers: Slots;
  readonly #inner4: readonly Level<number>[];
  readonly #inner6: readonly Level<string>[];
  readonly #outer4 = new Map<number, number>();
  readonly #outer6 = new Map<string, number>();
  #last4 = -1;
  #last4Peer = NONE;
  readonly #recent6 = new Recent6();
  #lastOuter4 = -1;
  #lastOuter4Peer = NONE;
  readonly #recentOuter6 = new Recent6();

  constructor(peers: Slots) {
    this.peers = peers;
    const four = new Map<number, Map<number, number>>();
    const six = new Map<number, Map<string, number>>();
    for (const [index, peer] of peers.entries()) {
      if (peer === null) continue;
      const { endpoint, subnets } = peer;
      const outer = ipBytes(endpoint.address);
      if (outer.length === 4) this.#outer4.set(word(outer, 0), index);
      else this.#outer6.set(key6(words(outer), 128), index);
      for (const subnet of subnets) {
        const bytes = ipBytes(addressOf(subnet));
        const length = lengthOf(subnet);
        if (familyOf(subnet) === 4) level(four, length).set(mask4(word(bytes, 0), length), index);
        else level(six, length).set(key6(words(bytes), length), index);
      }
    }
    this.#inner4 = [...four].map(([length, map]) => ({ length, peers: map })).sort((a, b) => b.length - a.length);
    this.#inner6 = [...six].map(([length, map]) => ({ length, peers: map })).sort((a, b) => b.length - a.length);
  }

  /** @param at where an inner IPv4 address lies @returns index of the peer that has it, -1: none */
  inner4(view: DataView, at: number): number {
    const address = view.getUint32(at);
    if (address === this.#last4) return this.#last4Peer;
    this.#last4 = address;
    this.#last4Peer = NONE;
    for (const { length, peers } of this.#inner4) {
      const peer = peers.get(mask4(address, length));
      if (peer !== undefined) {
        this.#last4Peer = peer;
        break;
      }
    }
    return this.#last4Peer;
  }

  inner6(view: DataView, at: number): number {
    if (this.#recent6.is(view, at)) return this.#recent6.peer;
    this.#recent6.set(view, at, NONE);
    for (const { length, peers } of this.#inner6) {
      const peer = peers.get(key6(this.#recent6.words, length));
      if (peer !== undefined) {
        this.#recent6.peer = peer;
        break;
      }
    }
    return this.#recent6.peer;
  }

  /** @param at where the address of a `struct sockaddr_in` (or `_in6`) lies */
  outer(view: DataView, at: number, v6: boolean): number {
    if (v6) {
      if (this.#recentOuter6.is(view, at)) return this.#recentOuter6.peer;
      this.#recentOuter6.set(view, at, NONE);
      this.#recentOuter6.peer = this.#outer6.get(key6(this.#recentOuter6.words, 128)) ?? NONE;
      return this.#recentOuter6.peer;
    }
    const address = view.getUint32(at);
    if (address !== this.#lastOuter4) {
      this.#lastOuter4 = address;
      this.#lastOuter4Peer = this.#outer4.get(address) ?? NONE;
    }
    return this.#lastOuter4Peer;
  }
}

/** The IPv6 address that was asked for last. */
class Recent6 {
  readonly words = new Uint32Array(4);
  peer = NONE;
  #known = false;

  is(view: DataView, at: number): boolean {
    const { words } = this;
    return (
      this.#known &&
      words[3] === view.getUint32(at + 12) &&
      words[2] === view.getUint32(at + 8) &&
      words[1] === view.getUint32(at + 4) &&
      words[0] === view.getUint32(at)
    );
  }

  set(view: DataView, at: number, peer: number): void {
    for (let i = 0; i < 4; i++) this.words[i] = view.getUint32(at + 4 * i);
    this.peer = peer;
    this.#known = true;
  }
}

function level<K>(levels: Map<number, Map<K, number>>, length: number): Map<K, number> {
  const known = levels.get(length);
  if (known !== undefined) return known;
  const made = new Map<K, number>();
  levels.set(length, made);
  return made;
}

const word = (bytes: Uint8Array, at: number): number =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(at);

const words = (bytes: Uint8Array): Uint32Array => Uint32Array.of(word(bytes, 0), word(bytes, 4), word(bytes, 8), word(bytes, 12));

const mask4 = (address: number, length: number): number =>
  length === 0 ? 0 : length === 32 ? address : (address & (-1 << (32 - length))) >>> 0;

/** The first `length` bits of an IPv6 address, as text: a packet to another address than the last one is the rare case. */
function key6(address: Uint32Array, length: number): string {
  let out = '';
  for (let i = 0; i < 4; i++) {
    const bits = Math.max(0, Math.min(32, length - 32 * i));
    out += `${mask4(address[i] ?? 0, bits)}.`;
  }
  return out;
}
