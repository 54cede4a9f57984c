/** Ports of the host, held against its other programs while they are published. Implemented by `kernel/` and its fake. */
import type { IpAddress } from '../base/ip.ts';
import type { PortProtocol, PortRange } from '../model/ports.ts';

export interface HostPort {
  readonly protocol: PortProtocol;
  /** `0.0.0.0` and `::` stand for every address of their family. */
  readonly address: IpAddress;
  readonly ports: PortRange;
}

/** The first port that could not be had. `no-address`: the host does not have the address. */
export interface HostPortRefusal {
  readonly protocol: PortProtocol;
  readonly address: IpAddress;
  readonly port: number;
  readonly reason: 'in-use' | 'no-address';
}

/** A program that has a port. */
export interface PortHolder {
  /** As `ps` shows it, /proc/PID/comm. */
  readonly name: string;
  readonly pid: number;
}

/** A hold is a bound socket of ours: it ends with the daemon, and the next start takes it again. */
export interface HostPorts {
  /**
   * All of them or none. What is held already counts as had: who may have what is the caller's to know.
   * @returns null: they are held; the refusal otherwise, and then nothing was taken. A protocol or family that this kernel lacks has no
   * ports that anybody could take: nothing is held, and nothing refused.
   * @throws exhausted when no more files can be opened, forbidden for a port that we may not bind
   */
  readonly hold: (ports: readonly HostPort[]) => Promise<HostPortRefusal | null>;
  /** What is not held is no error. */
  readonly release: (ports: readonly HostPort[]) => Promise<void>;
  /** Who has what was refused; null when that cannot be seen (a connection that is just ending, another pid namespace). */
  readonly holder: (refusal: HostPortRefusal) => Promise<PortHolder | null>;
  /** Where free ports are looked for, and which of them the administrator has set aside (net.ipv4.ip_local_*). */
  readonly automatic: () => Promise<{ readonly range: PortRange; readonly reserved: readonly PortRange[] }>;
}
