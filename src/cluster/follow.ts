/** List, then watch, for as long as it takes: the one feed of everything that others write. */
import type { Logger } from '../base/clock.ts';
import { CompactedError, type Listing, type Store, type StoreEvent } from '../contracts/store.ts';
import { backoffMs, type Patience, type Sleep } from './time.ts';

export interface FollowDeps extends Patience {
  readonly store: Store;
  readonly prefix: string;
  readonly logger: Logger;
  readonly sleep: Sleep;
  /** Everything there is: at first, and after a time that cannot be made up for. */
  readonly onListing: (listing: Listing) => void;
  readonly onEvents: (events: readonly StoreEvent[]) => void;
  readonly onFailure: (error: unknown) => void;
}

/** Returns when the signal aborts. */
export async function follow(deps: FollowDeps, signal: AbortSignal): Promise<void> {
  const { store, prefix, logger, sleep } = deps;
  let failures = 0;
  while (!signal.aborted) {
    try {
      const listing = await store.list(prefix);
      if (signal.aborted) return;
      failures = 0;
      deps.onListing(listing);
      let { revision } = listing;
      for await (const events of store.watch(prefix, listing.revision, signal)) {
        // What was told before is not told again: an entry that has gone meanwhile would come back, for ever.
        const news = events.filter((event) => event.revision >= revision);
        for (const event of news) revision = Math.max(revision, event.revision);
        if (news.length > 0) deps.onEvents(news);
      }
    } catch (error) {
      if (signal.aborted) return;
      failures++;
      if (error instanceof CompactedError) logger.info({ reason: error.message }, 'cluster: changes were missed, listing again');
      else deps.onFailure(error);
      await sleep(backoffMs(failures, deps), signal);
    }
  }
}
