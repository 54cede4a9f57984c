/** Containers in memory: what is on disk of each, and what only lives as long as the daemon. */
import { invalid, notFound } from '../../base/errors.ts';
import type { Id } from '../../base/ids.ts';
import { shown } from '../../base/shown.ts';
import type { ExitStatus } from '../../contracts/containers.ts';
import type { Container, ContainerState } from '../../model/container.ts';
import type { LateStreams } from './late-streams.ts';

/** A container's process, from its making to its end. */
export interface Run {
  /** Aborted when the process has ended and everything of it is cleared away; also tells log readers. */
  readonly ended: AbortController;
  /** Resolves at the same moment. */
  readonly done: Promise<ExitStatus>;
  readonly finish: (status: ExitStatus) => void;
  /** Ends what watches the process, at the daemon's end. */
  readonly watch: AbortController;
  /** milliseconds since the epoch */
  readonly started: number;
}

export interface Live {
  /** As stored, or about to be. */
  container: Container;
  /** Gives its name back. */
  releaseName: () => void;
  run: Run | null;
  /** Clients that attached before the start. */
  readonly late: Set<LateStreams>;
  /** Told of the next end of its process. */
  readonly exits: Set<(status: ExitStatus) => void>;
  /** Told of its removal. */
  readonly removals: Set<(status: ExitStatus) => void>;
  /** The last wait of its restart policy, in milliseconds; 0: none yet. */
  delay: number;
  /** Set while the restart policy waits; aborting it calls the restart off. */
  pause: AbortController | null;
  /** Somebody restarts it: its end is no reason to remove it. */
  keep: boolean;
  removing: boolean;
}

export const newLive = (container: Container, releaseName: () => void): Live => ({
  container,
  releaseName,
  run: null,
  late: new Set(),
  exits: new Set(),
  removals: new Set(),
  delay: 0,
  pause: null,
  keep: false,
  removing: false,
});

export const isUp = ({ status }: ContainerState): boolean => status === 'running' || status === 'paused';

/** Docker counts a container that is about to be started again as running. */
export const isActive = (state: ContainerState): boolean => isUp(state) || state.status === 'restarting';

export class Registry {
  readonly #all = new Map<Id, Live>();
  readonly #names = new Map<string, Id>();

  add(live: Live): void {
    this.#all.set(live.container.id, live);
    this.#names.set(live.container.name, live.container.id);
  }

  remove({ container: { id, name } }: Live): void {
    this.#all.delete(id);
    if (this.#names.get(name) === id) this.#names.delete(name);
  }

  renamed(live: Live, old: string): void {
    this.#names.delete(old);
    this.#names.set(live.container.name, live.container.id);
  }

  all(): Live[] {
    return [...this.#all.values()];
  }

  get(id: Id): Live | undefined {
    return this.#all.get(id);
  }

  /** By full id, then name (with or without slash), then unambiguous id prefix; undefined when there is none. @throws invalid when ambiguous */
  lookup(reference: string): Live | undefined {
    const name = reference.startsWith('/') ? reference.slice(1) : reference;
    const id = this.#names.get(name);
    const found = this.#all.get(reference as Id) ?? (id === undefined ? undefined : this.#all.get(id));
    return found ?? this.#byPrefix(reference);
  }

  /** @throws not-found with Docker's text */
  find(reference: string): Live {
    const found = this.lookup(reference);
    if (found === undefined) throw notFound(`No such container: ${shown(reference)}`);
    return found;
  }

  #byPrefix(prefix: string): Live | undefined {
    if (!/^[0-9a-f]{1,63}$/.test(prefix)) return undefined;
    let found: Live | undefined;
    for (const [id, live] of this.#all) {
      if (!id.startsWith(prefix)) continue;
      if (found !== undefined) throw invalid(`Multiple IDs found with provided prefix: ${shown(prefix)}`);
      found = live;
    }
    return found;
  }
}
