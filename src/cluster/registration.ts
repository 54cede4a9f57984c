/**
 * This node's own entry, under a lease of seconds. A later life of the same node (by its generation) is never overwritten: a process that
 * was stopped for an hour, or a second host with the same name, finds out and gives up.
 */
import type { Logger } from '../base/clock.ts';
import { forbidden, MoorError } from '../base/errors.ts';
import type { Lease, Revision, Store } from '../contracts/store.ts';
import type { ClusterNode } from '../model/node.ts';
import { nodeKey } from './keys.ts';
import { type NodeValue, nodeText, readNode } from './values.ts';

export interface RegistrationDeps {
  readonly store: Store;
  readonly node: ClusterNode;
  readonly ttlMs: number;
  /** At least; an entry of an earlier life raises it. */
  readonly generation: number;
  readonly logger: Logger;
  readonly wrote: (key: string, text: string, revision: Revision) => void;
  /** The lease is lost. */
  readonly onLost: () => void;
}

/** Tries at an entry that somebody else writes at the same time. */
const TRIES = 5;

export class Registration {
  readonly #deps: RegistrationDeps;
  readonly #life = crypto.randomUUID();
  #generation: number;
  #lease: Lease | null = null;
  /** Of our entry, when we know that it is there under our lease. */
  #revision: Revision | null = null;
  /** What the generation is raised to, once it is certain that this is the present life. */
  #atLeast = 0;
  #begun = false;
  #superseded: MoorError | null = null;

  constructor(deps: RegistrationDeps) {
    this.#deps = deps;
    this.#generation = deps.generation;
  }

  get generation(): number {
    return this.#generation;
  }

  /** Why nothing is written any more: a later life has begun. */
  get superseded(): MoorError | null {
    return this.#superseded;
  }

  /** Under which this node is registered; null: it is not, at the moment. */
  get lease(): Lease | null {
    return this.#revision === null || this.#superseded || (this.#lease?.lost.aborted ?? true) ? null : this.#lease;
  }

  /**
   * Once, or again where the entry is gone.
   * @throws forbidden when superseded; what the store throws
   */
  async ensure(): Promise<void> {
    const { store, node } = this.#deps;
    const key = nodeKey(node.name);
    for (let tries = 1; ; tries++) {
      if (this.#superseded) throw this.#superseded;
      const entry = await store.get(key);
      if (entry && entry.revision === this.#revision && !(this.#lease?.lost.aborted ?? true)) return;
      const present = entry === null ? null : readable(node.name, entry.value);
      if (present && present.life !== this.#life) this.#meet(present);
      this.#generation = Math.max(this.#generation, this.#atLeast);
      const lease = await this.#leased();
      const text = nodeText({ node, generation: this.#generation, life: this.#life });
      this.#revision = null;
      try {
        this.#revision = await store.commit([{ type: 'put', key, value: text, expect: entry?.revision ?? 'absent', lease }]);
      } catch (error) {
        if (error instanceof MoorError && error.kind === 'conflict' && tries < TRIES) continue;
        throw error;
      }
      this.#begun = true;
      this.#deps.wrote(key, text, this.#revision);
      return;
    }
  }

  /**
   * An entry of this node tells of a later generation: of a life before this one, when the clock was ahead, or of one that has taken its
   * place. `ensure` finds out which.
   */
  seen(generation: number): void {
    this.#atLeast = Math.max(this.#atLeast, generation + 1);
    this.#revision = null;
  }

  /** What this node tells of itself has changed: `ensure` writes it. */
  renew(): void {
    this.#revision = null;
  }

  /** Ends it: the others see this node go. */
  async leave(): Promise<void> {
    await this.#lease?.[Symbol.asyncDispose]();
  }

  /** Another life's entry is there: an earlier one is replaced, a later one is given way to. */
  #meet(present: NodeValue): void {
    if (!this.#begun) this.#generation = Math.max(this.#generation, present.generation + 1);
    else if (present.generation >= this.#generation) {
      const { node, logger } = this.#deps;
      const what = `a process started ${present.node.started} has registered by that name`;
      this.#superseded = forbidden(`cannot stay in the cluster as ${node.name}: ${what}`);
      logger.error(
        { node: node.name, reason: what },
        'cluster: another process is this node now; this one writes nothing any more',
      );
      // What is under it still is not the other's.
      void this.leave().catch(() => {});
      throw this.#superseded;
    }
  }

  async #leased(): Promise<Lease> {
    if (this.#lease && !this.#lease.lost.aborted) return this.#lease;
    const lease = await this.#deps.store.lease(this.#deps.ttlMs);
    this.#lease = lease;
    lease.lost.addEventListener('abort', this.#deps.onLost, { once: true });
    return lease;
  }
}

function readable(name: string, text: string): NodeValue | null {
  try {
    return readNode(name, text);
  } catch {
    return null;
  }
}
