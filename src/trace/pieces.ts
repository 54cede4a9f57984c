/** What a trace says, put together again: each source once, with the one thing that becomes of it. */
import { type Intervals, intersect, isEmpty, sizeOf, subtract, union } from './intervals.ts';
import type { Outcome, Verdict } from './path.ts';

export interface Piece {
  readonly peer: Intervals;
  /** null: it depends. */
  readonly verdict: Verdict | null;
  /** What it depends on. */
  readonly on: readonly string[];
}

/** @param peer all who were asked about */
export function pieces(peer: Intervals, outcomes: readonly Outcome[]): readonly Piece[] {
  const parts = areApart(peer, outcomes)
    ? outcomes.map((outcome) => ({ peer: outcome.peer, outcomes: [outcome] }))
    : cut(peer, outcomes);
  const judged = new Map<string, Piece>();
  for (const part of parts) {
    const piece = judge(part.peer, part.outcomes);
    const key = JSON.stringify([piece.verdict, piece.on], (_, value: unknown) =>
      typeof value === 'bigint' ? String(value) : value,
    );
    const same = judged.get(key);
    judged.set(key, same === undefined ? piece : { ...same, peer: union(same.peer, piece.peer) });
  }
  return [...judged.values()];
}

interface Part {
  readonly peer: Intervals;
  readonly outcomes: readonly Outcome[];
}

/** Without doubts each source has one outcome, unless its port makes a difference; then there are more of them than sources. */
const areApart = (peer: Intervals, outcomes: readonly Outcome[]): boolean =>
  outcomes.every(({ maybe }) => maybe.length === 0) &&
  outcomes.reduce((sum, outcome) => sum + sizeOf(outcome.peer), 0n) === sizeOf(peer);

function cut(peer: Intervals, outcomes: readonly Outcome[]): readonly Part[] {
  let parts: readonly Part[] = [{ peer, outcomes: [] }];
  for (const outcome of outcomes) {
    parts = parts.flatMap((part) => {
      // As a rule one outcome is of all that are left.
      if (part.peer === outcome.peer) return [{ peer: part.peer, outcomes: [...part.outcomes, outcome] }];
      const within = intersect(part.peer, outcome.peer);
      const rest = subtract(part.peer, outcome.peer);
      return [
        ...(isEmpty(within) ? [] : [{ peer: within, outcomes: [...part.outcomes, outcome] }]),
        ...(isEmpty(rest) ? [] : [{ peer: rest, outcomes: part.outcomes }]),
      ];
    });
  }
  return parts;
}

function judge(peer: Intervals, outcomes: readonly Outcome[]): Piece {
  const kinds = new Set(outcomes.map(({ verdict }) => kindOf(verdict)));
  const sure = outcomes.find(({ maybe }) => maybe.length === 0) ?? outcomes[0];
  if (kinds.size === 1 && sure !== undefined && sure.verdict.type !== 'unknown') return { peer, verdict: sure.verdict, on: [] };
  const on = new Set(outcomes.flatMap(({ maybe, verdict }) => [...maybe, ...(verdict.type === 'unknown' ? [verdict.what] : [])]));
  // Without a doubt about a rule, only the other thing that varies can make the difference.
  return { peer, verdict: null, on: on.size === 0 ? ['the source port'] : [...on] };
}

/** What makes a difference to who asks. */
const kindOf = (verdict: Verdict): string =>
  verdict.type === 'reaches'
    ? `reaches ${verdict.address} ${verdict.port}`
    : verdict.type === 'untracked'
      ? 'dropped'
      : verdict.type;
