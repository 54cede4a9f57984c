import type { Store } from '../contracts/store.ts';

/** etcd allows 128. */
const WRITES = 100;

/** How many writes go into one commit where there are more. */
export const commitSize = ({ commitWrites = WRITES }: Store): number => Math.min(WRITES, commitWrites);
