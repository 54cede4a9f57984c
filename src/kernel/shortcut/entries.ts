/** From what is published at the loopback to keys and values of the trie. Pure. */
import { familyOf, type IpAddress, ipBytes } from '../../base/ip.ts';
import type { LoopbackTarget } from '../../contracts/shortcut.ts';
import type { PortRange } from '../../model/ports.ts';
import { KEY, KEY_BITS, SAME_PORT, TARGET } from './layout.ts';

const PORT_BITS = 16;
const ANY6: readonly string[] = ['::', '::1'];

/** Ports as blocks of a power of two that begin at a multiple of it, as few as there can be. */
export function blocks({ from, to }: PortRange): { readonly port: number; readonly bits: number }[] {
  const out: { readonly port: number; readonly bits: number }[] = [];
  for (let port = from; port <= to; ) {
    let bits = PORT_BITS;
    for (let size = 2; bits > 0 && port % size === 0 && port + size - 1 <= to; size *= 2) bits--;
    out.push({ port, bits });
    port += 2 ** (PORT_BITS - bits);
  }
  return out;
}

/** Writes what a block of ports is found by. */
export function writeKey(view: DataView, address: IpAddress, { port, bits }: ReturnType<typeof blocks>[number]): void {
  view.setUint32(KEY.bits, KEY_BITS - PORT_BITS + bits, true);
  const host = ANY6.includes(address) ? [0, 0, 0, 1] : ipBytes(address);
  host.forEach((byte, i) => view.setUint8(KEY.address + i, byte));
  view.setUint16(KEY.port, port);
}

/** Writes where it leads. */
export function writeTarget(view: DataView, { address, port }: LoopbackTarget): void {
  const bytes = ipBytes(address);
  const mapped = familyOf(address) === 4 ? [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...bytes] : [...bytes];
  mapped.forEach((byte, i) => view.setUint8(TARGET.address + i, byte));
  view.setUint16(TARGET.port, port ?? SAME_PORT);
}
