/**
 * Packets from the peers on their way into the TUN device, as few as can be: some runs at a time, so that flows that come mixed, and one that comes from two CPUs of its
 * sender, are put together as well. Within a flow they are handed over in the order of their sequence numbers, as far as they are here at the same time.
 */
import { Run, RUN_BYTES, type RunDeps, type Sender } from './run.ts';

/** At a time. */
const RUNS = 8;

export const GLUE_BYTES = RUNS * RUN_BYTES;

export class Glue {
  readonly #free: Run[];
  /** In the order in which they are handed over. */
  readonly #runs: Run[] = [];
  /** What took the last packet: the next one is likely to be its next. */
  #last: Run;

  constructor(deps: RunDeps) {
    this.#last = new Run(deps);
    this.#free = [this.#last, ...Array.from({ length: RUNS - 1 }, () => new Run(deps))];
  }

  /** As `Run.addAlike`, of all. */
  addAlike(at: number, size: number, peer: number): boolean {
    if (this.#last.addAlike(at, size, peer)) return true;
    for (const run of this.#runs) {
      if (run === this.#last || !run.addAlike(at, size, peer)) continue;
      this.#last = run;
      return true;
    }
    return false;
  }

  /** Any packet whose lengths are right. */
  add(at: number, size: number, sender: Sender): void {
    for (const run of this.#runs) {
      if (!run.follows(at, size, sender.version)) continue;
      run.append(at, size);
      this.#last = run;
      return;
    }
    if (this.#free.length === 0) this.flush();
    const run = this.#free.pop() ?? this.#last;
    run.begin(at, size, sender);
    this.#last = run;
    this.#place(run);
  }

  #place(run: Run): void {
    const { ordered, opaque } = run;
    for (let i = 0; i < this.#runs.length; i++) {
      const other = this.#runs[i];
      if (other === undefined || !(opaque || run.isOf(other))) continue;
      if (!ordered) {
        // It stays behind what was there before it, and before what comes after.
        other.close();
      } else if (run.isBefore(other)) {
        this.#runs.splice(i, 0, run);
        return;
      }
    }
    this.#runs.push(run);
  }

  /** Hands over all. */
  flush(): void {
    for (const run of this.#runs) {
      run.flush();
      this.#free.push(run);
    }
    this.#runs.length = 0;
  }
}
