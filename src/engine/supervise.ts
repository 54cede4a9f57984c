/** Notices the end of the processes that sandboxes were made for, and of those that did not live to start them. */
import type { Id } from '../base/ids.ts';
import type { Sandbox } from '../model/sandbox.ts';
import type { Context } from './context.ts';
import { emit } from './sandboxes.ts';

export class Supervisor {
  readonly #ctx: Context;
  /** Called when a sandbox's main process has ended and the sandbox is to go with it. */
  readonly #remove: (id: Id) => Promise<void>;
  readonly #watched = new Map<Id, AbortController>();

  constructor(ctx: Context, remove: (id: Id) => Promise<void>) {
    this.#ctx = ctx;
    this.#remove = remove;
  }

  /** Waits for the end of the sandbox's main process, or of who is about to start it; what was watched before is not any more. */
  watch(sandbox: Sandbox): void {
    this.#watched.get(sandbox.id)?.abort();
    this.#watched.delete(sandbox.id);
    const { id } = sandbox;
    const process = sandbox.process ?? sandbox.creator;
    if (process === undefined) return;
    const controller = new AbortController();
    this.#watched.set(id, controller);
    void this.#ctx.processes.ended(process, controller.signal).then(
      () => this.#ended(id, controller),
      (error: unknown) => {
        if (!controller.signal.aborted)
          this.#ctx.logger.error({ err: error, sandbox: id }, `cannot watch process ${process.pid}`);
      },
    );
  }

  async #ended(id: Id, controller: AbortController): Promise<void> {
    if (controller.signal.aborted) return;
    this.#watched.delete(id);
    const sandbox = this.#ctx.registry.sandboxes.get(id);
    if (sandbox === undefined) return;
    if (sandbox.process !== null) emit(this.#ctx, sandbox, 'die');
    if (!sandbox.autoRemove) return;
    if (sandbox.process === null) {
      this.#ctx.logger.info(
        { sandbox: id },
        `removing sandbox ${sandbox.name}: who made it has ended before it started anything`,
      );
    }
    try {
      await this.#remove(id);
    } catch (error) {
      // Somebody else may have removed it in the meantime.
      if (this.#ctx.registry.sandboxes.has(id))
        this.#ctx.logger.error({ err: error, sandbox: id }, `could not remove sandbox ${sandbox.name}`);
    }
  }

  stop(): void {
    for (const controller of this.#watched.values()) controller.abort();
    this.#watched.clear();
  }
}
