/** What a host remembers of its cluster: where it met the others, and what the ways to them take. */
import type { Store } from '../../contracts/store.ts';
import { UNDERLAY_KEY } from '../../engine/records.ts';
import type { Underlay } from '../../model/node.ts';

/** A row of this host's own store. */
export interface Row {
  /** As it was at the start; null: there was none. */
  readonly kept: string | null;
  readonly keep: (text: string) => Promise<void>;
}

export const rowOf = async (store: Store, key: string): Promise<Row> => ({
  kept: (await store.get(key))?.value ?? null,
  keep: async (value) => void (await store.commit([{ type: 'put', key, value }])),
});

/**
 * For a host that is started without a cluster: where it was in one, its networks that span hosts are planned by where it met the others, so that what they have in
 * the kernel stays, and what is missing comes back.
 */
export async function withoutCluster(store: Store): Promise<{ readonly underlay?: () => Promise<Underlay> }> {
  const { kept } = await rowOf(store, UNDERLAY_KEY);
  try {
    const underlay = JSON.parse(kept ?? 'null') as Underlay | null;
    const usable = underlay !== null && typeof underlay.node === 'string' && Array.isArray(underlay.addresses);
    return usable ? { underlay: async () => underlay } : {};
  } catch {
    return {};
  }
}
