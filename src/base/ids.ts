/** Identifiers: 64 hex digits as Docker's, and the short names derived from them. */

declare const brand: unique symbol;
/** Identifier of a network, endpoint or sandbox: 64 lower-case hex digits. */
export type Id = string & { readonly [brand]: 'id' };

/** 256 random bits in hex. Docker refuses ids whose first 12 digits look like a number; a hex letter is forced likewise. */
export function newId(): Id {
  for (;;) {
    const id = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('hex');
    if (/[a-f]/.test(id.slice(0, 12))) return id as Id;
  }
}

/** The first 12 digits, as `docker ps` shows them. */
export const shortId = (id: Id): string => id.slice(0, 12);

export const isId = (text: string): text is Id => /^[0-9a-f]{64}$/.test(text);
