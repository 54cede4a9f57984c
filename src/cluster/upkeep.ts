/** This node's subnets, in every network: there, and as they have to be. */
import type { Logger } from '../base/clock.ts';
import { type ErrorKind, MoorError } from '../base/errors.ts';
import type { Id } from '../base/ids.ts';
import type { Network } from '../model/network.ts';
import { isFlannel } from './flannel/networks.ts';
import type { Parts } from './parts.ts';

export interface UpkeepDeps extends Pick<Parts, 'state' | 'leasing' | 'flannel'> {
  readonly logger: Logger;
}

/** Errors of one network, which the others have nothing to do with. */
const NO_SUBNET: readonly ErrorKind[] = ['exhausted', 'invalid', 'not-found', 'unsupported', 'forbidden'];

export class Upkeep {
  readonly #deps: UpkeepDeps;
  /** Networks without a subnet for this node, told once. */
  readonly #without = new Set<Id>();
  #doubt = false;

  constructor(deps: UpkeepDeps) {
    this.#deps = deps;
  }

  /** There is a network in which this node has no subnet. */
  get wanting(): boolean {
    return this.#without.size > 0;
  }

  /** There may be entries of this node whose network is no more. */
  doubt(): void {
    this.#doubt = true;
  }

  /** @returns whether the store has moved on meanwhile, and it is to be tried again. @throws what the store throws */
  async ensure(): Promise<boolean> {
    const { state, leasing } = this.#deps;
    let again = false;
    const attempt = async (work: () => Promise<void>): Promise<void> => {
      try {
        await work();
      } catch (error) {
        if (!(error instanceof MoorError && error.kind === 'conflict')) throw error;
        again = true;
      }
    };
    for (const network of [...state.networks()]) await attempt(() => this.#network(network));
    if (this.#doubt) await attempt(() => leasing.dropOrphans().then(() => void (this.#doubt = false)));
    return again;
  }

  async #network(network: Network): Promise<void> {
    const { flannel, leasing, logger } = this.#deps;
    try {
      await (isFlannel(network) ? (await flannel.of(network)).ensure() : leasing.ensure(network));
      this.#without.delete(network.id);
    } catch (error) {
      if (!(error instanceof MoorError && NO_SUBNET.includes(error.kind))) throw error;
      if (this.#without.has(network.id)) return;
      this.#without.add(network.id);
      logger.error({ network: network.name, reason: error.message }, 'cluster: no subnet for this node');
    }
  }
}
