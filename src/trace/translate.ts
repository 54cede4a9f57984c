/** Where a NAT statement leads. */
import { type Family, isIp } from '../base/ip.ts';
import { isArray, isObject, type Json, single } from '../nft/json.ts';
import { elementsOf, intervalOf, lookup } from './lookup.ts';
import { elementListOf, type Place } from './match.ts';
import type { Packet } from './packet.ts';
import { valueOf } from './value.ts';

export interface Translation {
  readonly kind: 'dnat' | 'redirect' | 'snat' | 'masquerade';
  /** null: as it is (dnat), this host's (redirect, masquerade) */
  readonly address: bigint | null;
  /** null: as it is */
  readonly port: bigint | null;
}

/** `{"dnat": ...}` */
export interface NatStatement {
  readonly kind: Translation['kind'];
  readonly inner: Json;
}

interface NatMap {
  readonly kind: Translation['kind'];
  readonly map: { readonly [key: string]: Json };
}

/** A part of a packet and where it leads; null: the rule does not match it. */
export interface Resolved {
  readonly packet: Packet;
  readonly to: Translation | null;
}

/** @returns null when it cannot be said: a range to choose from, a map by something unknown */
export function resolve({ kind, inner }: NatStatement, packet: Packet, place: Place): readonly Resolved[] | null {
  const { family, addr, port } = isObject(inner) ? inner : {};
  // nft puts a condition on the family in front that it does not print.
  if (family !== undefined && family !== (packet.family === 4 ? 'ip' : 'ip6')) return [{ packet, to: null }];
  const number = port === undefined ? null : portOf(port);
  if (number === undefined) return null;
  if (addr === undefined || addr === null) return [{ packet, to: { kind, address: null, port: number } }];
  const [how, map] = single(addr) ?? ['', null];
  if (how === 'map' && isObject(map)) return byMap({ kind, map }, packet, place);
  const address = addressOf(addr, packet.family);
  if (address === undefined) return null;
  return [{ packet, to: address === null ? null : { kind, address, port: number } }];
}

function byMap({ kind, map }: NatMap, packet: Packet, place: Place): readonly Resolved[] | null {
  const value = valueOf(map['key'] ?? null, packet, place.host);
  if (value.type === 'absent') return [{ packet, to: null }];
  const list = elementListOf(map['data'] ?? null, place.table);
  const found = value.type === 'unknown' || list === null ? null : lookup(value, elementsOf(list), packet);
  if (found === null) return null;
  const out: Resolved[] = [];
  for (const { packet: part, hit } of found) {
    if (hit === undefined) out.push({ packet: part, to: null });
    else {
      const [how, parts] = single(hit) ?? ['', null];
      const [address, port] = how === 'concat' && isArray(parts) ? parts : [hit];
      const to = addressOf(address ?? null, packet.family);
      const number = port === undefined ? null : portOf(port);
      if (to === undefined || number === undefined) return null;
      out.push({ packet: part, to: to === null ? null : { kind, address: to, port: number } });
    }
  }
  return out;
}

/** @returns null for an address of the other family; undefined for what is not one address */
function addressOf(value: Json, family: Family): bigint | null | undefined {
  if (typeof value === 'string' && isIp(value)) {
    if (value.includes(':') !== (family === 6)) return null;
    return intervalOf(value, true)?.[0];
  }
  const range = intervalOf(value, true);
  return range !== null && range[0] === range[1] ? range[0] : undefined;
}

/** @returns undefined for what is not one port */
function portOf(value: Json): bigint | undefined {
  if (typeof value === 'number') return BigInt(value);
  const range = intervalOf(value, false);
  return range !== null && range[0] === range[1] ? range[0] : undefined;
}
