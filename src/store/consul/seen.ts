/** Which revisions this process has seen, and how long ago. */
import type { SteadyClock } from '../../base/clock.ts';
import type { Revision } from '../../contracts/store.ts';

/**
 * Milliseconds for which a deletion shows in the index of its prefix: Consul forgets it after 15 minutes (tombstone_ttl,
 * agent/consul/config.go), and we have to be sooner.
 */
const TRUST_MS = 10 * 60_000;
const STEP_MS = 60_000;

export class Seen {
  readonly #clock: SteadyClock;
  #newest: Revision = 0;
  /** One a minute, oldest first, up to one from before `TRUST_MS`. */
  #marks: { readonly at: number; readonly revision: Revision }[] = [];

  constructor(clock: SteadyClock) {
    this.#clock = clock;
  }

  get newest(): Revision {
    return this.#newest;
  }

  note(revision: Revision): void {
    this.#newest = Math.max(this.#newest, revision);
    const now = this.#clock.elapsed();
    const last = this.#marks.at(-1);
    if (last && now - last.at < STEP_MS) return;
    this.#marks.push({ at: now, revision: this.#newest });
    while ((this.#marks[1]?.at ?? Number.POSITIVE_INFINITY) <= now - TRUST_MS) this.#marks.shift();
  }

  /** What was deleted after this revision would still show. */
  isRecent(revision: Revision): boolean {
    const now = this.#clock.elapsed();
    const old = this.#marks.findLast(({ at }) => at <= now - TRUST_MS);
    return old === undefined || revision >= old.revision;
  }

  goneBack(revision: Revision): void {
    this.#newest = revision;
    this.#marks = [];
  }
}
