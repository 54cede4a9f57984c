/** Events of the engine, to whoever subscribed, with a bounded memory so that `--since` has something to answer. */
import type { Logger } from '../base/clock.ts';
import type { EngineEvent } from '../contracts/engine.ts';
import type { Network } from '../model/network.ts';
import type { Sandbox } from '../model/sandbox.ts';

/** Docker's daemon keeps 256 events as well (`eventsLimit`). */
const KEPT = 256;
/** Characters of all kept ones together, labels of long-gone containers among them: a few hundred events of an ordinary size. */
const KEPT_SIZE = 1 << 20;

export class EventBus {
  readonly #kept: { readonly event: EngineEvent; readonly size: number }[] = [];
  #size = 0;
  readonly #listeners = new Set<(event: EngineEvent) => void>();
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  emit(event: EngineEvent): void {
    this.#keep(event);
    for (const listener of [...this.#listeners]) this.#deliver(listener, event);
  }

  /** @param since milliseconds since the epoch: kept events from then on are delivered first. */
  subscribe(listener: (event: EngineEvent) => void, since?: number): () => void {
    if (since !== undefined) {
      for (const { event } of this.#kept) if (event.time >= since) this.#deliver(listener, event);
    }
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** The oldest ones go first; one that is larger than all of the room is not kept. */
  #keep(event: EngineEvent): void {
    const size = sizeOf(event);
    this.#kept.push({ event, size });
    this.#size += size;
    while (this.#kept.length > KEPT || this.#size > KEPT_SIZE) this.#size -= this.#kept.shift()?.size ?? 0;
  }

  /** A subscriber that throws must neither stop the others nor fail the operation that it was told of. */
  #deliver(listener: (event: EngineEvent) => void, event: EngineEvent): void {
    try {
      listener(event);
    } catch (error) {
      this.#logger.error({ err: error, action: event.action }, 'a subscriber to events failed');
    }
  }
}

/** Characters of its words. */
function sizeOf({ action, actorId, attributes }: EngineEvent): number {
  let size = action.length + actorId.length;
  for (const [key, value] of Object.entries(attributes)) size += key.length + value.length;
  return size;
}

/** Attributes as Docker gives them for networks; `container` on connect and disconnect. */
export const networkAttributes = (network: Network, sandbox?: Sandbox): Record<string, string> => ({
  ...(sandbox === undefined ? {} : { container: sandbox.id }),
  name: network.name,
  type: network.driver,
});

/** Attributes as Docker gives them for containers: labels, and the name. */
export const sandboxAttributes = (sandbox: Sandbox): Record<string, string> => ({ ...sandbox.labels, name: sandbox.name });
