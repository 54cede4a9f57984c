/** Identifiers: 64 hex digits as Docker's, and the short names derived from them. */

declare const brand: unique symbol;
/** Identifier of a network, endpoint or sandbox: 64 lower-case hex digits. */
export type Id = string & { readonly [brand]: 'id' };

/** Bytes in an id. */
const LENGTH = 32;
/** Random bytes are asked for in stock: a call costs 20 µs, whatever it brings. */
const stock = Buffer.alloc(64 * LENGTH);
let left = 0;

/** 256 random bits in hex. Docker refuses ids whose first 12 digits look like a number; a hex letter is forced likewise. */
export function newId(): Id {
  for (;;) {
    if (left === 0) left = crypto.getRandomValues(stock).length;
    left -= LENGTH;
    const id = stock.toString('hex', left, left + LENGTH);
    if (/[a-f]/.test(id.slice(0, 12))) return id as Id;
  }
}

/** The first 12 digits, as `docker ps` shows them. */
export const shortId = (id: Id): string => id.slice(0, 12);

export const isId = (text: string): text is Id => /^[0-9a-f]{64}$/.test(text);
