/**
 * TCP between hosts of ours without a detour through this process (docs/adr/0021): programs in the kernel put its outer headers on and take them off. They know
 * nothing by themselves. How datagrams leave is what they have seen of this process's own; from whom they come is what this process has received; both
 * count for COUNTS nanoseconds, and then it is asked again. What they do not take, the process carries as ever. All of it is files of this process, and ends with it.
 */
import { errorData } from '../../../base/errors.ts';
import type { FastPathStatus } from '../../../contracts/tunnel.ts';
import { indexOf, isEthernet } from '../../../sys/device.ts';
import { hasCode } from '../../../sys/errors.ts';
import type { Slots } from '../peers.ts';
import { COUNTS } from './layout.ts';
import { type Carried, type FastPathOptions, type Open, openFastPath } from './open.ts';

/** Milliseconds between two times that a peer is vouched for, while packets of it come here anyway. */
const AGAIN = COUNTS / 1e6 / 3;

/** What the process has of it, whether it is there or not. */
export class FastPath {
  readonly #options: FastPathOptions;
  /** By slot, milliseconds of the process's clock: from when on a packet from this peer is news. Infinity: never. */
  readonly due: Float64Array;
  #open: Open | null = null;
  #why = '';
  #slots: Slots = [];
  #underlay = '';
  /** Milliseconds of the process's clock: when the device is to be looked at again, for all peers. */
  #look = 0;

  constructor(options: FastPathOptions) {
    this.#options = options;
    this.due = new Float64Array(options.capacity).fill(Infinity);
  }

  /** @param underlay device by which the tunnel's address is reached; '' for none: no fast path */
  setPeers(slots: Slots, underlay: string): void {
    this.#underlay = underlay;
    try {
      const index = this.#indexOf(underlay);
      if (this.#open?.underlay !== index) this.#close();
      this.#open ??= openFastPath(this.#options, { name: underlay, index });
      this.#open.peers.set(slots);
      this.#slots = slots;
      for (const [slot, peer] of slots.entries()) {
        if (peer?.own !== true) this.due[slot] = Infinity;
        else if (this.due[slot] === Infinity) this.due[slot] = 0;
      }
      this.#why = '';
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.#close();
    this.#why = reason(error);
  }

  #indexOf(underlay: string): number {
    const { socket } = this.#options;
    if (underlay === '') throw new Error('switched off (tunnel-fastpath)');
    if (!isEthernet(socket, underlay)) throw new Error(`${underlay} is no Ethernet device`);
    return indexOf(socket, underlay);
  }

  /** A packet of this peer has come here, so the host lets it in. @param now milliseconds of the process's clock */
  heard(slot: number, now: number): void {
    this.due[slot] = now + AGAIN;
    try {
      if (now > this.#look) {
        this.#look = now + AGAIN;
        // A device that was made anew has none of the programs.
        if (this.#open?.underlay !== this.#indexOf(this.#underlay)) this.setPeers(this.#slots, this.#underlay);
        this.#open?.follow();
      }
      this.#open?.admit(slot);
    } catch (error) {
      // The device has gone, or memory is short.
      this.#fail(error);
    }
  }

  /** What has gone past this process, by slot. */
  carried(slot: number): Carried {
    return this.#open?.carried(slot) ?? NOTHING;
  }

  status(): FastPathStatus {
    const all = this.#slots.flatMap((peer, slot) => (peer === null ? [] : [this.carried(slot)]));
    return {
      why: this.#why,
      sentPackets: all.reduce((sum, { left }) => sum + left.packets, 0),
      receivedPackets: all.reduce((sum, { arrived }) => sum + arrived.packets, 0),
    };
  }

  #close(): void {
    this.due.fill(Infinity);
    if (this.#open === null) return;
    const { counters } = this.#options;
    // A peer's numbers do not go back.
    for (const [slot, peer] of this.#slots.entries()) {
      if (peer === null) continue;
      const { left, arrived } = this.carried(slot);
      counters.sent(slot, left.packets, left.bytes);
      counters.received(slot, arrived.packets, arrived.bytes);
    }
    this.#open.stack.dispose();
    this.#open = null;
  }
}

const NOTHING: Carried = { left: { packets: 0, bytes: 0 }, arrived: { packets: 0, bytes: 0 } };

function reason(error: unknown): string {
  const { message } = errorData(error);
  if (hasCode(error, 'EPERM', 'EACCES')) return `${message}: it takes CAP_BPF, CAP_NET_ADMIN and no lockdown`;
  return hasCode(error, 'EINVAL', 'ENOSYS') ? `${message}: it takes Linux 6.6 with CONFIG_NET_XGRESS` : message;
}
