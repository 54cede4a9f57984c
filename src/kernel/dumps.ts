/**
 * What a namespace has, dumped once for as long as nothing is sent to it: a list of ten thousand changes that are there already asks once, not ten
 * thousand times.
 */
import { familyOf, type IpAddress } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';
import type { Route } from '../contracts/change.ts';
import { dumpFdb, type FdbSpec, getFdb } from '../netlink/fdb.ts';
import { dumpNeighbours, getNeighbour, type NeighbourSpec } from '../netlink/neighbour.ts';
import { dumpRoutes, type RouteInfo } from '../netlink/route.ts';
import type { Query } from '../netlink/request.ts';
import { hasCode } from '../sys/errors.ts';
import { normalRoute } from './compare.ts';
import type { Space } from './spaces.ts';

type Index<T> = ReadonlyMap<string, readonly T[]>;

export class Dumps {
  readonly #space: Space;
  readonly #routes = new Map<string, Index<Route>>();
  readonly #neighbours = new Map<string, Index<NeighbourSpec>>();
  readonly #fdb = new Map<number, Index<FdbSpec>>();
  /** How often, by table. */
  readonly #asked = new Map<string, number>();

  constructor(space: Space) {
    this.#space = space;
  }

  /** Something was sent: what is known is of before that. */
  forget(): void {
    this.#routes.clear();
    this.#neighbours.clear();
    this.#fdb.clear();
    this.#asked.clear();
  }

  /** Those in the same place: destination, table and metric. @param read makes a route of what the kernel says */
  routesAt(route: Route, read: (info: RouteInfo) => Route): readonly Route[] {
    const family = familyOf(route.destination);
    const table = route.table ?? MAIN;
    const known = remember(this.#routes, `${family} ${table}`, () =>
      indexed(this.#space.route.collect(dumpRoutes(family, { table })).map(read), placeOf),
    );
    return known.get(placeOf(route)) ?? [];
  }

  neighbour(index: number, address: IpAddress): NeighbourSpec | undefined {
    const family = familyOf(address);
    if (this.#few(`${family} ${index}`)) {
      const found = this.#alone(getNeighbour(index, address));
      if (found !== undefined) return found ?? undefined;
    }
    const known = remember(this.#neighbours, `${family} ${index}`, () =>
      indexed(this.#space.route.collect(dumpNeighbours(family, { index })), (entry) => entry.address),
    );
    return known.get(address)?.[0];
  }

  /** @param at device whose own table it is, or a port of the bridge whose it is */
  fdb({ index, on }: Pick<FdbSpec, 'index' | 'on'>, mac: Mac): readonly FdbSpec[] {
    if (mac !== EVERY && this.#few(`${on} ${index}`)) {
      const found = this.#alone(getFdb({ index, mac, on }));
      if (found !== undefined) return found === null ? [] : [found];
    }
    const table = on === 'self' ? index : ALL_BRIDGES;
    const known = remember(this.#fdb, table, () =>
      indexed(this.#space.route.collect(dumpFdb(table === ALL_BRIDGES ? {} : { index: table })), (entry) => entry.mac),
    );
    return (known.get(mac) ?? []).filter((entry) => entry.on === on);
  }

  /** undefined: it cannot be asked for (an old kernel; a device that is no bridge's port) */
  #alone<T>(query: Query<T>): T | null | undefined {
    try {
      return this.#space.route.find(query);
    } catch (error) {
      if (hasCode(error, 'EOPNOTSUPP', 'EINVAL')) return undefined;
      throw error;
    }
  }

  /** Whether to ask for one alone is cheaper than for all of a table, of which there may be ten thousand. */
  #few(table: string): boolean {
    const asked = (this.#asked.get(table) ?? 0) + 1;
    this.#asked.set(table, asked);
    return asked <= FEW;
  }
}

/** RT_TABLE_MAIN, <linux/rtnetlink.h> */
const MAIN = 254;
const ALL_BRIDGES = 0;
/** The entry for unknown addresses, which may have several destinations. */
export const EVERY = '00:00:00:00:00:00';
/** Questions for one entry take some 15 µs each, those for all some 3 µs for each that there is. */
const FEW = 32;

function placeOf(route: Route): string {
  const { destination, table, metric } = normalRoute(route);
  return `${destination} ${table} ${metric}`;
}

function indexed<T>(list: readonly T[], key: (item: T) => string): Index<T> {
  const index = new Map<string, T[]>();
  for (const item of list) {
    const at = key(item);
    const others = index.get(at);
    if (others === undefined) index.set(at, [item]);
    else others.push(item);
  }
  return index;
}

function remember<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}
