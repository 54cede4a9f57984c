import type { Family, IpAddress, Prefix } from '../base/ip.ts';
import type { Request } from './request.ts';
import type { Query } from './socket.ts';
export interface RouteSpec {
  readonly destination: Prefix;
  readonly type?: 'unicast' | 'blackhole' | 'unreachable' | 'prohibit';
  readonly via?: IpAddress;
  /** Index of the outgoing link. */
  readonly device?: number;
  readonly source?: IpAddress;
  readonly metric?: number;
  readonly onlink?: boolean;
  readonly scope?: 'global' | 'link' | 'host';
  /** default 254 (main) */
  readonly table?: number;
  /** RTAX_MTU, bytes */
  readonly mtu?: number;
}
export declare function addRoute(route: RouteSpec, deviceName?: string): Request;
export declare function replaceRoute(route: RouteSpec, deviceName?: string): Request;
export declare function deleteRoute(route: RouteSpec, deviceName?: string): Request;
export interface RouteInfo extends RouteSpec {
  readonly type: 'unicast' | 'blackhole' | 'unreachable' | 'prohibit';
  readonly table: number;
  /** RTPROT_*, <linux/rtnetlink.h>: 2 = kernel, 3 = boot, 4 = static. */
  readonly protocol: number;
}
/** Unicast, blackhole, unreachable and prohibit routes; local, broadcast and multicast ones are skipped. @param table filtered by the kernel */
export declare function dumpRoutes(family: Family, table?: number): Query<RouteInfo>;
