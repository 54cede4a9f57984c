/**
 * Docker's `default` address management, in memory: pools out of ranges, addresses out of pools. Nothing is stored; the
 * engine asks again for what its networks and endpoints have when it starts.
 */
import { hostname } from 'node:os';
import { readFileSync } from 'node:fs';
import { conflict, exhausted, invalid, MoorError, notFound } from '../../base/errors.ts';
import {
  bitsOf,
  type Family,
  familyOf,
  type IpAddress,
  lengthOf,
  prefixContains,
  addressOf,
  type Prefix,
} from '../../base/ip.ts';
import type { AddressRelease, AddressWish, IpamDriver, PoolUse, PoolWish } from '../../contracts/ipam.ts';
import { AddressSet } from './addresses.ts';
import { type Blocked, blockedBy } from './blocked.ts';
import { type AddressPool, checkAddressPool, DEFAULT_POOLS, ulaPool } from './defaults.ts';
import { PrefixTree } from './prefixtree.ts';

export interface LocalIpamOptions {
  /** In the order in which they are used up. A family that none is of has its default. */
  readonly pools: readonly AddressPool[];
  /** What tells this daemon's host from others, for IPv6 (see ulaPool); the machine's id by default. */
  readonly hostId?: string;
}

export { DEFAULT_POOLS };

/** Holders named in an error; the rest is counted. */
const NAMED = 4;

interface Pool {
  readonly subnet: Prefix;
  readonly owner: string;
  readonly addresses: AddressSet;
  /** Key in `#automatic`; null for a subnet that was named. */
  readonly automatic: string | null;
}

/** @throws invalid for a pool whose size does not fit its base. */
export function createLocalIpam(options: LocalIpamOptions): IpamDriver {
  options.pools.forEach(checkAddressPool);
  const ofFamily = (family: Family): AddressPool[] => options.pools.filter(({ base }) => familyOf(base) === family);
  const v4 = ofFamily(4);
  const v6 = ofFamily(6);
  return new LocalIpam({
    4: v4.length > 0 ? v4 : DEFAULT_POOLS,
    6: v6.length > 0 ? v6 : [ulaPool(options.hostId ?? machineId())],
  });
}

class LocalIpam implements IpamDriver {
  readonly type = 'default';
  readonly #ranges: Readonly<Record<Family, readonly AddressPool[]>>;
  readonly #trees = { 4: new PrefixTree(4), 6: new PrefixTree(6) } satisfies Record<Family, PrefixTree>;
  readonly #pools = new Map<Prefix, Pool>();
  /** What an owner got without naming it, so that it gets the same when it asks again. */
  readonly #automatic = new Map<string, Prefix>();

  constructor(ranges: Readonly<Record<Family, readonly AddressPool[]>>) {
    this.#ranges = ranges;
  }

  readonly requestPool = async (wish: PoolWish): Promise<Prefix> => {
    const range = wish.range ?? null;
    if (wish.subnet !== undefined) return this.#named(wish, wish.subnet);
    if (range !== null) throw invalid(`invalid address subpool ${range}: a range needs a subnet`);
    const key = `${wish.family} ${wish.length ?? ''} ${wish.owner}`;
    const known = this.#automatic.get(key);
    if (known !== undefined) return known;
    const subnet = this.#findFree(wish);
    this.#automatic.set(key, subnet);
    return this.#add({ subnet, owner: wish.owner, addresses: new AddressSet(subnet, null), automatic: key });
  };

  readonly releasePool = async (subnet: Prefix, owner: string): Promise<void> => {
    const pool = this.#pools.get(subnet);
    if (pool?.owner !== owner) return;
    this.#pools.delete(subnet);
    this.#trees[familyOf(subnet)].remove(subnet);
    if (pool.automatic !== null) this.#automatic.delete(pool.automatic);
  };

  readonly requestAddress = async (wish: AddressWish): Promise<IpAddress> => {
    const pool = this.#pools.get(wish.subnet);
    if (!pool) throw notFound(`cannot find address pool ${wish.subnet}`);
    try {
      return pool.addresses.take(wish.owner, wish);
    } catch (error) {
      throw error instanceof MoorError && error.kind === 'exhausted' ? noAddresses(pool) : error;
    }
  };

  readonly releaseAddress = async (subnet: Prefix, address: IpAddress, { unused }: AddressRelease = {}): Promise<void> => {
    this.#pools.get(subnet)?.addresses.release(address, unused);
  };

  readonly turn = (subnet: Prefix): IpAddress | null => this.#pools.get(subnet)?.addresses.turn ?? null;

