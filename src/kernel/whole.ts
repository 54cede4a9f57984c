/**
 * A list that is nothing but new tables of the host's with what is in them: somebody has flushed the ruleset, and everything is to come back.
 * The text of its one transaction is put together by who asks and travels as it is; thousands of changes would have to be taken apart and put together
 * again on the other side, while rules are missing.
 */
import { type Change, HOST } from '../contracts/change.ts';
import type { Applied } from '../contracts/kernel.ts';
import { type NftChange, wholeTables } from '../nft/transaction.ts';
import { CHANGED } from './failure.ts';

export interface Whole {
  /** What nft reads. */
  readonly text: string;
  /** What is to be done when the tables are there: connections that must be forgotten. */
  readonly rest: readonly Change[];
  /** All results, from those of the rest. */
  readonly results: (rest: readonly Applied[]) => readonly Applied[];
}

/** Fewer are quicker told one by one: a refusal then says of which. */
const MANY = 32;

/** @returns null: it is another list, and goes the usual way */
export function wholeOf(changes: readonly Change[]): Whole | null {
  if (changes.length <= MANY || !isHostNft(changes[0])) return null;
  const nft: NftChange[] = [];
  const rest: Change[] = [];
  for (const change of changes) {
    if (isHostNft(change)) nft.push(change);
    else if (change.kind === 'conntrack') rest.push(change);
    else return null;
  }
  const text = nft.length > MANY ? wholeTables(nft) : null;
  if (text === null) return null;
  const results = (others: readonly Applied[]): readonly Applied[] => {
    const left = others.values();
    return changes.map(
      (change): Applied => (change.kind === 'conntrack' ? (left.next().value ?? { state: 'skipped' }) : CHANGED),
    );
  };
  return { text, rest, results };
}

const isHostNft = (change: Change | undefined): change is NftChange =>
  (change?.kind === 'nft-table' && (change.netns ?? HOST) === HOST) ||
  change?.kind === 'nft-element' ||
  change?.kind === 'nft-rule';
