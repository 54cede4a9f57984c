/** All checks of a host: whose turn it is, and whose answer something is. */
import { type Family, familyOf, type IpAddress } from '../base/ip.ts';
import type { ChecksumReport, PathTargets } from '../contracts/paths.ts';
import type { PathReport } from '../model/node.ts';
import type { Heard } from '../wire/icmp.ts';
import { ChecksumCheck } from './checksum-check.ts';
import { PathCheck } from './path-check.ts';

/** Milliseconds. Checks whose time comes within one tick are looked at together: 5,000 of them cost 10 looks a second. */
export const TICK_MS = 100;
/** Milliseconds between the first looks at two hosts: 10,000 new peers are not asked in one moment. */
const APART_MS = 5;
/** Of packets that may still be answered; numbers, of which ICMP has 65,536, are used again after that many. Some 60 bytes each. */
const SEQUENCES = 0x2000;

export interface ProberPorts {
  /** @returns whether it went out */
  readonly echo: (address: IpAddress, packet: { readonly sequence: number; readonly size: number }) => boolean;
  /** One with its checksum left to devices, one with it made; both to this port. */
  readonly datagrams: (address: IpAddress, port: number) => void;
  readonly path: (address: IpAddress, report: PathReport) => void;
  readonly checksums: (address: IpAddress, report: ChecksumReport) => void;
  readonly random: () => number;
  /** From which the datagrams go out whose checksum is left to devices. */
  readonly leftPort: (family: Family) => number;
}

/** Where nobody listens: the last of those that traceroute(8) counts upwards through. A port for each check tells their answers apart. */
const PORTS = { first: 33_434, count: 90 } as const;

interface Sent {
  readonly check: PathCheck;
  readonly size: number;
}

export class Prober {
  readonly #ports: ProberPorts;
  readonly #known: Readonly<Record<IpAddress, PathReport>>;
  #paths = new Map<IpAddress, PathCheck>();
  #vteps = new Map<IpAddress, ChecksumCheck>();
  readonly #sent = new Map<number, Sent>();
  readonly #asked = new Map<number, ChecksumCheck>();
  #sequence = 0;
  #port = 0;

  /** @param known reports of an earlier life */
  constructor(ports: ProberPorts, known: Readonly<Record<IpAddress, PathReport>> = {}) {
    this.#ports = ports;
    this.#known = known;
  }

  want({ paths, vteps }: PathTargets, now: number): void {
    const before = this.#paths;
    this.#paths = new Map();
    let late = 0;
    for (const target of paths) {
      const { address, size } = target;
      const old = before.get(address);
      const same = old?.target.size === size ? old : null;
      const last = old?.last ?? this.#known[address] ?? null;
      this.#paths.set(address, same ?? new PathCheck(target, this.#pathPorts, { due: now + APART_MS * late++, last }));
    }
    const known = this.#vteps;
    this.#vteps = new Map();
    // Paths first.
    for (const address of vteps)
      this.#vteps.set(
        address,
        known.get(address) ?? new ChecksumCheck(address, this.#checksumPorts, now + TICK_MS + APART_MS * late++),
      );
  }

  /** @returns when the next turn is due, milliseconds; Infinity: when something is wanted */
  turn(now: number): number {
    let next = Number.POSITIVE_INFINITY;
    for (const checks of [this.#paths, this.#vteps]) {
      for (const check of checks.values()) {
        if (check.due <= now) check.step(now);
        if (check.due < next) next = check.due;
      }
    }
    return Math.max(next, now + TICK_MS);
  }

  /** @param from who says so: an answer counts only from whom it was asked of, a router's word from anybody. */
  heard(what: Heard, from: IpAddress, now: number): void {
    if (what.type === 'port-unreachable') {
      const check = this.#asked.get(what.destinationPort);
      if (check?.address === from)
        check.answered(what.sourcePort === this.#ports.leftPort(familyOf(from)) ? 'left' : 'made', now);
      return;
    }
    const sent = this.#sent.get(what.sequence);
    if (sent === undefined || this.#paths.get(sent.check.target.address) !== sent.check) return;
    if (what.type === 'too-big') sent.check.tooBig(what.mtu);
    else if (sent.check.target.address === from) {
      this.#sent.delete(what.sequence);
      sent.check.answered(sent.size, now);
    }
  }

  readonly #pathPorts = {
    echo: (address: IpAddress, size: number, check: PathCheck): boolean => {
      const sequence = (this.#sequence = (this.#sequence + 1) % SEQUENCES);
      this.#sent.set(sequence, { check, size });
      return this.#ports.echo(address, { sequence, size });
    },
    report: (address: IpAddress, report: PathReport): void => this.#ports.path(address, report),
    random: (): number => this.#ports.random(),
  };

  readonly #checksumPorts = {
    datagrams: (address: IpAddress, check: ChecksumCheck): void => {
      const port = PORTS.first + (this.#port = (this.#port + 1) % PORTS.count);
      this.#asked.set(port, check);
      this.#ports.datagrams(address, port);
    },
    report: (address: IpAddress, report: ChecksumReport): void => this.#ports.checksums(address, report),
    random: (): number => this.#ports.random(),
  };
}