  readonly resume = (subnet: Prefix, turn: IpAddress): void => this.#pools.get(subnet)?.addresses.resume(turn);

  readonly usage = (): readonly PoolUse[] =>
    [...this.#pools.values()].map(({ subnet, owner, addresses }) => ({
      subnet,
      owner,
      used: addresses.used,
      size: addresses.size,
    }));

  #named(wish: PoolWish, subnet: Prefix): Prefix {
    const range = wish.range ?? null;
    if (familyOf(subnet) !== wish.family) throw invalid(`invalid address pool ${subnet}: it is not an IPv${wish.family} subnet`);
    if (range !== null && !(prefixContains(subnet, addressOf(range)) && lengthOf(range) >= lengthOf(subnet))) {
      throw invalid(`invalid address subpool ${range}: it is not inside ${subnet}`);
    }
    if (this.#pools.get(subnet)?.owner === wish.owner) return subnet;
    const other = this.#trees[wish.family].overlapping(subnet);
    if (other !== null) {
      const owner = this.#pools.get(other)?.owner ?? 'another network';
      throw conflict(
        `invalid pool request: Pool overlaps with other one on this address space: ${subnet} overlaps ${other} of network ${owner}`,
      );
    }
    return this.#add({ subnet, owner: wish.owner, addresses: new AddressSet(subnet, range), automatic: null });
  }

  #add(pool: Pool): Prefix {
    this.#trees[familyOf(pool.subnet)].insert(pool.subnet);
    this.#pools.set(pool.subnet, pool);
    return pool.subnet;
  }

  #findFree({ family, length, avoid }: PoolWish): Prefix {
    if (length !== undefined && !(Number.isInteger(length) && length >= 1 && length <= bitsOf(family))) {
      throw invalid(`invalid address pool: a subnet of ${length} bits`);
    }
    const blocked = blockedBy(avoid.filter((prefix) => familyOf(prefix) === family && !this.#pools.has(prefix)));
    let possible = false;
    for (const { base, size } of this.#ranges[family]) {
      const wanted = length ?? size;
      if (wanted < lengthOf(base)) continue;
      possible = true;
      const found = this.#firstFree(base, wanted, blocked);
      if (found !== null) return found;
    }
    if (!possible) throw invalid(`invalid address pool: no default address pool has room for a /${length}`);
    throw this.#noPools(family, blocked);
  }

  /** The lowest subnet that neither a network nor a route of the host has. One step for each route that is in the way. */
  #firstFree(base: Prefix, length: number, blocked: Blocked): Prefix | null {
    let from = 0n;
    for (;;) {
      const subnet = this.#trees[familyOf(base)].firstFree(base, length, from);
      if (subnet === null) return null;
      const end = blocked.endOf(subnet);
      if (end === null) return subnet;
      from = end + 1n;
    }
  }

  #noPools(family: Family, blocked: Blocked): MoorError {
    const holders = [...this.#pools.values()].filter(({ subnet }) => familyOf(subnet) === family);
    const held =
      summary(
        holders.map(({ subnet, owner }) => `${subnet} ${owner}`),
        'networks',
      ) || 'no network holds one';
    const routes =
      blocked.prefixes.length === 0 ? '' : `; kept free for routes of this host: ${summary(blocked.prefixes, 'routes')}`;
    return exhausted(`all predefined address pools have been fully subnetted: ${held}${routes}`);
  }
}

function noAddresses({ subnet, owner, addresses }: Pool): MoorError {
  // Outside the range there may be some as well: the gateway, and what was asked for by its address.
  const holders = [...addresses.holders()].flatMap(([address, holder]) =>
    prefixContains(addresses.source, address) ? [`${address} ${holder}`] : [],
  );
  const why =
    addresses.size === 0n
      ? `${addresses.source} has none that an endpoint may have`
      : `all ${addresses.size} of ${addresses.source} are in use: ${summary(holders, 'addresses')}`;
  return exhausted(`no available IPv${familyOf(subnet)} addresses on this network's address pools: ${owner}: ${why}`);
}

function summary(items: readonly string[], noun: string): string {
  const named = items.slice(0, NAMED).join(', ');
  return items.length <= NAMED ? named : `${named} and ${items.length - NAMED} more ${noun}`;
}

/** machine-id(5) must not leave the host; ulaPool hashes it. */
function machineId(): string {
  try {
    return readFileSync('/etc/machine-id', 'utf8').trim() || hostname();
  } catch {
    return hostname();
  }
}
