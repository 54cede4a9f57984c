/**
 * What a namespace has, dumped once for as long as nothing is sent to it: a list of ten thousand changes that are there already asks once, not ten
 * thousand times.
 */
import { familyOf, type IpAddress } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';
import type { Route } from '../contracts/change.ts';
import { dumpFdb, type FdbSpec } from '../netlink/fdb.ts';
import { dumpNeighbours, type NeighbourSpec } from '../netlink/neighbour.ts';
import { dumpRoutes, type RouteInfo } from '../netlink/route.ts';
import { normalRoute } from './compare.ts';
import type { Space } from './spaces.ts';

type Index<T> = ReadonlyMap<string, readonly T[]>;

export class Dumps {
  readonly #space: Space;
  readonly #routes = new Map<string, Index<Route>>();
  readonly #neighbours = new Map<string, Index<NeighbourSpec>>();
  readonly #fdb = new Map<number, Index<FdbSpec>>();

  constructor(space: Space) {
    this.#space = space;
  }

  /** Something was sent: what is known is of before that. */
  forget(): void {
    this.#routes.clear();
    this.#neighbours.clear();
    this.#fdb.clear();
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
    const known = remember(this.#neighbours, `${family} ${index}`, () =>
      indexed(this.#space.route.collect(dumpNeighbours(family, { index })), (entry) => entry.address),
    );
    return known.get(address)?.[0];
  }

  /** @param index of the device whose own table it is; 0: those of all bridges */
  fdb(index: number, mac: Mac): readonly FdbSpec[] {
    const known = remember(this.#fdb, index, () =>
      indexed(this.#space.route.collect(dumpFdb(index === 0 ? {} : { index })), (entry) => entry.mac),
    );
    return known.get(mac) ?? [];
  }
}

/** RT_TABLE_MAIN, <linux/rtnetlink.h> */
const MAIN = 254;

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
