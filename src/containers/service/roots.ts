/** Mounted roots, counted: a running container holds its own, and archive calls hold it for as long as they read. */
import type { Id } from '../../base/ids.ts';
import { KeyedLock } from '../../base/keyed-lock.ts';
import type { RootFiles } from '../../contracts/containers.ts';

export class Roots {
  readonly #files: Pick<RootFiles, 'mount' | 'unmount'>;
  readonly #users = new Map<Id, number>();
  readonly #locks = new KeyedLock();

  constructor(files: Pick<RootFiles, 'mount' | 'unmount'>) {
    this.#files = files;
  }

  /** @returns the mounted root, which stays until everybody has released it */
  async hold(id: Id, lower: readonly string[]): Promise<string> {
    using _lock = await this.#locks.hold(id);
    const root = await this.#files.mount(id, lower);
    this.#users.set(id, (this.#users.get(id) ?? 0) + 1);
    return root;
  }

  /** How many hold it. */
  users(id: Id): number {
    return this.#users.get(id) ?? 0;
  }

  /** A root that an earlier daemon mounted, for a container that runs. */
  adopt(id: Id): void {
    this.#users.set(id, (this.#users.get(id) ?? 0) + 1);
  }

  async release(id: Id): Promise<void> {
    using _lock = await this.#locks.hold(id);
    const left = (this.#users.get(id) ?? 1) - 1;
    if (left > 0) {
      this.#users.set(id, left);
      return;
    }
    this.#users.delete(id);
    await this.#files.unmount(id);
  }
}
