/** The packets of one connection, as they set out, and what connection tracking makes of them. */
import type { Family } from '../base/ip.ts';
import type { PortProtocol } from '../model/ports.ts';
import type { Hook } from './hooks.ts';
import { type Device, type Endpoint, NO_MARK, type Packet } from './packet.ts';
import type { Intervals } from './intervals.ts';

export interface Probe {
  readonly family: Family;
  readonly protocol: PortProtocol;
  /** Where it comes in; null: from a program on this host. */
  readonly device: Device | null;
  /** Who it may come from. */
  readonly peer: Intervals;
  readonly address: bigint;
  readonly port: number;
  /** Where it leads unless a rule says otherwise: for a translation that is not there yet. */
  readonly assumed?: NonNullable<Packet['target']>;
}

/** A client's port: those that a system gives out by itself are above the privileged ones. */
const CLIENT_PORTS: Intervals = [[1024n, 65535n]];

export const ledTo = (packet: Packet, target: NonNullable<Packet['target']>): Packet => ({
  ...packet,
  target,
  destination: target.address,
  destinationPort: target.port,
  status: [...packet.status, 'dnat'],
});

export function request({ family, protocol, device, peer, address, port, assumed }: Probe, oif: Device | null): Packet {
  return {
    family,
    protocol,
    step: 'request',
    peer,
    peerPort: CLIENT_PORTS,
    source: 'peer',
    destination: address,
    sourcePort: 'peer',
    destinationPort: BigInt(port),
    original: { address, port: BigInt(port) },
    target: null,
    asked: false,
    assumed: assumed ?? null,
    shownAs: null,
    iif: device,
    oif,
    state: 'none',
    status: [],
    mark: NO_MARK,
    ctMark: NO_MARK,
    notrack: null,
    maybe: [],
    by: null,
    passedBy: null,
  };
}

/** Where it goes, after translation if there was one. */
export const destinationOf = ({ target, original }: Packet): Endpoint => target ?? original;

/** From the container, to whom the other end showed itself as. */
export const answer = (packet: Packet): Packet => ({
  ...packet,
  step: 'answer',
  source: destinationOf(packet).address,
  sourcePort: destinationOf(packet).port,
  destination: packet.shownAs ?? 'peer',
  destinationPort: 'peer',
  iif: packet.oif,
  oif: null,
  state: 'none',
  mark: NO_MARK,
  notrack: null,
  passedBy: packet.by,
});

/** What follows the first packet, of those whose answer came back. @param device that the first one came in by */
export const sequel = (answered: Packet, device: Device | null): Packet => ({
  ...answered,
  step: 'sequel',
  source: 'peer',
  sourcePort: 'peer',
  destination: answered.original.address,
  destinationPort: answered.original.port,
  iif: device,
  oif: answered.iif,
  state: 'none',
  mark: NO_MARK,
  notrack: null,
});

export const stateOf = ({ notrack, step }: Packet): Packet['state'] =>
  notrack ? 'untracked' : step === 'request' ? 'new' : 'established';

export function translatedLikeFirst(hook: Hook, packet: Packet): Packet {
  const { step, target, shownAs, original, state } = packet;
  if (state !== 'established') return packet;
  const before = hook === 'prerouting' || hook === 'output';
  if (step === 'answer')
    return before ? { ...packet, destination: 'peer' } : { ...packet, source: original.address, sourcePort: original.port };
  if (before) return target === null ? packet : { ...packet, destination: target.address, destinationPort: target.port };
  return shownAs === null ? packet : { ...packet, source: shownAs };
}
