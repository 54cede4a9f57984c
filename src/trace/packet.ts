/**
 * A packet that nobody sent yet: what is known of it exactly, and two things that stand for many values at once: the address and the
 * port of whoever is at the other end. A rule that looks at one of those splits the packet in two, so one walk answers for every source.
 */
import type { Family } from '../base/ip.ts';
import type { PortProtocol } from '../model/ports.ts';
import type { Decider } from './decider.ts';
import type { Intervals } from './intervals.ts';

export interface Device {
  readonly name: string;
  readonly index: number;
  /** IFLA_INFO_KIND: `bridge`, `veth`; '' for a physical one and the loopback. */
  readonly kind: string;
  /** IFLA_GROUP, 0 when it is not known */
  readonly group: number;
}

/** A 32-bit mark of which some bits may be unknown. */
export interface Mark {
  readonly value: number;
  readonly known: number;
}

export const NO_MARK: Mark = { value: 0, known: 0xffffffff };

/** Address or port: exact, or that of the other end. */
export type Field = 'peer' | bigint;

export interface Endpoint {
  readonly address: bigint;
  readonly port: bigint;
}

export interface Packet {
  readonly family: Family;
  readonly protocol: PortProtocol;
  /** What opens the connection, what answers it, what follows. */
  readonly step: 'request' | 'answer' | 'sequel';
  /** Who it may be at the other end. */
  readonly peer: Intervals;
  readonly peerPort: Intervals;
  readonly source: Field;
  readonly destination: Field;
  readonly sourcePort: Field;
  readonly destinationPort: Field;
  /** Where it came to, before anything was translated. */
  readonly original: Endpoint;
  /** Where it was sent on to by a translation; null: none. */
  readonly target: (Endpoint & { readonly by: Decider }) | null;
  /** The rules were asked where to: they are asked once, also what a program of the host sends itself. */
  readonly asked: boolean;
  /** Where it is sent on to when no rule does. */
  readonly assumed: Packet['target'];
  /** Whom the other end shows itself as after a translation of its address; null: as it is. */
  readonly shownAs: bigint | null;
  readonly iif: Device | null;
  readonly oif: Device | null;
  /** `none`: conntrack has not seen it yet. */
  readonly state: 'none' | 'new' | 'established' | 'untracked';
  /** Names of IPS_* bits, as nft has them. */
  readonly status: readonly string[];
  readonly mark: Mark;
  readonly ctMark: Mark;
  /** Who said that it is not to be tracked: no translation, no state. */
  readonly notrack: Decider | null;
  /** Expressions that could not be decided on the way here: it came this way only if they were as it took them. */
  readonly maybe: readonly string[];
  /** Who let it pass so far; the last one whose rule said so. */
  readonly by: Decider | null;
  /** The same of the first packet, when this is a later one. */
  readonly passedBy: Decider | null;
}

/** A text that is equal for packets whose further way is the same. */
export const kindOf = (packet: Packet): string =>
  [
    packet.mark.value,
    packet.mark.known,
    packet.ctMark.value,
    packet.ctMark.known,
    packet.notrack?.table,
    packet.maybe.length > 0,
    packet.destination,
    packet.destinationPort,
    packet.source,
    packet.target?.by.table,
    packet.target?.address,
    packet.target?.port,
    packet.iif?.name,
    packet.oif?.name,
    packet.shownAs,
    packet.state,
    packet.peerPort.map((pair) => pair.join('-')).join(','),
  ].join(' ');
