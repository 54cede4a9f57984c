/** Our keys in etcd: below one prefix, `<prefix>/<key>`. What others have put there, and no key of ours can name, is passed over. */
import type { Logger } from '../../base/clock.ts';
import { isKey } from '../writes.ts';

export class Keys {
  readonly #root: string;
  readonly #logger: Logger;
  #warned = false;

  /** @param prefix `` or with a slash in front and none behind */
  constructor(prefix: string, logger: Logger) {
    this.#root = `${prefix}/`;
    this.#logger = logger;
  }

  full(key: string): Buffer {
    return Buffer.from(this.#root + key);
  }

  /** All keys that begin with the prefix: etcd's half-open interval, which ends where the last byte is one higher. */
  range(prefix: string): { readonly key: Buffer; readonly rangeEnd: Buffer } {
    const key = this.full(prefix);
    const rangeEnd = Buffer.from(key);
    // A slash or printable ASCII: it never overflows.
    rangeEnd[rangeEnd.length - 1] = (rangeEnd.at(-1) ?? 0) + 1;
    return { key, rangeEnd };
  }

  /** @returns null for a key that is not of our making. Told once: there may be many. */
  short(full: Buffer): string | null {
    // Latin 1 keeps each byte apart, so that what is not ASCII is found, not mended.
    const text = full.toString('latin1');
    const key = text.startsWith(this.#root) ? text.slice(this.#root.length) : null;
    if (key !== null && isKey(key)) return key;
    if (!this.#warned)
      this.#logger.warn({ key: JSON.stringify(text.slice(0, 100)) }, 'etcd: passed over a foreign key below our prefix');
    this.#warned = true;
    return null;
  }
}

/** Any bytes become some text: what is not UTF-8 is replaced by U+FFFD, and whoever reads the value will not take it for his own. */
export const valueText = (value: Buffer): string => value.toString('utf8');
