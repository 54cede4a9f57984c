/** What the kernel holds, indexed for comparison. */
import { type FdbEntry, HOST, type Neighbour, type Netns, type Route } from '../../contracts/change.ts';
import type { HostFacts, LinkState, NetnsState } from '../../contracts/kernel.ts';
import type { NftTableRef, NftTableState } from '../../nft/types.ts';

/** A change that brings something back, and what was found instead. */
export interface Repair<C> {
  readonly change: C;
  readonly why: string;
}

/** A table, and where it was found; `netns` absent: in the host's. */
export type FoundTable = NftTableState & { readonly netns?: Netns };

/** Indexed lazily: a pass over one sandbox must not pay for the host's thousand links. */
export class Actual {
  readonly #namespaces = new Map<Netns, NetnsState>();
  readonly #links = new Map<Netns, ReadonlyMap<string, LinkState>>();
  readonly #addresses = new Map<Netns, ReadonlySet<string>>();
  readonly #routes = new Map<Netns, ReadonlyMap<string, readonly Route[]>>();
  readonly #neighbours = new Map<Netns, ReadonlyMap<string, readonly Neighbour[]>>();
  readonly #fdb = new Map<Netns, ReadonlyMap<string, readonly FdbEntry[]>>();
  readonly #tables: ReadonlyMap<string, FoundTable>;
  readonly facts: HostFacts;

  /** @param tables null entries are tables that do not exist. */
  constructor(states: readonly (NetnsState | null)[], tables: readonly (FoundTable | null)[], facts: HostFacts) {
    for (const state of states) if (state !== null) this.#namespaces.set(state.netns, state);
    this.#tables = new Map(tables.flatMap((table) => (table === null ? [] : [[tableKey(table, table.netns), table] as const])));
    this.facts = facts;
  }

  /** undefined: there is no such namespace. */
  namespace(netns: Netns): NetnsState | undefined {
    return this.#namespaces.get(netns);
  }

  link(netns: Netns, name: string): LinkState | undefined {
    let links = this.#links.get(netns);
    if (links === undefined) {
      links = new Map(this.#namespaces.get(netns)?.links.map((link) => [link.name, link]));
      this.#links.set(netns, links);
    }
    return links.get(name);
  }

  hasAddress(netns: Netns, device: string, address: string): boolean {
    let addresses = this.#addresses.get(netns);
    if (addresses === undefined) {
      addresses = new Set(this.#namespaces.get(netns)?.addresses.map((one) => `${one.device} ${one.address}`));
      this.#addresses.set(netns, addresses);
    }
    return addresses.has(`${device} ${address}`);
  }

  /** Those of which `slot` says the same. @param slot always the same function */
  routesIn(netns: Netns, at: string, slot: (route: Route) => string): readonly Route[] {
    return found(this.#routes, { netns, at, list: () => this.#namespaces.get(netns)?.routes, key: slot });
  }

  neighbour(netns: Netns, device: string, address: string): Neighbour | undefined {
    const list = (): readonly Neighbour[] | undefined => this.#namespaces.get(netns)?.neighbours;
    return found(this.#neighbours, { netns, at: `${device} ${address}`, list, key: (one) => `${one.device} ${one.address}` })[0];
  }

  fdb(netns: Netns, device: string, mac: string): readonly FdbEntry[] {
    const list = (): readonly FdbEntry[] | undefined => this.#namespaces.get(netns)?.fdb;
    return found(this.#fdb, { netns, at: `${device} ${mac}`, list, key: (one) => `${one.device} ${one.mac}` });
  }

  /** @param netns default: the host's */
  table(ref: NftTableRef, netns?: Netns): NftTableState | undefined {
    return this.#tables.get(tableKey(ref, netns));
  }
}

const tableKey = ({ family, name }: NftTableRef, netns: Netns = HOST): string => `${netns} ${family} ${name}`;

/** A host may have ten thousand of them, each of which is asked for. */
function found<T>(
  indexes: Map<Netns, ReadonlyMap<string, readonly T[]>>,
  {
    netns,
    at,
    list,
    key,
  }: {
    readonly netns: Netns;
    readonly at: string;
    readonly list: () => readonly T[] | undefined;
    readonly key: (one: T) => string;
  },
): readonly T[] {
  let index = indexes.get(netns);
  if (index === undefined) {
    index = Map.groupBy(list() ?? [], key);
    indexes.set(netns, index);
  }
  return index.get(at) ?? [];
}
