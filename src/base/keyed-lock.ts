/** Order among operations on one thing, while those on other things go on. */

/** A held lock: give it back by leaving the scope of `using`. */
export type Held = Disposable;

/** One exclusive lock per key; keys without holders take no memory. */
export class KeyedLock {
  readonly #tails = new Map<string, Promise<void>>();

  async hold(key: string): Promise<Held> {
    const before = this.#tails.get(key);
    const { promise, resolve } = Promise.withResolvers<void>();
    const tail = before === undefined ? promise : before.then(() => promise);
    this.#tails.set(key, tail);
    await before;
    return {
      [Symbol.dispose]: () => {
        if (this.#tails.get(key) === tail) this.#tails.delete(key);
        resolve();
      },
    };
  }
}
