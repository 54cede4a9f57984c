/** From checked pool requests to pools with every open question answered, and back. */
import { conflict, MoorError } from '../base/errors.ts';
import type { Id } from '../base/ids.ts';
import {
  type Family,
  addressOf,
  familyOf,
  formatIp,
  type IpAddress,
  lengthOf,
  type Prefix,
  prefixContains,
  prefixesOverlap,
} from '../base/ip.ts';
import type { IpamDriver } from '../contracts/ipam.ts';
import type { Write } from '../contracts/store.ts';
import type { Network, NetworkSpec, Pool } from '../model/network.ts';
import type { CheckedPool } from '../model/pools.ts';
import { usableRange } from '../model/subnet.ts';
import { type Context, ipamOf, type Undo } from './context.ts';
import { addressOwner } from './endpoints.ts';
import { putTurns, type Turns } from './records.ts';

/** Who a pool belongs to: the network's name, so that an error about a full address space names networks. */
export interface PoolOwner {
  readonly network: string;
  readonly id?: Id;
  readonly ipamDriver: string;
  /** Whether pools of a family get a gateway address. One that is asked for is reserved in any case. */
  readonly gateway: (family: Family) => boolean;
}

/** @throws conflict for overlap or a taken address, exhausted when no subnet is free. What was reserved is in `undo`. */
export async function reservePools(
  ctx: Context,
  { owner, requests }: { readonly owner: PoolOwner; readonly requests: readonly CheckedPool[] },
  undo: Undo,
): Promise<Pool[]> {
  const ipam = ipamOf(ctx, owner.ipamDriver);
  const pools: Pool[] = [];
  for (const request of requests) {
    const subnet = await ipam.requestPool({
      family: request.family,
      owner: owner.network,
      ...(owner.id === undefined ? {} : { network: owner.id }),
      avoid: ctx.facts.foreignRoutes(),
      ...(request.subnet === undefined ? {} : { subnet: request.subnet }),
      ...(request.length === undefined ? {} : { length: request.length }),
      ...(request.range === undefined ? {} : { range: request.range }),
    });
    undo.defer(() => ipam.releasePool(subnet, owner.network));
    for (const [name, address] of Object.entries(request.auxiliary)) {
      await ipam.requestAddress({ subnet, address, owner: `aux:${name}` });
    }
    const gateway =
      owner.gateway(request.family) || request.gateway !== undefined ? await reserveGateway(ipam, subnet, request) : null;
    pools.push({
      family: request.family,
      subnet,
      gateway,
      range: request.range ?? null,
      auxiliary: request.auxiliary,
      configured: request.subnet !== undefined,
    });
  }
  return pools;
}

/** Routes as wide as that are a default route, or the two halves that a VPN lays over it: they lead to everything else, and still do. */
const HALF = 1;

/** A subnet that was asked for may lie across what the host reaches otherwise. Docker takes it too, and says nothing. */
export const routeWarnings = ({ pools }: Network, foreign: readonly Prefix[]): string[] =>
  pools.flatMap(({ subnet, configured }) => {
    const route = configured
      ? foreign.find((one) => familyOf(one) === familyOf(subnet) && lengthOf(one) > HALF && prefixesOverlap(one, subnet))
      : undefined;
    return route === undefined
      ? []
      : [
          `subnet ${subnet} overlaps route ${route} of this host: what the host reached there is on this network from now on, or out of reach`,
        ];
  });

/** Docker drops an IPv6 subnet of a network without IPv6 (moby issue 47202), without a word. */
export const droppedWarnings = ({ ipv6 }: Network, { pools = [] }: NetworkSpec): string[] =>
  pools.flatMap(({ subnet }) =>
    !ipv6 && subnet?.includes(':') ? [`subnet ${subnet} is left out: the network has no IPv6, which --ipv6 would bring`] : [],
  );

/** The wished address, or the first of the subnet that an auxiliary address does not hold. */
async function reserveGateway(ipam: IpamDriver, subnet: Prefix, request: CheckedPool): Promise<IpAddress> {
  if (request.gateway !== undefined) return ipam.requestAddress({ subnet, address: request.gateway, owner: 'gateway' });
  const family = familyOf(subnet);
  const { first, last } = usableRange(subnet);
  for (let value = first; value <= last; value++) {
    try {
      return await ipam.requestAddress({ subnet, address: formatIp(family, value), owner: 'gateway' });
    } catch (error) {
      if (!(error instanceof MoorError) || error.kind !== 'conflict') throw error;
    }
  }
  throw conflict(`subnet ${subnet} has no address left for a gateway`);
}

export async function releasePools(ctx: Context, network: Network): Promise<void> {
  const ipam = ipamOf(ctx, network.ipamDriver);
  for (const pool of network.pools) await ipam.releasePool(pool.subnet, network.name);
}

/** Tells the allocator, at start, what a stored network and its endpoints hold. @throws conflict when it is held already. */
export async function replayPools(ctx: Context, network: Network, turns: Turns = {}): Promise<void> {
  const ipam = ipamOf(ctx, network.ipamDriver);
  for (const pool of network.pools) {
    await ipam.requestPool({
      family: pool.family,
      subnet: pool.subnet,
      owner: network.name,
      network: network.id,
      avoid: [],
      ...(pool.range === null ? {} : { range: pool.range }),
    });
    for (const [name, address] of Object.entries(pool.auxiliary)) {
      await ipam.requestAddress({ subnet: pool.subnet, address, owner: `aux:${name}` });
    }
    if (pool.gateway !== null) await ipam.requestAddress({ subnet: pool.subnet, address: pool.gateway, owner: 'gateway' });
  }
  for (const { endpoint, sandbox } of ctx.registry.attachments(network.id)) {
    for (const [address, asked] of [
      [endpoint.ipv4, endpoint.requested.ipv4],
      [endpoint.ipv6, endpoint.requested.ipv6],
    ] as const) {
      if (address === null) continue;
      const pool = network.pools.find(({ subnet }) => prefixContains(subnet, addressOf(address)));
      if (pool === undefined) continue;
      const wish = { subnet: pool.subnet, address: addressOf(address), owner: addressOwner(sandbox) };
      await ipam.requestAddress({ ...wish, restored: asked === undefined });
    }
  }
  for (const { subnet } of network.pools) {
    const turn = turns[subnet];
    if (turn !== undefined) ipam.resume?.(subnet, turn);
  }
}

/**
 * What is stored with the removal of an endpoint: without it an address that is released, and above all that are held, would be the
 * next one after a restart. What is given out later is found as the holders' (`resume` goes on behind them).
 */
export function keepTurns(ctx: Context, network: Network): Write[] {
  const { turn } = ipamOf(ctx, network.ipamDriver);
  const turns = network.pools.flatMap(({ subnet }): [Prefix, IpAddress][] => {
    const address = turn?.(subnet) ?? null;
    return address === null ? [] : [[subnet, address]];
  });
  return turns.length === 0 ? [] : [putTurns(network.id, Object.fromEntries(turns) as Turns)];
}
