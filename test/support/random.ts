/** Random numbers that come again with the same seed. */
export interface Random {
  /** A whole number from 0 to `n` - 1. */
  readonly below: (n: number) => number;
  readonly chance: (probability: number) => boolean;
  /** @throws RangeError for an empty list */
  readonly pick: <T>(list: readonly T[]) => T;
}

/** @param seed 32 bits; xorshift32 (Marsaglia 2003) behind a mix, so that neighbouring seeds are far apart. */
export function createRandom(seed: number): Random {
  let state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) | 1;
  const next = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
  const below = (n: number): number => Math.floor(next() * n);
  return {
    below,
    chance: (probability) => next() < probability,
    pick: (list) => {
      const at = below(list.length);
      if (list.length === 0) throw new RangeError('nothing to pick from');
      return list[at] as (typeof list)[number];
    },
  };
}

/** `MOOR_TEST_SEED`, or a new one; whoever uses it prints it. */
export const seedOfRun = (): number => Number(process.env['MOOR_TEST_SEED'] ?? Date.now() % 1_000_000_000);
