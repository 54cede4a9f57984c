/** What the statements of a rule that are no conditions do to a packet. */
import { isArray, isObject, type Json } from '../nft/json.ts';
import type { Place } from './match.ts';
import type { Packet } from './packet.ts';
import { markOf, wordsOf } from './value.ts';

/** They note something, or change what no rule and no route looks at. */
const HARMLESS: ReadonlySet<string> = new Set([
  'counter',
  'log',
  'last',
  'secmark',
  'ct helper',
  'ct timeout',
  'ct expectation',
  'flow',
  'meter',
  'dup',
  'osf',
]);

/**
 * - `goes on`: with this packet
 * - `stops`: the rule does not match, as far as one new connection is concerned
 * - `unknown`: the rule may match or not, or do something that we cannot follow
 */
export type Effect =
  | { readonly type: 'goes on'; readonly packet: Packet }
  | { readonly type: 'stops' }
  | { readonly type: 'unknown'; readonly what: string };

export function effectOf([kind, inner]: readonly [kind: string, inner: Json], packet: Packet, place: Place): Effect {
  const goesOn = (changed: Packet = packet): Effect => ({ type: 'goes on', packet: changed });
  if (HARMLESS.has(kind)) return goesOn();
  switch (kind) {
    // Rates, counts and quotas: a single connection is below all of them.
    case 'limit':
    case 'ct count':
    case 'quota':
      return isOver(inner) ? { type: 'stops' } : goesOn();
    case 'set':
    case 'map': {
      // Notes an element; may carry a limit for it.
      const inside = isObject(inner) && isArray(inner['stmt']) ? inner['stmt'] : [];
      return inside.some((statement) => isObject(statement) && Object.values(statement).some(isOver))
        ? { type: 'stops' }
        : goesOn();
    }
    case 'mangle':
      return mangled(inner, packet, place);
    default:
      return { type: 'unknown', what: wordsOf({ [kind]: inner }) };
  }
}

const isOver = (inner: Json): boolean => isObject(inner) && inner['inv'] === true;

function mangled(inner: Json, packet: Packet, place: Place): Effect {
  const key = isObject(inner) ? (inner['key'] ?? null) : null;
  const value = isObject(inner) ? (inner['value'] ?? null) : null;
  if (!isObject(key)) return { type: 'unknown', what: 'mangle' };
  const { meta, ct, payload } = key;
  if (isObject(meta) && meta['key'] === 'mark')
    return { type: 'goes on', packet: { ...packet, mark: markOf(value, packet, place.host) } };
  if (isObject(ct) && ct['key'] === 'mark')
    return { type: 'goes on', packet: { ...packet, ctMark: markOf(value, packet, place.host) } };
  // Addresses and ports that are written anew would lead elsewhere; other fields of the packet lead nowhere.
  const name = isObject(payload) ? payload['field'] : undefined;
  if (payload !== undefined && (name === undefined || ['saddr', 'daddr', 'sport', 'dport'].some((one) => one === name)))
    return { type: 'unknown', what: `${wordsOf(key)} set` };
  return { type: 'goes on', packet };
}
