/**
 * `--subnet`, `--ip-range`, `--gateway` and `--aux-address` are lists of their own on the command line; what belongs together is
 * found by containment. Rules and texts are those of Docker's CLI. Whether addresses are usable is the daemon's to say.
 */
import { invalid } from '../../base/errors.ts';
import {
  addressOf,
  isIp,
  parseIfAddress,
  parseIp,
  prefixContains,
  prefixesOverlap,
  prefixOf,
  type IpAddress,
  type Prefix,
} from '../../base/ip.ts';
import type { PoolRequest } from '../../model/network.ts';

export interface PoolOptions {
  readonly subnets: readonly string[];
  readonly ranges: readonly string[];
  readonly gateways: readonly string[];
  /** `name` -> address */
  readonly auxiliary: Readonly<Record<string, string>>;
}

interface OpenPool {
  readonly subnet: string;
  readonly prefix: Prefix;
  range?: string;
  gateway?: string;
  readonly auxiliary: Record<string, string>;
}

/**
 * @returns one request a subnet, in the order of `--subnet`; none when there is no subnet.
 * @throws invalid when something belongs to no subnet, or two things to the same place
 */
export function pairPools(options: PoolOptions): readonly PoolRequest[] {
  const { subnets, ranges, gateways, auxiliary } = options;
  if (ranges.length > subnets.length || gateways.length > subnets.length) {
    throw invalid('every ip-range or gateway must have a corresponding subnet');
  }
  const pools: OpenPool[] = [];
  for (const subnet of subnets) {
    const prefix = parseSubnet(subnet);
    if (pools.some((pool) => prefixesOverlap(pool.prefix, prefix))) {
      throw invalid('multiple overlapping subnet configuration is not supported');
    }
    pools.push({ subnet, prefix, auxiliary: {} });
  }
  for (const range of ranges) {
    const pool = find(pools, firstAddress(range));
    if (!pool) throw invalid(`no matching subnet for range ${range}`);
    if (pool.range !== undefined) {
      throw invalid(`cannot configure multiple ranges (${range}, ${pool.range}) on the same subnet (${pool.subnet})`);
    }
    pool.range = range;
  }
  for (const gateway of gateways) {
    const pool = find(pools, hostAddress(gateway));
    if (!pool) throw invalid(`no matching subnet for gateway ${gateway}`);
    if (pool.gateway !== undefined) {
      throw invalid(`cannot configure multiple gateways (${gateway}, ${pool.gateway}) for the same subnet (${pool.subnet})`);
    }
    pool.gateway = gateway;
  }
  for (const [name, address] of Object.entries(auxiliary)) {
    const pool = find(pools, hostAddress(address));
    if (!pool) throw invalid(`no matching subnet for aux-address ${address}`);
    pool.auxiliary[name] = address;
  }
  return pools.map(({ subnet, range, gateway, auxiliary: aux }) => ({
    subnet,
    ...(range === undefined ? {} : { range }),
    ...(gateway === undefined ? {} : { gateway }),
    ...(Object.keys(aux).length === 0 ? {} : { auxiliary: aux }),
  }));
}

/** Host bits are let through here: the daemon refuses them and names the prefix that was probably meant. */
function parseSubnet(text: string): Prefix {
  try {
    return prefixOf(parseIfAddress(text));
  } catch {
    throw invalid(`invalid subnet: invalid CIDR address: ${text}`);
  }
}

const firstAddress = (range: string): IpAddress => addressOf(parseIfAddress(range));

/** An address may be written with a length, as in `--gateway 10.0.0.1/24`. */
function hostAddress(text: string): IpAddress | null {
  if (text.includes('/')) return addressOf(parseIfAddress(text));
  return isIp(text) ? parseIp(text) : null;
}

const find = (pools: readonly OpenPool[], address: IpAddress | null): OpenPool | undefined =>
  address === null ? undefined : pools.find((pool) => prefixContains(pool.prefix, address));
