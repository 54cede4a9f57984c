/**
 * One VTEP of another host: whether UDP datagrams arrive whose checksum is left to devices. Some network cards sum the packet around them and not the one
 * inside, or sum it wrongly: pings work, and nothing else does. The port is one at which nobody listens, so that the other kernel answers "port
 * unreachable", and only to what it found right. Pure.
 */
import type { IpAddress } from '../base/ip.ts';
import type { ChecksumReport } from '../contracts/paths.ts';

/** Milliseconds. Kernels answer a sender with one such error a second, after the first six (net.ipv4.icmp_ratelimit). */
const ANSWER_MS = 1_500;
/** How many of those with a made checksum must have been answered, and none of the others. */
const PROOF = 3;
const TRIES = 6;
const REST_MS = { ok: 300_000, broken: 60_000, unknown: 60_000 } as const satisfies Record<ChecksumReport, number>;

export interface ChecksumPorts {
  /** Sends one datagram of each kind. */
  readonly datagrams: (address: IpAddress, check: ChecksumCheck) => void;
  readonly report: (address: IpAddress, report: ChecksumReport) => void;
  readonly random: () => number;
}

export class ChecksumCheck {
  readonly address: IpAddress;
  due: number;
  readonly #ports: ChecksumPorts;
  #tries = 0;
  #made = 0;
  #last: ChecksumReport | null = null;

  constructor(address: IpAddress, ports: ChecksumPorts, due: number) {
    this.address = address;
    this.due = due;
    this.#ports = ports;
  }

  get last(): ChecksumReport | null {
    return this.#last;
  }

  step(now: number): void {
    if (this.#made >= PROOF) return this.#finish('broken', now);
    if (this.#tries === TRIES) return this.#finish('unknown', now);
    this.#tries++;
    this.#ports.datagrams(this.address, this);
    this.due = now + ANSWER_MS;
  }

  /** The port was found closed. @param how the checksum came to be: left to devices, or made by us */
  answered(how: 'left' | 'made', now: number): void {
    if (this.#tries === 0) return;
    if (how === 'left') this.#finish('ok', now);
    else this.#made++;
  }

  #finish(report: ChecksumReport, now: number): void {
    this.#tries = 0;
    this.#made = 0;
    this.due = now + REST_MS[report] * (0.9 + this.#ports.random() / 5);
    // That nobody answers now takes nothing back.
    if (report === this.#last || (report === 'unknown' && this.#last !== null)) return;
    this.#last = report;
    this.#ports.report(this.address, report);
  }
}
