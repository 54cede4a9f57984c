/** What is kept of a cluster, in this host's own store: in pieces, for at 5,000 nodes it is larger than a value may be. */
import type { Store, Write } from '../contracts/store.ts';

/** Characters of a piece; at most 3 bytes each, of the 512 KiB that a value may have. */
const PIECE = 150_000;

export interface KeptText {
  /** What was kept last, also by an earlier life; null: nothing. */
  readonly kept: string | null;
  readonly keep: (text: string) => Promise<void>;
}

/** @param key of the first piece, without which the others count for nothing: deleting it forgets all. Below it are the others. */
export async function openKept(store: Store, key: string): Promise<KeptText> {
  const first = await store.get(key);
  const { entries } = await store.list(`${key}/`);
  let before = entries.length + 1;
  return {
    kept: first === null ? null : [first, ...entries].map(({ value }) => value).join(''),
    keep: async (text) => {
      const pieces = cut(text);
      const writes = pieces.map((value, i): Write => ({ type: 'put', key: keyOf(key, i), value }));
      for (let i = pieces.length; i < before; i++) writes.push({ type: 'delete', key: keyOf(key, i) });
      await store.commit(writes);
      before = pieces.length;
    },
  };
}

/** In the order of keys. */
const keyOf = (key: string, i: number): string => (i === 0 ? key : `${key}/${String(i).padStart(5, '0')}`);

/** Never between the halves of a character: each piece is well-formed Unicode, as values have to be. */
function cut(text: string): readonly string[] {
  const pieces: string[] = [];
  for (let at = 0; at < text.length || at === 0; ) {
    const end = at + PIECE;
    const half = (text.codePointAt(end - 1) ?? 0) > 0xffff ? 1 : 0;
    pieces.push(text.slice(at, end - half));
    at = end - half;
  }
  return pieces;
}
