import type { IpAddress, Family } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';
import type { Request } from './request.ts';
import type { Query } from './socket.ts';
export interface NeighbourSpec {
  readonly index: number;
  readonly address: IpAddress;
  readonly mac: Mac;
  readonly state: 'permanent' | 'reachable';
}
/** Replaces when present. `device` only for the description. */
export declare function setNeighbour(entry: NeighbourSpec, device?: string): Request;
export declare function deleteNeighbour(entry: Pick<NeighbourSpec, 'index' | 'address'>, device?: string): Request;
/** `state` of anything but permanent shows as reachable; failed, incomplete and noarp entries are skipped. */
export declare function dumpNeighbours(family: Family, index?: number): Query<NeighbourSpec>;
export interface FdbSpec {
  readonly index: number;
  readonly mac: Mac;
  /** NDA_DST: remote VTEP of a vxlan device. Without it the entry is the bridge's (`master static`) when the link is a port, `self` otherwise: say which. */
  readonly destination?: IpAddress;
  readonly on: 'self' | 'master';
}
export declare function appendFdb(entry: FdbSpec, device?: string): Request;
export declare function deleteFdb(entry: FdbSpec, device?: string): Request;
/** Permanent and static entries only; learned ones are skipped. */
export declare function dumpFdb(index?: number): Query<FdbSpec>;
