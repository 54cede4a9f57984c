/** What the kernel holds, indexed for comparison. */
import { HOST, type Netns } from '../../contracts/change.ts';
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

  /** @param netns default: the host's */
  table(ref: NftTableRef, netns?: Netns): NftTableState | undefined {
    return this.#tables.get(tableKey(ref, netns));
  }
}

const tableKey = ({ family, name }: NftTableRef, netns: Netns = HOST): string => `${netns} ${family} ${name}`;
