/** What the store holds for everybody, folder by folder, each followed by a watch of its own; and whether all of it is known. */
import { type FollowDeps, follow } from './follow.ts';
import { FOLDERS } from './keys.ts';
import type { State } from './state.ts';

export interface FeedsDeps {
  readonly follow: Pick<FollowDeps, 'store' | 'logger' | 'sleep' | 'random' | 'nodeTtlMs'>;
  readonly state: State;
  /** A folder was listed. */
  readonly onListing: () => void;
  /** There is something to tell. */
  readonly onChange: () => void;
  readonly onFailure: (error: unknown) => void;
}

export class Feeds {
  readonly #deps: FeedsDeps;
  readonly #listed = Promise.withResolvers<void>();
  readonly #unlisted = new Set<string>(FOLDERS);

  constructor(deps: FeedsDeps) {
    this.#deps = deps;
  }

  /** Everything there is was listed once in this life. */
  get synced(): boolean {
    return this.#unlisted.size === 0;
  }

  /** Resolves when it was, or when it is certain that it was not at the first try. */
  get listed(): Promise<void> {
    return this.#listed.promise;
  }

  /** @returns one promise for each folder: until the signal aborts */
  run(signal: AbortSignal): readonly Promise<void>[] {
    return FOLDERS.map((folder) => this.#follow(folder, signal));
  }

  /** Whoever waits for it need not any more. */
  giveUp(): void {
    this.#listed.resolve();
  }

  #follow(folder: string, signal: AbortSignal): Promise<void> {
    const { state, onListing, onChange, onFailure } = this.#deps;
    return follow(
      {
        ...this.#deps.follow,
        prefix: folder,
        onListing: (listing) => {
          state.reset(listing, folder);
          this.#unlisted.delete(folder);
          onListing();
          onChange();
          if (this.synced) this.#listed.resolve();
        },
        onEvents: (events) => {
          state.apply(events);
          onChange();
        },
        onFailure: (error) => {
          onFailure(error);
          this.#listed.resolve();
        },
      },
      signal,
    );
  }
}
