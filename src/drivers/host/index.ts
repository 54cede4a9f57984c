/** The `host` driver, of which the network `host` is the only one: the host's own network stack; a sandbox on it has no namespace of its own. */
import { forbidden } from '../../base/errors.ts';
import type { NetworkDriver } from '../../contracts/driver.ts';
import type { Network } from '../../model/network.ts';
import { parseOptions } from './options.ts';
import { planJoin, planNetwork } from './plan.ts';

const TYPE = 'host';

export function createHostDriver(): NetworkDriver {
  return {
    type: TYPE,
    capabilities: {
      scope: 'local',
      addressing: false,
      gateway: false,
      creatable: false,
      maxEndpoints: { count: Number.POSITIVE_INFINITY, why: 'it uses no device of the kernel' },
    },
    hostInterface: false,
    check,
    planNetwork,
    planJoin,
    interfacePrefix: () => '',
  };
}

/** @throws forbidden, with Docker's text, beside another one; invalid for any option. */
function check(network: Network, others: readonly Network[]): void {
  if (others.some((other) => other.driver === TYPE && other.id !== network.id)) {
    throw forbidden(`only one instance of "${TYPE}" network is allowed`);
  }
  parseOptions(network);
}
