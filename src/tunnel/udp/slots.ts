/** Places of peers in tables and counters. A peer, by name, keeps its own as long as it is there, and with it its counters. */
import type { PeerCounts, TunnelPeer } from '../../contracts/tunnel.ts';
import type { Counters } from './counters.ts';
import type { Carried } from './fastpath/open.ts';
import type { Slots } from './peers.ts';

/** Most peers. A slot costs 32 bytes of address and 40 of counters. */
export const CAPACITY = 16_384;

export class SlotTable {
  readonly #slots: (TunnelPeer | null)[] = [];
  readonly #names = new Map<string, number>();
  readonly #counters: Counters;

  constructor(counters: Counters) {
    this.#counters = counters;
  }

  /** @param peers at most CAPACITY */
  assign(peers: readonly TunnelPeer[]): Slots {
    const wanted = new Set(peers.map(({ name }) => name));
    for (const [name, slot] of [...this.#names]) {
      if (wanted.has(name)) continue;
      this.#names.delete(name);
      this.#slots[slot] = null;
    }
    let free = 0;
    for (const peer of peers) {
      let slot = this.#names.get(peer.name);
      if (slot === undefined) {
        while (free < this.#slots.length && this.#slots[free] !== null) free++;
        slot = free;
        this.#counters.clear(slot);
        this.#names.set(peer.name, slot);
      }
      this.#slots[slot] = peer;
    }
    return [...this.#slots];
  }

  /** @param past what a peer has been sent, and has sent, past the counters */
  counts(past: (slot: number) => Carried): Readonly<Record<string, PeerCounts>> {
    const whole = (slot: number): PeerCounts => {
      const [own, { left, arrived }] = [this.#counters.peer(slot), past(slot)];
      return {
        sentPackets: own.sentPackets + left.packets,
        sentBytes: own.sentBytes + left.bytes,
        receivedPackets: own.receivedPackets + arrived.packets,
        receivedBytes: own.receivedBytes + arrived.bytes,
        spoofed: own.spoofed,
      };
    };
    return Object.fromEntries([...this.#names].map(([name, slot]) => [name, whole(slot)]));
  }
}
