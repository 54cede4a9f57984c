/** Volumes in memory, and which containers use them. */
import { notFound } from '../../base/errors.ts';
import type { Id } from '../../base/ids.ts';
import { shown } from '../../base/shown.ts';
import type { Container, Volume } from '../../model/container.ts';

export class VolumeRegistry {
  readonly #volumes = new Map<string, Volume>();
  readonly #users = new Map<string, Set<Id>>();

  list(): Volume[] {
    return [...this.#volumes.values()];
  }

  lookup(name: string): Volume | undefined {
    return this.#volumes.get(name);
  }

  /** @throws not-found with Docker's text */
  get(name: string): Volume {
    const volume = this.#volumes.get(name);
    if (volume === undefined) throw notFound(`get ${shown(name)}: no such volume`);
    return volume;
  }

  add(volume: Volume): void {
    this.#volumes.set(volume.name, volume);
  }

  remove(name: string): void {
    this.#volumes.delete(name);
  }

  /** Containers that have it among their mounts, also those that do not run. */
  users(name: string): readonly Id[] {
    return [...(this.#users.get(name) ?? [])];
  }

  use({ id, mounts }: Pick<Container, 'id' | 'mounts'>): void {
    for (const { name } of mounts) {
      if (name === undefined) continue;
      const users = this.#users.get(name);
      if (users === undefined) this.#users.set(name, new Set([id]));
      else users.add(id);
    }
  }

  release({ id, mounts }: Pick<Container, 'id' | 'mounts'>): void {
    for (const { name } of mounts) {
      if (name === undefined) continue;
      const users = this.#users.get(name);
      users?.delete(id);
      if (users?.size === 0) this.#users.delete(name);
    }
  }
}
