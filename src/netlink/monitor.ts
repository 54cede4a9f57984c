import type { IpAddress, Prefix } from '../base/ip.ts';
import type { Fd } from '../sys/fd.ts';
/** `nsid`: null = the monitor's own namespace, else the id given by `setNsid`. */
export type RouteEvent =
  | { readonly type: 'link'; readonly nsid: number | null; readonly gone: boolean; readonly index: number; readonly name: string; readonly master: number; readonly up: boolean; readonly alias: string; /** AF_BRIDGE: a port left or joined, not the link itself */ readonly bridgePort: boolean }
  | { readonly type: 'address'; readonly nsid: number | null; readonly gone: boolean; readonly index: number; readonly address: IpAddress }
  | { readonly type: 'route'; readonly nsid: number | null; readonly gone: boolean; readonly index: number; readonly destination: Prefix; readonly table: number; readonly protocol: number }
  | { readonly type: 'neighbour'; readonly nsid: number | null; readonly gone: boolean; readonly index: number };
export type NftEvent =
  /** Something of a table changed. `message`: NFT_MSG_*, 'newrule' ... */
  | { readonly type: 'nft'; readonly message: string; readonly family: string; readonly table: string }
  /** Ends a transaction: who made it. */
  | { readonly type: 'generation'; readonly id: number; readonly pid: number; readonly process: string };
/** `overrun`: ENOBUFS, notifications were lost. */
export type Overrun = { readonly type: 'overrun' };
export interface Monitor<E> extends Disposable {
  /** Poll this; non-blocking. */
  readonly fd: Fd;
  /** Everything there is now, in order. */
  readonly drain: () => readonly (E | Overrun)[];
}
export declare function openRouteMonitor(options: { readonly allNsid: boolean; readonly neighbours?: boolean; readonly netns?: Fd }): Monitor<RouteEvent>;
export declare function openNftMonitor(netns?: Fd): Monitor<NftEvent>;
