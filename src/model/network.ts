/** A network: endpoints that can reach each other. Plain data, stored as it is. */
import type { Id } from '../base/ids.ts';
import type { Family, IfAddress, IpAddress, Prefix } from '../base/ip.ts';

export type Scope = 'local' | 'global';

/** A subnet of a network, resolved: nothing in it is open any more. */
export interface Pool {
  readonly family: Family;
  readonly subnet: Prefix;
  /** null: none was wanted or needed (drivers without a gateway). */
  readonly gateway: IpAddress | null;
  /** Dynamic addresses come out of this part of the subnet. */
  readonly range: Prefix | null;
  /** `--aux-address name=ip`: never given to an endpoint. */
  readonly auxiliary: Readonly<Record<string, IpAddress>>;
  /** The subnet was named by the user. A fixed `--ip` needs that, as in Docker. */
  readonly configured: boolean;
}

export interface Network {
  readonly id: Id;
  readonly name: string;
  /** ISO 8601 in UTC */
  readonly created: string;
  readonly driver: string;
  readonly scope: Scope;
  readonly ipv4: boolean;
  readonly ipv6: boolean;
  readonly internal: boolean;
  readonly attachable: boolean;
  /** Driver options as the user gave them; the driver parses and checks them. */
  readonly options: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly ipamDriver: string;
  readonly ipamOptions: Readonly<Record<string, string>>;
  readonly pools: readonly Pool[];
  /**
   * Of a network that spans hosts, each of which has subnets of its own: what those come out of, one of a family at most (what the user
   * gave as `--subnet`). `pools` are then this host's.
   */
  readonly ranges?: readonly Prefix[];
  /**
   * Its bridge was there before, as somebody else's: it is used as it is, and stays with the addresses that it had. Absent: it is made and
   * removed with the network.
   */
  readonly foreignBridge?: { readonly addresses: readonly IfAddress[] };
  /** One of `bridge`, `host`, `none`: made by the daemon, cannot be removed. */
  readonly predefined: boolean;
}

/** One `--subnet` with its `--ip-range`, `--gateway`, `--aux-address`, as text from the user. */
export interface PoolRequest {
  /** `192.168.7.0/24`, or `0.0.0.0/24` (any free subnet of that size), or absent (any free subnet). */
  readonly subnet?: string;
  readonly range?: string;
  readonly gateway?: string;
  readonly auxiliary?: Readonly<Record<string, string>>;
}

/** What a user asks for. Everything open is decided by the engine. */
export interface NetworkSpec {
  readonly name: string;
  readonly driver?: string;
  readonly scope?: string;
  readonly ipv4?: boolean;
  readonly ipv6?: boolean;
  readonly internal?: boolean;
  readonly attachable?: boolean;
  readonly options?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly ipamDriver?: string;
  readonly ipamOptions?: Readonly<Record<string, string>>;
  readonly pools?: readonly PoolRequest[];
}
