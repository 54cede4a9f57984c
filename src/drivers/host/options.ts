/** The driver `host` has no options. */
import { invalid } from '../../base/errors.ts';
import type { Network } from '../../model/network.ts';

/** @throws invalid when there is one. */
export function parseOptions(network: Network): void {
  const [first] = Object.keys(network.options);
  if (first !== undefined) throw invalid(`unknown option ${first} for driver host: it has none`);
}
