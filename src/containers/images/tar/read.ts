/**
 * Reads a tar as a stream, strictly: ustar, pax, GNU long names. What it does not know it refuses, for a field that two readers
 * understand differently is how an archive passes a check and then does something else.
 */
import { invalid } from '../../../base/errors.ts';
import { ByteReader, type Chunks } from './bytes.ts';
import { BLOCK, decodeHeader, type EntryType, type Header, typeOf } from './header.ts';
import { decodePax } from './pax.ts';

export interface Entry {
  readonly type: EntryType;
  /** As it stands in the archive; one character a byte. */
  readonly name: string;
  readonly linkname: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** bytes */
  readonly size: number;
  /** Seconds since the epoch as decimal text, maybe with a fraction. */
  readonly mtime: string;
  readonly xattrs: ReadonlyMap<string, string>;
}

/** An entry and its content, which must be read (or `skip`ped) before the next entry. */
export interface Read {
  readonly entry: Entry;
  readonly body: AsyncGenerator<Buffer, void>;
}

export interface ReadOptions {
  /** For messages: `archive`. */
  readonly what: string;
  /** Must the end marker be there? Some old layers lack it; their digest vouches for them. */
  readonly needsEnd: boolean;
}

/** Our own bound on extended headers; names are at most 4,096 bytes (PATH_MAX), attributes 64 KiB each. */
const META_MAX = 1 << 20;
const XATTR = 'SCHILY.xattr.';

/** @throws invalid on anything malformed, with the entry's name where there is one */
export async function* readTar(chunks: Chunks, { what, needsEnd }: ReadOptions): AsyncGenerator<Read, void> {
  const reader = new ByteReader(chunks, what);
  try {
    let pending: Pending = {};
    for (let block = await reader.exactly(BLOCK); ; block = await reader.exactly(BLOCK)) {
      if (block === null) {
        if (needsEnd) throw reader.truncated();
        return;
      }
      if (isZero(block)) return await reader.drain();
      const header = decodeHeader(block);
      const meta = await readMeta(reader, header, pending);
      if (meta) {
        pending = meta;
        continue;
      }
      const entry = toEntry(header, pending);
      pending = {};
      const body = reader.through(entry.size);
      yield { entry, body };
      for await (const _ of body);
      await skip(reader, padding(entry.size));
    }
  } finally {
    await reader.stop();
  }
}

interface Pending {
  readonly pax?: ReadonlyMap<string, string>;
  readonly name?: string;
  readonly linkname?: string;
}

/** @returns what the next header is to be changed by; null when this is an entry itself */
async function readMeta(reader: ByteReader, header: Header, pending: Pending): Promise<Pending | null> {
  const { typeflag, size } = header;
  if (!'xgLK'.includes(typeflag)) return null;
  if (size < 0 || size > META_MAX)
    throw invalid(`invalid tar header: an extended header has ${size} bytes, at most ${META_MAX} are read`);
  const data = await reader.exactly(size + padding(size));
  if (data === null && size > 0) throw reader.truncated();
  const content = (data ?? Buffer.alloc(0)).subarray(0, size);
  switch (typeflag) {
    case 'x':
      return { ...pending, pax: decodePax(content) };
    case 'L':
      return { ...pending, name: untilNul(content) };
    case 'K':
      return { ...pending, linkname: untilNul(content) };
    default: // g: for all that follow; git and others leave comments there. Docker reads past it, too.
      return pending;
  }
}

function toEntry(header: Header, { pax, name: longName, linkname: longLink }: Pending): Entry {
  const said = (key: string): string | null => pax?.get(key) || null;
  const name = said('path') ?? longName ?? header.name;
  const shown = showName(name);
  const linkname = said('linkpath') ?? longLink ?? header.linkname;
  if (name.includes('\0') || linkname.includes('\0')) throw invalid(`entry ${shown}: its name has a NUL byte`);
  for (const key of pax?.keys() ?? [])
    if (key.startsWith('GNU.sparse.')) throw invalid(`entry ${shown}: sparse files are not supported`);
  const type = typeOf(header.typeflag);
  if (header.typeflag === 'S') throw invalid(`entry ${shown}: sparse files are not supported`);
  if (type === null) throw invalid(`entry ${shown}: unknown type ${JSON.stringify(header.typeflag)}`);
  const number = (key: string, fallback: number): number => {
    const text = said(key);
    const value = text === null ? fallback : /^[0-9]+$/.test(text) ? Number(text) : -1;
    if (!Number.isSafeInteger(value) || value < 0) throw invalid(`entry ${shown}: ${key} is ${text ?? value}`);
    return value;
  };
  const mtime = said('mtime');
  if (mtime !== null && !/^-?[0-9]{1,12}(\.[0-9]+)?$/.test(mtime)) throw invalid(`entry ${shown}: mtime is ${mtime}`);
  const isOldDirectory = type === 'file' && name.endsWith('/');
  const hasBody = type === 'file' && !isOldDirectory;
  const size = number('size', header.size);
  // A link or directory may state a size; what follows it is the next header all the same (as Go's and GNU's readers have it).
  return {
    type: isOldDirectory ? 'directory' : type,
    name,
    linkname,
    mode: header.mode & 0o7777,
    uid: number('uid', header.uid),
    gid: number('gid', header.gid),
    size: hasBody ? size : 0,
    mtime: mtime ?? String(header.mtime),
    xattrs: new Map(
      [...(pax ?? [])].flatMap(([key, value]) => (key.startsWith(XATTR) ? [[key.slice(XATTR.length), value]] : [])),
    ),
  };
}

/** Quoted, so that a newline or an escape sequence in it does no harm; read as UTF-8 for people. */
export const showName = (name: string): string => JSON.stringify(Buffer.from(name.slice(0, 512), 'latin1').toString('utf8'));

/** Bytes from the end of a content to the next block. */
export const padding = (size: number): number => (BLOCK - (size % BLOCK)) % BLOCK;

async function skip(reader: ByteReader, size: number): Promise<void> {
  for await (const _ of reader.through(size));
}

const isZero = (block: Buffer): boolean => block[0] === 0 && block.every((byte) => byte === 0);

function untilNul(data: Buffer): string {
  const text = data.toString('latin1');
  const end = text.indexOf('\0');
  return end < 0 ? text : text.slice(0, end);
}
