/** Ports of the host, held against its other programs while they are published. Implemented by `kernel/` and its fake. */
import type { IpAddress } from '../base/ip.ts';
import type { PortProtocol, PortRange } from '../model/ports.ts';

export interface HostPort {
  readonly protocol: PortProtocol;
  /** `0.0.0.0` and `::` stand for every address of their family. */
  readonly address: IpAddress;
  readonly ports: PortRange;
}

/** A hold is a bound socket of ours: it ends with the daemon, and the next start takes it again. */
export interface HostPorts {
  /**
   * All of them or none.
   * @throws conflict when a program has one: names address, port, program and pid; unavailable for an address that the host does not have.
   */
  readonly hold: (ports: readonly HostPort[]) => Promise<void>;
  /** What is not held is no error. */
  readonly release: (ports: readonly HostPort[]) => Promise<void>;
}
