/** Exec instances in memory: their processes outlive the daemon, what is known of them does not, as in Docker. */
import { notFound } from '../../base/errors.ts';
import type { Id } from '../../base/ids.ts';
import { shown } from '../../base/shown.ts';
import type { ExecRequest } from '../../contracts/containers.ts';
import type { ProcessRef } from '../../model/sandbox.ts';

export interface Exec {
  readonly request: ExecRequest;
  state: 'created' | 'starting' | 'running' | 'ended';
  exitCode: number | null;
  process: ProcessRef | null;
  /** milliseconds since the epoch; 0 while it has not ended */
  endedAt: number;
}

/** How long an ended one can be asked about, in milliseconds. Docker's: five minutes. */
const KEPT = 5 * 60_000;

export class Execs {
  readonly #all = new Map<string, Exec>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  add(request: ExecRequest): Exec {
    this.#forgetOld();
    const exec: Exec = { request, state: 'created', exitCode: null, process: null, endedAt: 0 };
    this.#all.set(request.id, exec);
    return exec;
  }

  /** @throws not-found with Docker's text */
  get(id: string): Exec {
    const exec = this.#all.get(id) ?? this.#byPrefix(id);
    if (exec === undefined) throw notFound(`No such exec instance: ${shown(id)}`);
    return exec;
  }

  #byPrefix(prefix: string): Exec | undefined {
    if (!/^[0-9a-f]{12,63}$/.test(prefix)) return undefined;
    for (const [id, exec] of this.#all) if (id.startsWith(prefix)) return exec;
    return undefined;
  }

  /** Ids of a container's execs that have not ended, as inspect shows them. */
  of(container: Id): readonly Id[] {
    return [...this.#all.values()].flatMap(({ request, state }) =>
      request.container.id === container && state !== 'ended' ? [request.id] : [],
    );
  }

  finish(exec: Exec, exitCode: number): void {
    exec.state = 'ended';
    exec.exitCode = exitCode;
    exec.endedAt = this.#now();
  }

  /** The container's process has ended, and with it all others in its pid namespace. */
  ended(container: Id): void {
    for (const exec of this.#all.values()) {
      if (exec.request.container.id === container && exec.state === 'created') this.#all.delete(exec.request.id);
    }
  }

  removed(container: Id): void {
    for (const [id, { request }] of this.#all) if (request.container.id === container) this.#all.delete(id);
  }

  #forgetOld(): void {
    const limit = this.#now() - KEPT;
    for (const [id, { endedAt }] of this.#all) if (endedAt !== 0 && endedAt < limit) this.#all.delete(id);
  }
}
