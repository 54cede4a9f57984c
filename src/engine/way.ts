/** Where a sandbox's published ports lead. */
import type { Network } from '../model/network.ts';
import type { Endpoint } from '../model/sandbox.ts';

/** An endpoint that is the way out, of a network that can publish. */
export interface Way {
  readonly endpoint: Endpoint;
  readonly network: Network;
}

/** By family; null: there is none. */
export interface Ways {
  readonly v4: Way | null;
  readonly v6: Way | null;
}
