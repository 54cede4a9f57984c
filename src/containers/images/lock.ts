/** One at a time. */
export class Lock {
  #last: Promise<unknown> = Promise.resolve();

  /** Runs when everything asked before has ended, well or not. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work, work);
    this.#last = result.catch(() => {});
    return result;
  }
}
