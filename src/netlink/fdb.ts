/** Forwarding entries of bridges and VXLAN devices: bridge-fdb(8). */
import type { IpAddress } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';
import { familyH, neighbourH, netlinkH, rtnetlinkH } from '../wire/netlink/constants.ts';
import { neighbour as neighbourMessage } from '../wire/netlink/neighbour.ts';
import { dev } from './link-spec.ts';
import { change, type Query, query, type Received, type Request } from './request.ts';

const { RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH } = rtnetlinkH;
const { NUD_NOARP, NUD_PERMANENT, NTF_SELF, NTF_MASTER } = neighbourH;
const { NLM_F_CREATE, NLM_F_EXCL, NLM_F_APPEND, NLM_F_REPLACE } = netlinkH;

export interface FdbSpec {
  /** Of the link. */
  readonly index: number;
  /** 00:00:00:00:00:00 on a VXLAN device: where frames for unknown addresses go; may have several destinations. */
  readonly mac: Mac;
  /** Whose table: the device's own (a VXLAN device), or that of the bridge it is a port of. */
  readonly on: 'self' | 'master';
  /** NDA_DST, on a VXLAN device: the remote VTEP. */
  readonly destination?: IpAddress | undefined;
}

/** An entry that is there: EEXIST; only the all-zero address may have several destinations. @param device name, for the description */
export const addFdb = (entry: FdbSpec, device?: string): Request =>
  change(`bridge fdb ${isDefault(entry) ? 'append' : 'add'} ${describe(entry, device)}`, RTM_NEWNEIGH, {
    flags: NLM_F_CREATE | (isDefault(entry) ? NLM_F_APPEND : NLM_F_EXCL),
    codec: neighbourMessage,
    // What iproute2 calls static on a bridge, permanent on the device itself.
    value: body(entry, NUD_NOARP | (entry.on === 'self' ? NUD_PERMANENT : 0)),
  });

/** Of a VXLAN device: sends the frames of an address elsewhere from now on. Not for the all-zero address. */
export const replaceFdb = (entry: FdbSpec, device?: string): Request =>
  change(`bridge fdb replace ${describe(entry, device)}`, RTM_NEWNEIGH, {
    flags: NLM_F_CREATE | NLM_F_REPLACE,
    codec: neighbourMessage,
    value: body(entry, NUD_NOARP | NUD_PERMANENT),
  });

/** An entry that is not there: ENOENT. */
export const deleteFdb = (entry: FdbSpec, device?: string): Request =>
  change(`bridge fdb del ${describe(entry, device)}`, RTM_DELNEIGH, { codec: neighbourMessage, value: body(entry, 0) });

const isDefault = (entry: FdbSpec): boolean => entry.mac === '00:00:00:00:00:00';

function body(entry: FdbSpec, state: number): Parameters<typeof neighbourMessage.write>[1] {
  const { index, mac, on, destination } = entry;
  return {
    header: { family: familyH.AF_BRIDGE, index, state, flags: on === 'self' ? NTF_SELF : NTF_MASTER },
    attributes: { lladdr: mac, destination },
  };
}

const describe = ({ index, mac, on, destination }: FdbSpec, device: string | undefined): string =>
  `${mac} dev ${device ?? dev(index)} ${on}${on === 'master' ? ' static' : ''}${destination ? ` dst ${destination}` : ''}`;

/**
 * Entries that somebody set. Learned ones are left out, and the bridge's own: its ports' addresses and multicast ones.
 * @param filter.index only this link's; filtered by the kernel
 */
export function dumpFdb(filter: { readonly index?: number | undefined } = {}): Query<FdbSpec> {
  const value = { header: { family: familyH.AF_BRIDGE, index: filter.index ?? 0 }, attributes: {} };
  return query('bridge fdb show', RTM_GETNEIGH, { dump: true, codec: neighbourMessage, value, decode });
}

/**
 * One of them (use `find`): of the device's own table, or of the table of the bridge that it is a port of, there on whichever port. Not for the
 * all-zero address, which may have several. Linux 5.0 and later; before: EOPNOTSUPP.
 */
export const getFdb = ({ index, mac, on }: Pick<FdbSpec, 'index' | 'mac' | 'on'>): Query<FdbSpec> =>
  query(`bridge fdb get ${mac} dev ${dev(index)} ${on}`, RTM_GETNEIGH, {
    dump: false,
    codec: neighbourMessage,
    value: {
      header: { family: familyH.AF_BRIDGE, index, flags: on === 'self' ? NTF_SELF : NTF_MASTER },
      attributes: { lladdr: mac },
    },
    decode,
  });

function decode(message: Received): FdbSpec | undefined {
  if (message.type !== RTM_NEWNEIGH) return undefined;
  const { header, attributes } = message.read(neighbourMessage);
  const { lladdr, destination, master } = attributes;
  if (header.family !== familyH.AF_BRIDGE || lladdr?.length !== MAC_LENGTH) return undefined;
  const on = header.flags & NTF_SELF ? 'self' : master === undefined ? 'self' : 'master';
  // The bridge's table: static entries are NOARP; PERMANENT ones are its own addresses.
  if (on === 'master' ? !(header.state & NUD_NOARP) : !(header.state & NUD_PERMANENT) || !destination) return undefined;
  return { index: header.index, mac: lladdr as Mac, on, ...(destination === undefined ? {} : { destination }) };
}

/** `00:11:22:33:44:55` */
const MAC_LENGTH = 17;
