import type { IpAddress } from '../base/ip.ts';
import type { Request } from './request.ts';
import type { NetlinkSocket, Query } from './socket.ts';
export interface Flow {
  readonly family: 4 | 6;
  /** IPPROTO_* */
  readonly protocol: number;
  readonly source: IpAddress;
  readonly destination: IpAddress;
  /** null for protocols without ports */
  readonly sourcePort: number | null;
  readonly destinationPort: number | null;
  readonly replySource: IpAddress;
  readonly replyDestination: IpAddress;
  readonly id: number;
  readonly zone: number;
}
/** Absent fields match anything. */
export interface FlowFilter {
  readonly family: 4 | 6;
  readonly protocol?: 'tcp' | 'udp' | 'sctp';
  readonly source?: IpAddress;
  readonly destination?: IpAddress;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly replySource?: IpAddress;
}
export declare function dumpFlows(family: 4 | 6): Query<Flow>;
export declare function deleteFlow(flow: Flow): Request;
/** Dumps, deletes all that match (in batches). @returns how many were deleted */
export declare function deleteFlows(socket: NetlinkSocket, filter: FlowFilter): number;
