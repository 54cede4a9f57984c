/** A rule, or the policy of a chain, that says what becomes of a packet. */
export interface Decider {
  readonly family: string;
  readonly table: string;
  readonly chain: string;
  /** null: the policy of the chain. */
  readonly handle: number | null;
}
