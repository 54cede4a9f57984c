/** The frame that tells a segment where an address is: for IPv4 a gratuitous ARP reply, for IPv6 an unsolicited neighbour advertisement. */
import { familyOf, ipBytes, type IpAddress } from '../base/ip.ts';
import { type Mac, macBytes } from '../base/mac.ts';

/** <linux/if_ether.h> */
const ETHERNET = 14;
const ETH_P_ARP = 0x0806;
const ETH_P_IPV6 = 0x86dd;
/** RFC 826 for Ethernet and IPv4: 28 bytes. */
const ARP = 28;
const ARPOP_REPLY = 2;
/** RFC 8200 section 3 */
const IPV6 = 40;
const IPPROTO_ICMPV6 = 58;
/** RFC 4861 section 4.4, with a target link-layer address option (section 4.6.1). */
const ADVERTISEMENT = 32;
const ND_NEIGHBOR_ADVERT = 136;
const TARGET_LINK_LAYER = 2;
/** Override: what is known by another address is replaced. */
const OVERRIDE = 0x20;

/** A whole Ethernet frame. */
export const announcement = (address: IpAddress, mac: Mac): Uint8Array<ArrayBuffer> =>
  familyOf(address) === 4 ? arpReply(ipBytes(address), macBytes(mac)) : advertisement(ipBytes(address), macBytes(mac));

/** A reply, not a request: nobody answers it, and Linux takes both for an entry that it has (arp_process(), net/ipv4/arp.c). */
function arpReply(ip: Uint8Array, mac: Uint8Array): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(ETHERNET + ARP);
  const view = new DataView(frame.buffer);
  frame.fill(0xff, 0, 6);
  frame.set(mac, 6);
  view.setUint16(12, ETH_P_ARP);
  view.setUint16(14, 1); // Ethernet
  view.setUint16(16, 0x0800); // IPv4
  frame.set([6, 4], 18);
  view.setUint16(20, ARPOP_REPLY);
  frame.set(mac, 22);
  frame.set(ip, 28);
  // That of the target has to be the sender's: arp_is_garp().
  frame.set(mac, 32);
  frame.set(ip, 38);
  return frame;
}

function advertisement(ip: Uint8Array, mac: Uint8Array): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(ETHERNET + IPV6 + ADVERTISEMENT);
  const view = new DataView(frame.buffer);
  // All nodes: ff02::1, and the group's Ethernet address (RFC 2464 section 7).
  frame.set([0x33, 0x33, 0, 0, 0, 1], 0);
  frame.set(mac, 6);
  view.setUint16(12, ETH_P_IPV6);
  frame[14] = 0x60;
  view.setUint16(18, ADVERTISEMENT);
  // A hop limit of 255 shows that no router was on the way.
  frame.set([IPPROTO_ICMPV6, 255], 20);
  frame.set(ip, 22);
  frame.set([0xff, 0x02], 38);
  frame[53] = 1;
  frame[54] = ND_NEIGHBOR_ADVERT;
  frame[58] = OVERRIDE;
  frame.set(ip, 62);
  frame.set([TARGET_LINK_LAYER, 1], 78);
  frame.set(mac, 80);
  view.setUint16(56, icmpv6Checksum(view));
  return frame;
}

/** RFC 4443 section 2.3: over addresses, length, next header, and the message, whose own field is zero. */
function icmpv6Checksum(frame: DataView): number {
  let sum = ADVERTISEMENT + IPPROTO_ICMPV6;
  for (let at = 22; at < frame.byteLength; at += 2) sum += frame.getUint16(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
