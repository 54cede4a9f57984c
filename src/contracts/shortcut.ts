/** TCP from programs of the host to ports published at the loopback, straight to the container. Implemented by `kernel/shortcut`. */
import type { IpAddress } from '../base/ip.ts';
import type { PortRange } from '../model/ports.ts';
import type { Feature } from './kernel.ts';

/** Ports that can be asked for at the loopback. No two that are set have one in common. */
export interface LoopbackPort {
  /** Of 127.0.0.0/8, or ::1; `0.0.0.0` and `::` are every loopback address of the family. */
  readonly address: IpAddress;
  readonly ports: PortRange;
}

export interface LoopbackTarget {
  /** Of the same family. */
  readonly address: IpAddress;
  /** null: the port that is asked for. Otherwise one is published, not a range. */
  readonly port: number | null;
}

/**
 * Only makes faster what translation does as well: what is not set here, not yet or not any more, goes that way. Nothing waits, and nothing
 * is left when the process ends, however it ends: new connections are translated then, and those that are there go on.
 */
export interface Shortcut extends Disposable {
  /** Whether it is used at the moment, and why not. */
  readonly feature: Feature;
  /** Whether it may be used; it may at first. @param objection what is against it, as a part of a sentence; null: nothing */
  readonly allow: (objection: string | null) => void;
  /** Adds, or leads elsewhere. @throws exhausted when the kernel has no room: then these ports are translated */
  readonly set: (at: LoopbackPort, target: LoopbackTarget) => void;
  /** The same ports as were set. What is not there is no error. */
  readonly remove: (at: LoopbackPort) => void;
}
