/** Our keys in Consul: `<prefix>/<key>` without a slash in front. What others have put there, and no key of ours can name, is passed over. */
import type { Logger } from '../../base/clock.ts';
import { isKey } from '../writes.ts';

export class Keys {
  readonly #root: string;
  readonly #logger: Logger;
  #warned = false;

  /** @param prefix `` or with a slash in front and none behind */
  constructor(prefix: string, logger: Logger) {
    this.#root = prefix === '' ? '' : `${prefix.slice(1)}/`;
    this.#logger = logger;
  }

  full(key: string): string {
    return this.#root + key;
  }

  /** Written by a commit that only deletes, for whose revision Consul has no other place. No key of ours ends in a slash. */
  get mark(): string {
    return `${this.#root}revision/`;
  }

  get markPath(): string {
    return `/v1/kv/${pathOf(this.mark)}`;
  }

  /** The path that names all keys of a scope (`scopeOf`). */
  path(scope: string): string {
    return `/v1/kv/${pathOf(this.full(scope))}`;
  }

  /** @returns null for a key that is not of our making. Told once: there may be many. */
  short(full: string): string | null {
    const key = full.startsWith(this.#root) ? full.slice(this.#root.length) : null;
    if (key !== null && isKey(key)) return key;
    if (full === this.mark) return null;
    if (!this.#warned)
      this.#logger.warn({ key: JSON.stringify(full.slice(0, 100)) }, 'consul: passed over a foreign key below our prefix');
    this.#warned = true;
    return null;
  }
}

const pathOf = (key: string): string => key.split('/').map(encodeURIComponent).join('/');

/**
 * The part of the store that is looked at for a prefix: whole segments, so that prefixes of one place share their looks. It ends before a
 * segment `.` or `..`, which an HTTP path cannot have.
 */
export function scopeOf(prefix: string): string {
  // No key begins with a slash or has two in a row; a path that did would be taken for another.
  const whole = prefix.slice(0, prefix.lastIndexOf('/') + 1).replace(/^\/+|(?<=\/)\/+/g, '');
  const dots = /(^|\/)\.\.?\//.exec(whole);
  return dots === null ? whole : whole.slice(0, dots.index + (dots[1]?.length ?? 0));
}
