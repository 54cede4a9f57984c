/**
 * What a layer may contain, and what of it reaches the disk. A layer is hostile: each entry is checked against everything before it, and what
 * comes out is a list of entries of our own making, in which
 *
 * - every name is relative, without `.` and `..`, and below directories that this same layer made before: there is no symbolic link in the way,
 *   so whoever unpacks it cannot be led out;
 * - a hard link names a file that is already there;
 * - whiteouts (OCI image-spec, layer.md) have become what overlayfs knows (Documentation/filesystems/overlayfs.rst): a character device 0/0, and
 *   the attribute `trusted.overlay.opaque` on a directory.
 */
import { invalid } from '../../base/errors.ts';
import { type Entry, showName } from './tar/read.ts';
import { entryOf } from './tar/write.ts';

const WHITEOUT = '.wh.';
const OPAQUE = '.wh..wh..opq';
/** What AUFS kept for itself; old archives have it, it means nothing. */
const AUFS = '.wh..wh.';

/** <linux/limits.h> PATH_MAX and NAME_MAX */
const PATH_BYTES = 4096 - 1;
const NAME_BYTES = 255;

/** Extended attributes that a layer may set: everything else is the host's business, overlayfs's own above all. */
const ATTRIBUTES = /^(user\.(?!overlay\.)|security\.capability$)/;

type Kind = 'directory' | 'other';

export class LayerRules {
  readonly #maxEntries: number;
  /** Clean name -> what is there. */
  readonly #made = new Map<string, Kind>();
  /** Directories as they were last given, for the ones that become opaque. */
  readonly #directories = new Map<string, Entry>();
  readonly #whiteouts = new Set<string>();
  readonly #opaque = new Set<string>();
  #entries = 0;
  #bytes = 0;

  /** @param limits `entries`: the most that the layer may have */
  constructor(limits: { readonly entries: number }) {
    this.#maxEntries = limits.entries;
  }

  /** Bytes in files, as Docker counts the size of a layer. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * @returns what to write for it, in order; nothing for a whiteout, which is written at the end
   * @throws invalid naming the entry
   */
  accept(entry: Entry): readonly Entry[] {
    if (++this.#entries > this.#maxEntries) throw invalid(`more than ${this.#maxEntries} entries`);
    const path = cleanName(entry.name, entry);
    const parts = path === '' ? [] : path.split('/');
    if (parts.slice(0, -1).some((part) => part.startsWith(AUFS))) return [];
    const last = parts.at(-1) ?? '';
    if (last.startsWith(WHITEOUT)) return this.#whiteout(entry, parts);
    return [...this.#parents(entry, parts), this.#clean(entry, path)];
  }

  /** What is known only when all entries have passed: a whiteout hides what is in the layers below, never what this layer brings itself. */
  finish(): readonly Entry[] {
    const hidden: Entry[] = [];
    for (const path of this.#whiteouts) {
      const kind = this.#made.get(path);
      if (kind === 'directory') this.#opaque.add(path);
      // Writers that know nothing of our trick take 0/0 for a device, so `character device` stands for a whiteout from here on.
      else if (kind === undefined) hidden.push(entryOf({ name: path, type: 'character device', mode: 0 }));
    }
    const opaque = [...this.#opaque].map((path): Entry => {
      const given = this.#directories.get(path) ?? entryOf({ name: path === '' ? '.' : path, type: 'directory' });
      return { ...given, xattrs: new Map([...given.xattrs, ['trusted.overlay.opaque', 'y']]) };
    });
    return [...hidden, ...opaque];
  }

  #whiteout(entry: Entry, parts: readonly string[]): readonly Entry[] {
    const last = parts.at(-1) ?? '';
    const above = parts.slice(0, -1).join('/');
    const parents = last === OPAQUE || !last.startsWith(AUFS) ? this.#parents(entry, parts) : [];
    if (last === OPAQUE) this.#opaque.add(above);
    else if (!last.startsWith(AUFS)) {
      const name = last.slice(WHITEOUT.length);
      if (name === '' || name === '.' || name === '..') throw refuse(entry, 'it is a whiteout outside its directory');
      this.#whiteouts.add(above === '' ? name : `${above}/${name}`);
    }
    return parents;
  }

