/**
 * Keys as paths of nodes. A key may be an entry and the beginning of others (`a`, `a/b`), under a lease as well; a node that goes with a
 * session can have no children. So what is between has nodes of its own: `a/b` is the node `b=` in the node `a:`. As no name is left as it
 * is, `.`, `..` and `zookeeper` are names like all others. What others have put there ends otherwise, and is passed over.
 */
import type { Logger } from '../../base/clock.ts';
import { isKey } from '../writes.ts';

export class Paths {
  /** The node below which all others are. */
  readonly root: string;
  /** Written by every commit that makes or removes nodes (`commit.ts`). */
  readonly guard: string;
  readonly #logger: Logger;
  #warned = false;

  /** @param prefix with a slash in front and none behind */
  constructor(prefix: string, logger: Logger) {
    this.root = prefix;
    this.guard = `${prefix}/guard`;
    this.#logger = logger;
  }

  entry(key: string): string {
    const at = key.lastIndexOf('/') + 1;
    return `${this.folder(key.slice(0, at))}/${key.slice(at)}=`;
  }

  /** @param scope `` or a beginning of keys that ends in a slash */
  folder(scope: string): string {
    return (
      this.root +
      scope
        .split('/')
        .slice(0, -1)
        .map((segment) => `/${segment}:`)
        .join('')
    );
  }

  /** @returns the key of an entry; null for nodes between, and for what is not of our making. That is told once: there may be many. */
  key(path: string): string | null {
    if (!path.startsWith(`${this.root}/`)) return null;
    const names = path.slice(this.root.length + 1).split('/');
    const last = names.pop() ?? '';
    const between = names.every((name) => name.endsWith(':'));
    if (between && last.endsWith(':')) return null;
    const key = [...names, last].map((name) => name.slice(0, -1)).join('/');
    if (between && last.endsWith('=') && isKey(key)) return key;
    if (path !== this.guard) this.#strange(path);
    return null;
  }

  /** @returns what a child of a scope's folder is; null: not of our making */
  child(scope: string, name: string): { readonly folder: string } | { readonly entry: string } | null {
    const key = scope + name.slice(0, -1);
    if (isKey(key)) {
      if (name.endsWith(':')) return { folder: `${key}/` };
      if (name.endsWith('=')) return { entry: key };
    }
    const path = `${this.folder(scope)}/${name}`;
    if (path !== this.guard) this.#strange(path);
    return null;
  }

  #strange(path: string): void {
    if (!this.#warned)
      this.#logger.warn({ path: JSON.stringify(path.slice(0, 100)) }, 'zookeeper: passed over a foreign node below our prefix');
    this.#warned = true;
  }
}

/** The part of the store that is watched for a prefix: whole segments. */
export const scopeOf = (prefix: string): string => prefix.slice(0, prefix.lastIndexOf('/') + 1).replace(/^\/+|(?<=\/)\/+/g, '');

/** The paths of all nodes above it, outermost first. */
export const above = (path: string): readonly string[] =>
  path.split('/').flatMap((_, at, names) => (at > 1 ? names.slice(0, at).join('/') : []));
