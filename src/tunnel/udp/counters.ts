/** What the tunnel counts. Numbers are exact up to 2^53. */
import type { PeerCounts } from '../../contracts/tunnel.ts';
import { DROPS, type Drop } from './inner.ts';

/** Of a peer: packets and bytes out, packets and bytes in, packets from it that came from an address which is not its own. */
const FIELDS = 5;

export class Counters {
  readonly #values: Float64Array;

  /** @param peers most of them */
  constructor(peers: number) {
    this.#values = new Float64Array(DROPS.length + peers * FIELDS);
  }

  #add(index: number, count: number): void {
    this.#values[index] = (this.#values[index] ?? 0) + count;
  }

  drop(reason: Drop, count: number): void {
    if (count > 0) this.#add(DROPS.indexOf(reason), count);
  }

  sent(peer: number, packets: number, bytes: number): void {
    const at = DROPS.length + peer * FIELDS;
    this.#add(at, packets);
    this.#add(at + 1, bytes);
  }

  received(peer: number, packets: number, bytes: number): void {
    const at = DROPS.length + peer * FIELDS;
    this.#add(at + 2, packets);
    this.#add(at + 3, bytes);
  }

  spoofed(peer: number): void {
    this.#add(DROPS.length + peer * FIELDS + 4, 1);
  }

  /** A slot is given to another peer. */
  clear(peer: number): void {
    const at = DROPS.length + peer * FIELDS;
    this.#values.fill(0, at, at + FIELDS);
  }

  drops(): Readonly<Record<Drop, number>> {
    const count = (reason: Drop): number => this.#values[DROPS.indexOf(reason)] ?? 0;
    return {
      version: count('version'),
      length: count('length'),
      source: count('source'),
      peer: count('peer'),
      route: count('route'),
      send: count('send'),
      write: count('write'),
    };
  }

  peer(index: number): PeerCounts {
    const at = DROPS.length + index * FIELDS;
    const [sentPackets = 0, sentBytes = 0, receivedPackets = 0, receivedBytes = 0, spoofed = 0] = this.#values.subarray(
      at,
      at + FIELDS,
    );
    return { sentPackets, sentBytes, receivedPackets, receivedBytes, spoofed };
  }
}