  /** Directories that the layer does not mention; Docker makes them, too. */
  #parents(entry: Entry, parts: readonly string[]): readonly Entry[] {
    const missing: Entry[] = [];
    for (let depth = 1; depth < parts.length; depth++) {
      const path = parts.slice(0, depth).join('/');
      const kind = this.#made.get(path);
      if (kind === 'other') throw refuse(entry, `${showName(path)} in its path is not a directory`);
      if (kind === 'directory') continue;
      const made = entryOf({ name: path, type: 'directory' });
      this.#made.set(path, 'directory');
      this.#directories.set(path, made);
      missing.push(made);
    }
    return missing;
  }

  #clean(entry: Entry, path: string): Entry {
    const kind: Kind = entry.type === 'directory' ? 'directory' : 'other';
    const before = path === '' ? 'directory' : this.#made.get(path);
    if (before !== undefined && (before === 'directory') !== (kind === 'directory')) {
      throw refuse(entry, before === 'directory' ? 'it would replace a directory' : 'it would replace a file by a directory');
    }
    const xattrs = new Map([...entry.xattrs].filter(([key]) => ATTRIBUTES.test(key)));
    const clean: Entry = { ...entry, name: path === '' ? '.' : path, linkname: '', xattrs };
    this.#made.set(path, kind);
    switch (entry.type) {
      case 'directory':
        this.#directories.set(path, clean);
        return clean;
      case 'file':
        this.#bytes += entry.size;
        return clean;
      case 'fifo':
        return clean;
      case 'symbolic link':
        checkTarget(entry, path);
        return { ...clean, linkname: entry.linkname };
      case 'hard link':
        return { ...clean, linkname: this.#hardLink(entry, path) };
      case 'character device':
      case 'block device':
        throw refuse(entry, 'devices are not allowed in an image');
      default:
        return entry.type satisfies never;
    }
  }

  #hardLink(entry: Entry, path: string): string {
    const target = cleanName(entry.linkname, entry);
    if (target === path) throw refuse(entry, 'it is a hard link to itself');
    const there = this.#made.get(target);
    if (there === 'other') return target;
    const why = there === 'directory' || target === '' ? 'a directory' : 'not in this layer';
    throw refuse(entry, `it is a hard link to ${showName(entry.linkname)}, which is ${why}`);
  }
}

/** @returns the name without `.`, doubled and trailing slashes; `` is the root of the layer. */
function cleanName(name: string, entry: Entry): string {
  if (name === '') throw refuse(entry, 'it has no name');
  if (name.startsWith('/'))
    throw refuse(entry, `${name === entry.name ? 'its name' : `its target ${showName(name)}`} is absolute`);
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..'))
    throw refuse(entry, `${name === entry.name ? 'its name' : `its target ${showName(name)}`} leads outside`);
  const clean = parts.join('/');
  if (clean.length > PATH_BYTES || parts.some((part) => part.length > NAME_BYTES)) throw refuse(entry, 'its name is too long');
  return clean;
}

/** An absolute target is one inside the container, where it will be followed. A relative one must not climb over the root. */
function checkTarget(entry: Entry, path: string): void {
  const { linkname } = entry;
  if (linkname === '') throw refuse(entry, 'it is a symbolic link to nothing');
  if (linkname.length > PATH_BYTES) throw refuse(entry, 'its target is too long');
  if (linkname.startsWith('/')) return;
  let depth = path.split('/').length - 1;
  for (const part of linkname.split('/')) {
    if (part === '..') depth--;
    else if (part !== '' && part !== '.') depth++;
    if (depth < 0) throw refuse(entry, `it is a symbolic link to ${showName(linkname)}, which leads outside`);
  }
}

const refuse = (entry: Entry, why: string): Error => invalid(`entry ${showName(entry.name)}: ${why}`);
