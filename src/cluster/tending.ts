/**
 * The loop that is in a hurry: this node's endpoints and addresses are in the store as they are here. It runs beside that of registration and
 * subnets, for whoever has started a container waits for the others to know of it.
 */
import type { Parts } from './parts.ts';
import { Alarm, backoffMs, type Patience, type Sleep } from './time.ts';

export interface TendingDeps {
  readonly parts: Pick<Parts, 'telling' | 'addresses' | 'registration'>;
  readonly sleep: Sleep;
  readonly patience: Patience;
  /** Between two looks when nothing happens, milliseconds. */
  readonly pulseMs: number;
  /** The cluster is known, and this process speaks for the node. */
  readonly ready: () => boolean;
  readonly onFailure: (error: unknown) => void;
}

export class Tending {
  readonly #deps: TendingDeps;
  readonly #alarm = new Alarm();
  /** All that the node has was told. */
  #complete = false;
  /** Addresses may be left in the store that it does not have. */
  #doubt = true;
  /** Lease and generation under which endpoints were told last. */
  #told = '';

  constructor(deps: TendingDeps) {
    this.#deps = deps;
  }

  /** There is something to write. */
  hurry(): void {
    this.#alarm.kick();
  }

  /** See Cluster. */
  complete(): void {
    this.#complete = true;
    this.#alarm.kick();
  }

  /** What was written while the store came or went may have arrived or not. */
  doubt(): void {
    this.#doubt = true;
  }

  /** Under another lease, or in another generation, everything is told again. */
  retell(): void {
    const { telling, registration } = this.#deps.parts;
    const now = `${registration.lease?.id} ${registration.generation}`;
    if (now === this.#told) return;
    this.#told = now;
    telling.again();
  }

  /** Returns when the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { sleep, patience, pulseMs, onFailure } = this.#deps;
    let failures = 0;
    while (!signal.aborted) {
      try {
        await this.#look();
        failures = 0;
      } catch (error) {
        if (signal.aborted) break;
        failures++;
        onFailure(error);
      }
      await this.#alarm.wait(sleep, failures > 0 ? backoffMs(failures, patience) : pulseMs, signal);
    }
  }

  async #look(): Promise<void> {
    const { ready, parts } = this.#deps;
    if (!ready()) return;
    await parts.telling.flush();
    await parts.addresses.flush();
    if (!this.#doubt || !this.#complete) return;
    this.#doubt = false;
    await parts.addresses.dropEarlier();
  }
}
