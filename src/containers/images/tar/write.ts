/** Writes tar headers: plain ustar where everything fits, a pax header before it where not. */
import { BLOCK, encodeHeader, fits, largest, typeflagOf } from './header.ts';
import { encodePax } from './pax.ts';
import { type Entry, padding } from './read.ts';

/** Two zero blocks. */
export const END = Buffer.alloc(2 * BLOCK);

/** The header block, or blocks, of an entry. Its content follows, filled up by `pad`. */
export function headerOf(entry: Entry): Buffer {
  const { name, linkname, mode, uid, gid, size, mtime, xattrs } = entry;
  const pax = new Map<string, string>();
  if (!fits(name, 'name')) pax.set('path', name);
  if (!fits(linkname, 'linkname')) pax.set('linkpath', linkname);
  if (uid > largest('uid')) pax.set('uid', String(uid));
  if (gid > largest('gid')) pax.set('gid', String(gid));
  if (size > largest('size')) pax.set('size', String(size));
  if (!/^[0-9]+$/.test(mtime) || Number(mtime) > largest('mtime')) pax.set('mtime', mtime);
  for (const [key, value] of xattrs) pax.set(`SCHILY.xattr.${key}`, value);
  const plain = { name, linkname, mode, uid, gid, size, mtime: Number(mtime), typeflag: typeflagOf(entry.type) };
  if (pax.size === 0) return encodeHeader(plain);
  const records = encodePax(pax);
  const extended = encodeHeader({ ...plain, name: 'pax', linkname: '', typeflag: 'x', mode: 0o644, size: records.length });
  return Buffer.concat([extended, records, pad(records.length), encodeHeader(plain)]);
}

export const pad = (size: number): Buffer => Buffer.alloc(padding(size));

/** An entry with the defaults of a file of root's. */
export function entryOf(given: Pick<Entry, 'name' | 'type'> & Partial<Entry>): Entry {
  return {
    linkname: '',
    mode: given.type === 'directory' ? 0o755 : 0o644,
    uid: 0,
    gid: 0,
    size: 0,
    mtime: '0',
    xattrs: new Map(),
    ...given,
  };
}

/** A small file, whole. */
export function fileOf(name: string, content: Buffer): Buffer {
  return Buffer.concat([headerOf(entryOf({ name, type: 'file', size: content.length })), content, pad(content.length)]);
}
