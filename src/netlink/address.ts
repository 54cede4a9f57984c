import type { IfAddress } from '../base/ip.ts';
import type { Request } from './request.ts';
import type { Query } from './socket.ts';
export interface AddressOptions {
  /** IFA_F_NODAD, IPv6: usable at once. */
  readonly nodad?: boolean;
  /** `device` is only used in the description; the index counts. */
  readonly device?: string;
  /** Do not add the connected route (IFA_F_NOPREFIXROUTE). */
  readonly noprefixroute?: boolean;
}
export declare function addAddress(index: number, address: IfAddress, options?: AddressOptions): Request;
export declare function deleteAddress(index: number, address: IfAddress, options?: AddressOptions): Request;
export interface AddressInfo {
  readonly index: number;
  readonly address: IfAddress;
  /** Made by the kernel (IFAPROT_KERNEL_LO, _LL, _RA): loopback, link-local, from a router advertisement. */
  readonly kernel: boolean;
  readonly scope: 'global' | 'site' | 'link' | 'host' | 'nowhere';
}
/** @param index only this link's (filtered by the kernel) */
export declare function dumpAddresses(index?: number): Query<AddressInfo>;
