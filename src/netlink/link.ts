import type { Mac } from '../base/mac.ts';
import type { IpAddress } from '../base/ip.ts';
import type { Fd } from '../sys/fd.ts';
import type { Request } from './request.ts';
import type { Query } from './socket.ts';
/** A link by index or by name. */
export type LinkRef = number | string;
export type NewLinkKind =
  | { readonly type: 'veth'; readonly peer: { readonly name: string; readonly index?: number; readonly netns?: Fd; readonly mac?: Mac; readonly mtu?: number; readonly up?: boolean; readonly alias?: string } }
  | { readonly type: 'bridge'; readonly multicastSnooping?: boolean; /** hundredths of a second (USER_HZ) */ readonly forwardDelay?: number }
  | { readonly type: 'vxlan'; readonly vni: number; readonly port: number; readonly local?: IpAddress; readonly device?: number; readonly learning: boolean; readonly proxy?: boolean }
  | { readonly type: 'macvlan'; readonly parent: number; readonly mode: 'private' | 'vepa' | 'bridge' | 'passthru' }
  | { readonly type: 'dummy' };
export interface NewLink {
  readonly name: string;
  readonly kind: NewLinkKind;
  /** Index to give it; the kernel chooses when absent. */
  readonly index?: number;
  readonly up?: boolean;
  readonly mtu?: number;
  readonly mac?: Mac;
  /** Index of the bridge. */
  readonly master?: number;
  /** Where it is born; default: the socket's namespace. */
  readonly netns?: Fd;
}
/** IFLA_IFALIAS cannot be given at birth (the kernel ignores it there? then a second request follows): see `setLink`. */
export declare function addLink(link: NewLink): Request;
export interface LinkChange {
  readonly up?: boolean;
  readonly mtu?: number;
  readonly mac?: Mac;
  /** 0 = no master */
  readonly master?: number;
  readonly alias?: string;
  /** New name; the link must be down on kernels before 6.2 or so. */
  readonly name?: string;
  readonly netns?: Fd;
}
export declare function setLink(link: LinkRef, change: LinkChange): Request;
export declare function setBridgePort(link: LinkRef, port: { readonly isolated?: boolean; readonly hairpin?: boolean; readonly learning?: boolean }): Request;
export declare function deleteLink(link: LinkRef): Request;
export interface LinkInfo {
  readonly index: number;
  readonly name: string;
  readonly type: string;
  readonly up: boolean;
  readonly loopback: boolean;
  readonly mtu: number;
  readonly mac: Mac | '';
  readonly master: number;
  /** IFLA_LINK: the veth peer's or macvlan parent's index, 0 = none; in the namespace `linkNsid` when that is not null. */
  readonly link: number;
  readonly linkNsid: number | null;
  readonly alias: string;
  readonly isolated: boolean;
  readonly hairpin: boolean;
}
export declare function getLink(link: LinkRef): Query<LinkInfo>;
export declare function dumpLinks(): Query<LinkInfo>;
export declare function decodeLink(body: DataView): LinkInfo;
