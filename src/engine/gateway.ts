/**
 * Which of a sandbox's networks is its way out. Docker since 28.0: the endpoint with the highest gateway priority that offers a
 * gateway, per family; among equals the first by network name. Pure.
 */
import { type Family, familyOf, type IpAddress, type Prefix } from '../base/ip.ts';
import type { Change, Netns } from '../contracts/change.ts';

/** One endpoint's offer. */
export interface GatewayOffer {
  readonly networkName: string;
  readonly interfaceName: string;
  readonly priority: number;
  readonly gateway4: IpAddress | null;
  readonly gateway6: IpAddress | null;
}

export interface DefaultGateway {
  readonly via: IpAddress;
  readonly device: string;
}

export interface DefaultGateways {
  readonly v4: DefaultGateway | null;
  readonly v6: DefaultGateway | null;
}

export function chooseGateways(offers: readonly GatewayOffer[]): DefaultGateways {
  return { v4: choose(offers, 4), v6: choose(offers, 6) };
}

function choose(offers: readonly GatewayOffer[], family: Family): DefaultGateway | null {
  let best: { readonly offer: GatewayOffer; readonly via: IpAddress } | null = null;
  for (const offer of offers) {
    const via = family === 4 ? offer.gateway4 : offer.gateway6;
    if (via === null) continue;
    if (best === null || precedes(offer, best.offer)) best = { offer, via };
  }
  return best === null ? null : { via: best.via, device: best.offer.interfaceName };
}

function precedes(a: GatewayOffer, b: GatewayOffer): boolean {
  if (a.priority !== b.priority) return a.priority > b.priority;
  return a.networkName < b.networkName;
}

/** The changes from one pair of default routes to another, the removals first: two of one metric cannot stand side by side. */
export function gatewayChanges(netns: Netns, before: DefaultGateways, after: DefaultGateways): Change[] {
  const changes: Change[] = [];
  for (const family of ['v4', 'v6'] as const) {
    const [old, wanted] = [before[family], after[family]];
    if (old?.via === wanted?.via && old?.device === wanted?.device) continue;
    if (old !== null) changes.push(defaultRoute(netns, 'remove', old));
    if (wanted !== null) changes.push(defaultRoute(netns, 'add', wanted));
  }
  return changes;
}

const defaultRoute = (netns: Netns, op: 'add' | 'remove', { via, device }: DefaultGateway): Change => ({
  kind: 'route',
  op,
  netns,
  route: { destination: (familyOf(via) === 4 ? '0.0.0.0/0' : '::/0') as Prefix, via, device },
});

export const NO_GATEWAYS: DefaultGateways = { v4: null, v6: null };
