/** ARP and neighbour-discovery entries: ip-neighbour(8). */
import { type Family, familyOf, type IpAddress } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';
import { familyH, neighbourH, netlinkH, rtnetlinkH } from '../wire/netlink/constants.ts';
import { neighbour as neighbourMessage } from '../wire/netlink/neighbour.ts';
import { dev } from './link-spec.ts';
import { change, type Query, query, type Received, type Request } from './request.ts';

const { RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH } = rtnetlinkH;
const { NUD_INCOMPLETE, NUD_FAILED, NUD_NOARP, NUD_PERMANENT, NUD_REACHABLE } = neighbourH;
const { NLM_F_CREATE, NLM_F_REPLACE } = netlinkH;

export interface NeighbourSpec {
  /** Of the link. */
  readonly index: number;
  readonly address: IpAddress;
  readonly mac: Mac;
  /** `permanent` stays until removed; `reachable` ages as if it had been learned now. */
  readonly state: 'permanent' | 'reachable';
}

/** Adds or replaces. @param device name of the link, for the description */
export const setNeighbour = ({ index, address, mac, state }: NeighbourSpec, device?: string): Request =>
  change(`ip neigh replace ${address} lladdr ${mac} dev ${device ?? dev(index)} nud ${state}`, RTM_NEWNEIGH, {
    flags: NLM_F_CREATE | NLM_F_REPLACE,
    codec: neighbourMessage,
    value: {
      header: { family: familyNumber(familyOf(address)), index, state: state === 'permanent' ? NUD_PERMANENT : NUD_REACHABLE },
      attributes: { destination: address, lladdr: mac },
    },
  });

/** An entry that is not there: ENOENT. */
export const deleteNeighbour = ({ index, address }: Pick<NeighbourSpec, 'index' | 'address'>, device?: string): Request =>
  change(`ip neigh del ${address} dev ${device ?? dev(index)}`, RTM_DELNEIGH, {
    codec: neighbourMessage,
    value: { header: { family: familyNumber(familyOf(address)), index }, attributes: { destination: address } },
  });

/**
 * Entries with a link-layer address. Whatever is not permanent shows as reachable; failed, incomplete and noarp ones are left out.
 * @param filter.index only this link's; filtered by the kernel
 */
export function dumpNeighbours(family: Family, filter: { readonly index?: number | undefined } = {}): Query<NeighbourSpec> {
  const value = { header: { family: familyNumber(family) }, attributes: { index: filter.index } };
  return query(`ip -${family} neigh show`, RTM_GETNEIGH, { dump: true, codec: neighbourMessage, value, decode });
}

/** One of them (use `find`). Linux 5.0 and later; before: EOPNOTSUPP. */
export const getNeighbour = (index: number, address: IpAddress): Query<NeighbourSpec> =>
  query(`ip neigh get ${address} dev ${dev(index)}`, RTM_GETNEIGH, {
    dump: false,
    codec: neighbourMessage,
    value: { header: { family: familyNumber(familyOf(address)), index }, attributes: { destination: address } },
    decode,
  });

function decode(message: Received): NeighbourSpec | undefined {
  if (message.type !== RTM_NEWNEIGH) return undefined;
  const { header, attributes } = message.read(neighbourMessage);
  const { destination, lladdr } = attributes;
  if (!destination || lladdr?.length !== MAC_LENGTH || header.state & (NUD_INCOMPLETE | NUD_FAILED | NUD_NOARP)) return undefined;
  const state = header.state & NUD_PERMANENT ? 'permanent' : 'reachable';
  return { index: header.index, address: destination, mac: lladdr as Mac, state };
}

/** `00:11:22:33:44:55` */
const MAC_LENGTH = 17;

const familyNumber = (family: Family): number => (family === 4 ? familyH.AF_INET : familyH.AF_INET6);
