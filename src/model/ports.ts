/** Published ports: which ports of the host lead to which ports of a sandbox. Plain data; parsing of what a user writes is beside it. */
import type { IpAddress } from '../base/ip.ts';

/** Docker's driver option: host address that ports of a network bind to when they name none. */
export const HOST_BINDING_OPTION = 'com.docker.network.bridge.host_binding_ipv4';

export type PortProtocol = 'tcp' | 'udp' | 'sctp';

/** Both ends belong to it. 1 to 65535. */
export interface PortRange {
  readonly from: number;
  readonly to: number;
}

/** What a user asks for: one `-p`. */
export interface PortSpec {
  readonly protocol: PortProtocol;
  readonly containerPorts: PortRange;
  /**
   * null: any free one. As many as container ports: one for each. More than one for a single container port: the first free one of
   * them.
   */
  readonly hostPorts: PortRange | null;
  /** null: the network's default (`host_binding_ipv4`), else the daemon's (`--ip`), else every address of both families. */
  readonly hostAddress: IpAddress | null;
}

/** What was decided, stored with the sandbox: one address (`0.0.0.0` and `::` are every address of that family), as many ports on both sides. */
export interface PortBinding {
  readonly protocol: PortProtocol;
  readonly hostAddress: IpAddress;
  readonly hostPorts: PortRange;
  readonly containerPorts: PortRange;
  /**
   * Nothing is translated: the ports are open at the sandbox's own address (gateway mode `routed`). Of the host's address only the family
   * counts, its ports are not used, and others may have them.
   */
  readonly routed?: true;
}
