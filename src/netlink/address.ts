/** Addresses of links: ip-address(8). */
import { addressOf, bitsOf, familyOf, type IfAddress, lengthOf, withLength } from '../base/ip.ts';
import { address as addressMessage } from '../wire/netlink/address.ts';
import { familyH, ifAddrH, netlinkH, rtnetlinkH } from '../wire/netlink/constants.ts';
import { dev } from './link-spec.ts';
import { change, type Query, query, type Received, type Request } from './request.ts';

const { RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR } = rtnetlinkH;
const { IFA_F_NODAD, IFA_F_NOPREFIXROUTE, IFA_F_PERMANENT } = ifAddrH;

export interface AddressOptions {
  /** IFA_F_NODAD, IPv6: usable at once, without asking whether somebody has it. */
  readonly nodad?: boolean | undefined;
  /** IFA_F_NOPREFIXROUTE: no route to its prefix. */
  readonly noPrefixRoute?: boolean | undefined;
  /** Name of the link, for the description only. */
  readonly device?: string | undefined;
}

/** @param index of the link. An address that is there: EEXIST */
export function addAddress(index: number, address: IfAddress, options: AddressOptions = {}): Request {
  const flags = (options.nodad ? IFA_F_NODAD : 0) | (options.noPrefixRoute ? IFA_F_NOPREFIXROUTE : 0);
  const words = `${options.nodad ? ' nodad' : ''}${options.noPrefixRoute ? ' noprefixroute' : ''}`;
  return change(() => `ip addr add ${address} dev ${options.device ?? dev(index)}${words}`, RTM_NEWADDR, {
    flags: netlinkH.NLM_F_CREATE | netlinkH.NLM_F_EXCL,
    codec: addressMessage,
    value: body(index, address, flags),
  });
}

/** An address that is not there: EADDRNOTAVAIL. */
export function deleteAddress(index: number, address: IfAddress, options: Pick<AddressOptions, 'device'> = {}): Request {
  return change(() => `ip addr del ${address} dev ${options.device ?? dev(index)}`, RTM_DELADDR, {
    codec: addressMessage,
    value: body(index, address, 0),
  });
}

function body(index: number, address: IfAddress, flags: number): Parameters<typeof addressMessage.write>[1] {
  const ip = addressOf(address);
  const v4 = familyOf(address) === 4;
  return {
    header: { family: v4 ? familyH.AF_INET : familyH.AF_INET6, prefixLength: lengthOf(address), index },
    attributes: { local: ip, address: ip, flags: flags === 0 ? undefined : flags },
  };
}

export interface AddressInfo {
  /** Of the link. */
  readonly index: number;
  readonly address: IfAddress;
  /** The kernel made it: loopback, link-local, from a router advertisement. */
  readonly kernel: boolean;
  readonly scope: AddressScope;
  /** IPv6: still being checked for duplicates. */
  readonly tentative: boolean;
}

export type AddressScope = 'global' | 'site' | 'link' | 'host' | 'nowhere';
const SCOPES: Readonly<Record<number, AddressScope>> = {
  [rtnetlinkH.RT_SCOPE_UNIVERSE]: 'global',
  [rtnetlinkH.RT_SCOPE_SITE]: 'site',
  [rtnetlinkH.RT_SCOPE_LINK]: 'link',
  [rtnetlinkH.RT_SCOPE_HOST]: 'host',
  [rtnetlinkH.RT_SCOPE_NOWHERE]: 'nowhere',
};

/** Addresses of both families. @param filter.index only this link's; filtered by the kernel */
export function dumpAddresses(filter: { readonly index?: number | undefined } = {}): Query<AddressInfo> {
  const value = { header: { family: familyH.AF_UNSPEC, index: filter.index ?? 0 }, attributes: {} };
  return query('ip addr show', RTM_GETADDR, { dump: true, codec: addressMessage, value, decode });
}

function decode(message: Received): AddressInfo | undefined {
  if (message.type !== RTM_NEWADDR) return undefined;
  const { header, attributes } = message.read(addressMessage);
  // On a point-to-point link IFA_ADDRESS is the other side; IPv6 has IFA_LOCAL only then.
  const ip = attributes.local ?? attributes.address;
  if (!ip || (header.family !== familyH.AF_INET && header.family !== familyH.AF_INET6)) return undefined;
  const flags = attributes.flags ?? header.flags;
  const protocol = attributes.protocol ?? ifAddrH.IFAPROT_UNSPEC;
  const length = Math.min(header.prefixLength, bitsOf(familyOf(ip)));
  const scope = SCOPES[header.scope] ?? 'global';
  // Kernels before 5.18 do not say who made an address; a lifetime means a router advertisement.
  const guessed = scope === 'host' || (familyOf(ip) === 6 && scope === 'link') || !(flags & IFA_F_PERMANENT);
  return {
    index: header.index,
    address: withLength(ip, length),
    kernel: attributes.protocol === undefined ? guessed : protocol !== ifAddrH.IFAPROT_UNSPEC,
    scope,
    tentative: (flags & ifAddrH.IFA_F_TENTATIVE) !== 0,
  };
}
