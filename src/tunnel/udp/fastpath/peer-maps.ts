/** Who is where, as the programs look it up. Changed by what differs: one peer of ten thousand is a few system calls. */
import { addressOf, familyOf, ipBytes, type IpAddress, lengthOf, type Prefix } from '../../../base/ip.ts';
import type { TunnelPeer } from '../../../contracts/tunnel.ts';
import { MapWriter } from '../../../sys/bpf.ts';
import type { Fd } from '../../../sys/fd.ts';
import type { Slots } from '../peers.ts';
import { ADMITTED, COUNT, INNER, MAPPED_BITS, memory, NOBODY, OUTER, PEER, WAY } from './layout.ts';

export interface PeerFds {
  readonly inner: Fd;
  readonly outer: Fd;
  readonly ways: Fd;
  readonly admitted: Fd;
  readonly counts: Fd;
}

/** Sixteen bytes, IPv4 as ::ffff:a.b.c.d (RFC 4291 2.5.5.2). */
function write(into: Uint8Array, address: IpAddress): void {
  const own = ipBytes(address);
  into.fill(0);
  if (own.length === 4) into.fill(0xff, 10, 12);
  into.set(own, into.length - own.length);
}

export class PeerMaps {
  readonly #inner: MapWriter;
  readonly #outer: MapWriter;
  /** Of what a slot had, when another one, or the same one at another place, gets it. */
  readonly #forgotten: readonly MapWriter[];
  readonly #counts: MapWriter;
  #slots: Slots = [];
  #prefixes: ReadonlyMap<Prefix, number> = new Map();
  #addresses: ReadonlyMap<IpAddress, number> = new Map();

  constructor({ inner, outer, ways, admitted, counts }: PeerFds) {
    const of = (map: Fd, key: number, value: number): MapWriter => new MapWriter(map, { key: memory(key), value: memory(value) });
    this.#inner = of(inner, INNER.size, 4);
    this.#outer = of(outer, OUTER.size, PEER.size);
    this.#forgotten = [of(ways, 4, WAY.size), of(admitted, 4, ADMITTED.size)];
    this.#counts = of(counts, 4, COUNT.size);
  }

  set(slots: Slots): void {
    const [prefixes, addresses] = [new Map<Prefix, number>(), new Map<IpAddress, number>()];
    for (const [slot, peer] of slots.entries()) {
      if (peer === null) continue;
      // Somebody else's prefix inside of one of ours is somebody else's.
      for (const subnet of peer.subnets) prefixes.set(subnet, peer.own ? slot : NOBODY);
      if (peer.own) addresses.set(peer.endpoint.address, slot);
    }
    for (const prefix of this.#prefixes.keys()) if (!prefixes.has(prefix)) this.#removeInner(prefix);
    // Before what is known of the way there is forgotten: nothing is learned of it any more.
    for (const address of this.#addresses.keys()) if (!addresses.has(address)) this.#removeOuter(address);
    for (let slot = 0; slot < Math.max(slots.length, this.#slots.length); slot++)
      this.#change(slot, this.#slots[slot] ?? null, slots[slot] ?? null);
    for (const [prefix, slot] of prefixes) if (this.#prefixes.get(prefix) !== slot) this.#setInner(prefix, slot);
    for (const [address, slot] of addresses) {
      const port = slots[slot]?.endpoint.port ?? 0;
      if (this.#addresses.get(address) !== slot || this.#slots[slot]?.endpoint.port !== port) this.#setOuter(address, slot, port);
    }
    [this.#slots, this.#prefixes, this.#addresses] = [slots, prefixes, addresses];
  }

  #change(slot: number, was: TunnelPeer | null, is: TunnelPeer | null): void {
    const same =
      was?.endpoint.address === is?.endpoint.address && was?.endpoint.port === is?.endpoint.port && was?.own === is?.own;
    if (!same) for (const map of this.#forgotten) clear(map, slot);
    if (is !== null && was?.name !== is.name) clear(this.#counts, slot);
  }

  #setInner(prefix: Prefix, slot: number): void {
    this.#innerKey(prefix);
    new DataView(this.#inner.memory.value.buffer).setUint32(0, slot, true);
    this.#inner.update();
  }

  #innerKey(prefix: Prefix): void {
    const { key } = this.#inner.memory;
    const bits = lengthOf(prefix) + (familyOf(prefix) === 4 ? MAPPED_BITS : 0);
    new DataView(key.buffer).setUint32(INNER.bits, bits, true);
    write(key.subarray(INNER.address), addressOf(prefix));
  }

  #setOuter(address: IpAddress, slot: number, port: number): void {
    const { key, value } = this.#outer.memory;
    write(key, address);
    const view = new DataView(value.buffer);
    view.setUint32(PEER.slot, slot, true);
    view.setUint16(PEER.port, port);
    this.#outer.update();
  }

  #removeInner(prefix: Prefix): void {
    this.#innerKey(prefix);
    this.#inner.remove();
  }

  #removeOuter(address: IpAddress): void {
    write(this.#outer.memory.key, address);
    this.#outer.remove();
  }
}

function clear(map: MapWriter, slot: number): void {
  new DataView(map.memory.key.buffer).setUint32(0, slot, true);
  map.memory.value.fill(0);
  map.update();
}
