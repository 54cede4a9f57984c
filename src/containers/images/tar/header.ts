/** The tar header block: POSIX.1-2017 pax "ustar Interchange Format", with GNU's base-256 numbers (GNU tar manual, "Extensions"). */
import { invalid } from '../../../base/errors.ts';

export const BLOCK = 512;

/** Field of the header -> where it is and how many bytes it has. */
export const USTAR = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  chksum: [148, 8],
  typeflag: [156, 1],
  linkname: [157, 100],
  magic: [257, 6],
  version: [263, 2],
  uname: [265, 32],
  gname: [297, 32],
  devmajor: [329, 8],
  devminor: [337, 8],
  prefix: [345, 155],
} as const satisfies Record<string, readonly [offset: number, size: number]>;
type Field = keyof typeof USTAR;

export type EntryType = 'file' | 'hard link' | 'symbolic link' | 'character device' | 'block device' | 'directory' | 'fifo';

/** typeflag -> what it is. `7` (contiguous file) and NUL (before POSIX) are files. */
const TYPES: Readonly<Record<string, EntryType>> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  '1': 'hard link',
  '2': 'symbolic link',
  '3': 'character device',
  '4': 'block device',
  '5': 'directory',
  '6': 'fifo',
};
const TYPEFLAGS = {
  file: '0',
  'hard link': '1',
  'symbolic link': '2',
  'character device': '3',
  'block device': '4',
  directory: '5',
  fifo: '6',
} as const satisfies Record<EntryType, string>;

/** Names are bytes without an encoding: one character a byte (latin1), here and everywhere below `tar/`. */
export interface Header {
  readonly name: string;
  readonly typeflag: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: number;
  readonly linkname: string;
}

export const typeOf = (typeflag: string): EntryType | null => TYPES[typeflag] ?? null;
export const typeflagOf = (type: EntryType): string => TYPEFLAGS[type];

/** @throws invalid unless the block is a header with a right checksum */
export function decodeHeader(block: Buffer): Header {
  checkSum(block);
  // GNU's magic is `ustar  `, without a prefix field; other things are there.
  const prefix = text(block, 'magic') === 'ustar' ? text(block, 'prefix') : '';
  const name = text(block, 'name');
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    typeflag: String.fromCharCode(block[USTAR.typeflag[0]] ?? 0),
    mode: number(block, 'mode'),
    uid: number(block, 'uid'),
    gid: number(block, 'gid'),
    size: number(block, 'size'),
    mtime: number(block, 'mtime'),
    linkname: text(block, 'linkname'),
  };
}

/** Do all fields fit? When not, a pax header has to say them. */
export const fits = (text: string, field: 'name' | 'linkname'): boolean => text.length <= USTAR[field][1];
/** The largest number that an octal field holds. */
export const largest = (field: 'uid' | 'gid' | 'size' | 'mtime'): number => 8 ** (USTAR[field][1] - 1) - 1;

/** What does not fit is cut: a pax header before it has the whole. */
export function encodeHeader(header: Header): Buffer {
  const block = Buffer.alloc(BLOCK);
  const put = (field: Field, value: string): void => {
    block.write(value.slice(0, USTAR[field][1]), USTAR[field][0], 'latin1');
  };
  const octal = (field: Field, value: number): void => {
    const digits = USTAR[field][1] - 1;
    put(
      field,
      `${Math.min(Math.max(value, 0), 8 ** digits - 1)
        .toString(8)
        .padStart(digits, '0')}\0`,
    );
  };
  put('name', header.name);
  octal('mode', header.mode);
  octal('uid', header.uid);
  octal('gid', header.gid);
  octal('size', header.size);
  octal('mtime', Math.floor(header.mtime));
  put('typeflag', header.typeflag);
  put('linkname', header.linkname);
  put('magic', 'ustar\0');
  put('version', '00');
  octal('devmajor', 0);
  octal('devminor', 0);
  put('chksum', `${sums(block).unsigned.toString(8).padStart(6, '0')}\0 `);
  return block;
}

/** Up to the first NUL. */
function text(block: Buffer, field: Field): string {
  const [offset, size] = USTAR[field];
  const raw = block.toString('latin1', offset, offset + size);
  const end = raw.indexOf('\0');
  return end < 0 ? raw : raw.slice(0, end);
}

function number(block: Buffer, field: Field): number {
  const [offset, size] = USTAR[field];
  const first = block[offset] ?? 0;
  if (first & 0x80) {
    // Base 256, big endian, two's complement in the remaining bits.
    let value = first & 0x40 ? -1n : 0n;
    for (let at = 0; at < size; at++) {
      const byte = BigInt(block[offset + at] ?? 0) & (at === 0 ? 0x7fn : 0xffn);
      value = at === 0 && value < 0n ? byte - 0x80n : (value << 8n) | byte;
    }
    const result = Number(value);
    if (!Number.isSafeInteger(result)) throw invalid(`invalid tar header: ${field} is ${value}`);
    return result;
  }
  const digits = text(block, field).trim();
  if (digits === '') return 0;
  if (!/^[0-7]+$/.test(digits)) throw invalid(`invalid tar header: ${field} is ${JSON.stringify(digits)}`);
  return Number.parseInt(digits, 8);
}

/** Old programs summed signed characters: both sums are right. */
function checkSum(block: Buffer): void {
  const said = number(block, 'chksum');
  const { unsigned, signed } = sums(block);
  if (said !== unsigned && said !== signed) throw invalid(`invalid tar header: checksum is ${said}, not ${unsigned}`);
}

/** Of all bytes, those of the checksum itself taken as spaces. */
function sums(block: Buffer): { readonly unsigned: number; readonly signed: number } {
  const [start, size] = USTAR.chksum;
  let unsigned = 32 * size;
  let signed = unsigned;
  for (let at = 0; at < BLOCK; at++) {
    if (at >= start && at < start + size) continue;
    const byte = block[at] ?? 0;
    unsigned += byte;
    signed += byte < 128 ? byte : byte - 256;
  }
  return { unsigned, signed };
}
