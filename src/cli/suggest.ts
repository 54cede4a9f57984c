/** The word that was probably meant. */

/** @returns ` (did you mean X?)` with a space in front, or '' when nothing is near */
export function suggestion(typed: string, candidates: readonly string[]): string {
  let best = '';
  // One mistake in three letters is a slip; more is another word.
  let bestDistance = Math.floor(typed.replace(/^--/, '').length / 3) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(typed, candidate);
    if (distance < bestDistance || (candidate.startsWith(typed) && typed.length > 2 && best === ''))
      [best, bestDistance] = [candidate, distance];
  }
  return best === '' ? '' : ` (did you mean ${best}?)`;
}

/** Fewest insertions, deletions, replacements and swaps of neighbours (optimal string alignment). */
export function editDistance(a: string, b: string): number {
  let twoBack: readonly number[] = [];
  let previous: readonly number[] = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let least = Math.min(replaced, (previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) least = Math.min(least, (twoBack[j - 2] ?? 0) + 1);
      row.push(least);
    }
    [twoBack, previous] = [previous, row];
  }
  return previous[b.length] ?? 0;
}
