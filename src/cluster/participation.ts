/** The networks that this node takes part in: for each a watch on its endpoints, as long as this node has one. */
import type { Logger } from '../base/clock.ts';
import type { Id } from '../base/ids.ts';
import type { IpAddress } from '../base/ip.ts';
import type { Entry, Store } from '../contracts/store.ts';
import type { Network } from '../model/network.ts';
import type { ClusterNode, LocalEndpoint, RemoteEndpoint } from '../model/node.ts';
import { follow } from './follow.ts';
import { endpointsFolder } from './keys.ts';
import { Neighbours } from './neighbours.ts';
import type { Telling } from './telling.ts';
import type { Sleep } from './time.ts';

export interface ParticipationDeps {
  readonly store: Store;
  readonly telling: Telling;
  readonly self: string;
  readonly network: (id: Id) => Network | null;
  readonly node: (name: string) => ClusterNode | null;
  /** See NeighboursDeps. */
  readonly holding: () => boolean;
  readonly complain: (key: string, why: string) => void;
  readonly logger: Logger;
  readonly sleep: Sleep;
  readonly random: () => number;
  readonly nodeTtlMs: number;
  readonly onFailure: (error: unknown) => void;
  /** Endpoints of the network have changed. */
  readonly onChange: (network: Id) => void;
}

interface Attended {
  readonly own: Set<Id>;
  readonly neighbours: Neighbours;
  readonly stop: AbortController;
  readonly following: Promise<void>;
  /** What there is was listed, or could not be. */
  readonly known: Promise<void>;
}

const NONE: ReadonlyMap<Id, RemoteEndpoint> = new Map();

export class Participation {
  readonly #deps: ParticipationDeps;
  readonly #attended = new Map<Id, Attended>();
  /** As it was known before a restart, until the network is attended again, or it is certain that it is not. */
  readonly #kept: Map<Id, Entry[]>;
  readonly #ending = new Set<Promise<void>>();
  /** All that this node has was told once: what else stands in its name goes. */
  #complete = false;
  #closed = false;

  constructor(deps: ParticipationDeps, kept: readonly Entry[]) {
    this.#deps = deps;
    this.#kept = Map.groupBy(kept, ({ key }) => key.split('/')[1] as Id);
  }

  tell(network: Id, endpoint: LocalEndpoint): void {
    if (this.#closed) return;
    const attended = this.#attended.get(network) ?? this.#attend(network);
    attended.own.add(endpoint.id);
    this.#deps.telling.tell(network, endpoint);
  }

  untell(network: Id, id: Id): void {
    this.#deps.telling.untell(network, id);
    const attended = this.#attended.get(network);
    if (!attended?.own.delete(id) || attended.own.size > 0) return;
    attended.stop.abort();
    this.#attended.delete(network);
    const ending = attended.following.finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
    if (attended.neighbours.list().size > 0) this.#deps.onChange(network);
  }

  complete(): void {
    this.#complete = true;
    this.#kept.clear();
    for (const [network, { neighbours }] of this.#attended) this.#dropEarlier(network, neighbours);
  }

  async known(): Promise<void> {
    await Promise.all([...this.#attended.values()].map(({ known }) => known));
  }

  endpoints(network: Id): ReadonlyMap<Id, RemoteEndpoint> {
    return this.#attended.get(network)?.neighbours.list() ?? NONE;
  }

  /** @throws what the store throws */
  async lookUp(network: Id): Promise<ReadonlyMap<Id, RemoteEndpoint>> {
    const attended = this.#attended.get(network);
    if (attended) {
      await attended.known;
      return attended.neighbours.list();
    }
    const neighbours = this.#neighbours(network, () => {});
    neighbours.reset(await this.#deps.store.list(endpointsFolder(network)));
    return neighbours.list();
  }

  /** Whether somebody is known to have the address. */
  hasAddress(network: Id, address: IpAddress): boolean {
    return this.#attended.get(network)?.neighbours.hasAddress(address) ?? false;
  }

  nodesChanged(names: ReadonlySet<string>): void {
    for (const [id, { neighbours }] of this.#attended) {
      let changed = false;
      for (const name of names) changed = neighbours.nodeChanged(name) || changed;
      if (changed) this.#deps.onChange(id);
    }
  }

  /** What was held back because the store was away goes. */
  release(): void {
    for (const [id, { neighbours }] of this.#attended) if (neighbours.release()) this.#deps.onChange(id);
  }

  entries(): readonly Entry[] {
    return [
      ...[...this.#attended.values()].flatMap(({ neighbours }) => neighbours.entries()),
      ...[...this.#kept.values()].flat(),
    ];
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const { stop } of this.#attended.values()) stop.abort();
    await Promise.all([...this.#attended.values()].map(({ following }) => following));
    await Promise.all(this.#ending);
  }

  #attend(id: Id): Attended {
    const { telling, onChange, onFailure, store, logger, sleep, random, nodeTtlMs } = this.#deps;
    const neighbours = this.#neighbours(id, (endpoint) => {
      telling.seen(id, endpoint, neighbours.held(endpoint));
      if (this.#complete && neighbours.held(endpoint) !== null) telling.drop(id, endpoint);
    });
    const kept = this.#kept.get(id);
    this.#kept.delete(id);
    let changed = kept !== undefined && neighbours.reset({ entries: kept, revision: 0 });
    const stop = new AbortController();
    const known = Promise.withResolvers<void>();
    const following = follow(
      {
        ...{ store, logger, sleep, random, nodeTtlMs },
        prefix: endpointsFolder(id),
        onListing: (listing) => {
          changed = neighbours.reset(listing);
          if (this.#complete) this.#dropEarlier(id, neighbours);
          if (changed) onChange(id);
          known.resolve();
        },
        onFailure: (error) => {
          onFailure(error);
          known.resolve();
        },
        onEvents: (events) => {
          if (neighbours.apply(events)) onChange(id);
        },
      },
      stop.signal,
    ).finally(() => known.resolve());
    const attended = { own: new Set<Id>(), neighbours, stop, following, known: known.promise };
    this.#attended.set(id, attended);
    if (changed) onChange(id);
    return attended;
  }

  #neighbours(id: Id, onOwn: (endpoint: Id) => void): Neighbours {
    const { self, network, node, holding, complain } = this.#deps;
    return new Neighbours({ id, self, node, holding, complain, network: () => network(id), onOwn });
  }

  #dropEarlier(network: Id, neighbours: Neighbours): void {
    for (const id of neighbours.own()) this.#deps.telling.drop(network, id);
  }
}
