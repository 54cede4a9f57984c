/**
 * Published ports as the shortcut of the loopback takes them: read from the very elements that translate (ports.ts), so that both lead to the
 * same place, whatever it was that made or removed an element.
 */
import { type IpAddress, isIp, parseIp } from '../../base/ip.ts';
import type { LoopbackPort, LoopbackTarget } from '../../contracts/shortcut.ts';
import type { PortRange } from '../../model/ports.ts';
import type { NftElement } from '../../nft/types.ts';
import { MAPS } from './ports-table.ts';

const PROTOCOL = 'tcp';

/** Maps of any address, by name. */
const ANY: ReadonlyMap<string, IpAddress> = new Map([
  [MAPS[4].port, parseIp('0.0.0.0')],
  [MAPS[4].range, parseIp('0.0.0.0')],
  [MAPS[6].port, parseIp('::')],
  [MAPS[6].range, parseIp('::')],
]);
const NAMED: ReadonlySet<string> = new Set([MAPS[4].portAt, MAPS[4].rangeAt, MAPS[6].portAt, MAPS[6].rangeAt]);

export interface LoopbackElement {
  readonly at: LoopbackPort;
  /** null: the element was read without its value. */
  readonly target: LoopbackTarget | null;
}

/** null: it is about something else, about an address of the host that is no loopback address, or not as we write it. */
export function loopbackOf({ set, key, value }: NftElement): LoopbackElement | null {
  const any = ANY.get(set);
  if (any === undefined && !NAMED.has(set)) return null;
  const words = key.split(' . ');
  const [protocol, named = ''] = words;
  const address = any ?? (isLoopback(named) ? parseIp(named) : null);
  const ports = rangeOf(words.at(-1) ?? '');
  if (protocol !== PROTOCOL || address === null || ports === null || words.length !== (any === undefined ? 3 : 2)) return null;
  if (value === undefined) return { at: { address, ports }, target: null };
  const target = targetOf(value);
  return target === null ? null : { at: { address, ports }, target };
}

const isLoopback = (text: string): boolean => isIp(text) && (text.startsWith('127.') || text === '::1');

function rangeOf(text: string): PortRange | null {
  const [, from, to = from] = /^(\d+)(?:-(\d+))?$/.exec(text) ?? [];
  return from === undefined ? null : { from: Number(from), to: Number(to) };
}

function targetOf(value: string): LoopbackTarget | null {
  const [address = '', port] = value.split(' . ');
  return isIp(address) ? { address: parseIp(address), port: port === undefined ? null : Number(port) } : null;
}
