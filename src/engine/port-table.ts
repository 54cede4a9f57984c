/**
 * Which sandbox has which port of the host. Looking one up, taking and freeing it do not depend on how many there are; a range is one
 * value that its ports share.
 */
import type { Id } from '../base/ids.ts';
import { familyOf, type IpAddress } from '../base/ip.ts';
import type { HostPort } from '../contracts/host-ports.ts';
import type { PortProtocol } from '../model/ports.ts';

interface Holding {
  readonly owner: Id;
  readonly address: IpAddress;
}

/** A port that is somebody's already. */
export interface Clash extends Holding {
  readonly port: number;
}

const NUMBERS: Readonly<Record<PortProtocol, number>> = { tcp: 0, udp: 1, sctp: 2 };
const keyOf = (protocol: PortProtocol, port: number): number => (NUMBERS[protocol] << 16) | port;

export const isAny = (address: IpAddress): boolean => address === '0.0.0.0' || address === '::';

const overlap = (a: IpAddress, b: IpAddress): boolean => a === b || (familyOf(a) === familyOf(b) && (isAny(a) || isAny(b)));

export class PortTable {
  readonly #ports = new Map<number, readonly Holding[]>();
  /** Where the search for a free port goes on: a port that was just given back is not the next one given out. */
  readonly #next = new Map<PortProtocol, number>();

  /** The first of these ports that is taken. */
  clash({ protocol, address, ports }: HostPort): Clash | null {
    for (let port = ports.from; port <= ports.to; port++) {
      const holding = this.#ports.get(keyOf(protocol, port))?.find((one) => overlap(one.address, address));
      if (holding !== undefined) return { ...holding, port };
    }
    return null;
  }

  /** They must be free. */
  take(owner: Id, { protocol, address, ports }: HostPort): void {
    const holding: Holding = { owner, address };
    const alone = [holding];
    for (let port = ports.from; port <= ports.to; port++) {
      const key = keyOf(protocol, port);
      const others = this.#ports.get(key);
      this.#ports.set(key, others === undefined ? alone : [...others, holding]);
    }
  }

  free(owner: Id, { protocol, address, ports }: HostPort): void {
    for (let port = ports.from; port <= ports.to; port++) {
      const key = keyOf(protocol, port);
      const left = this.#ports.get(key)?.filter((one) => one.owner !== owner || one.address !== address) ?? [];
      if (left.length === 0) this.#ports.delete(key);
      else this.#ports.set(key, left);
    }
  }

  /** @param first where a first search begins */
  cursor(protocol: PortProtocol, first: number): number {
    return this.#next.get(protocol) ?? first;
  }

  moveCursor(protocol: PortProtocol, next: number): void {
    this.#next.set(protocol, next);
  }
}
