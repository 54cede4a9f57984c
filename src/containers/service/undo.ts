/** Steps that take back what a failed operation did: run newest first; what fails is logged, and does not stop the rest. */
import type { Logger } from '../../base/clock.ts';

export class Undo {
  readonly #steps: { readonly what: string; readonly step: () => Promise<unknown> }[] = [];

  /** @param what completes "could not ..." */
  defer(what: string, step: () => Promise<unknown>): void {
    this.#steps.push({ what, step });
  }

  async run(logger: Logger): Promise<void> {
    for (const { what, step } of this.#steps.splice(0).reverse()) await attempt(logger, what, step);
  }
}

/** Does what should be done and must not fail the caller. */
export async function attempt(logger: Logger, what: string, step: () => Promise<unknown>): Promise<void> {
  try {
    await step();
  } catch (error) {
    logger.error({ err: error }, `could not ${what}`);
  }
}

/** Waits for all, then throws the first error: nothing is left running behind a failed caller's back. */
export async function together<A, B, C>(work: readonly [Promise<A>, Promise<B>, Promise<C>]): Promise<[A, B, C]> {
  await Promise.allSettled(work);
  return await Promise.all(work);
}
