/** Drivers that leave the kernel alone: the network is there already, or there is none. The daemon makes one network of each such kind. */
import { forbidden, invalid } from '../base/errors.ts';
import type { NetworkDriver } from '../contracts/driver.ts';
import type { Network } from '../model/network.ts';

/** @param type Docker's word for the kind */
export function createBareDriver(type: string): NetworkDriver {
  return {
    type,
    capabilities: {
      scope: 'local',
      addressing: false,
      gateway: false,
      creatable: false,
      maxEndpoints: { count: Number.POSITIVE_INFINITY, why: 'it uses no device of the kernel' },
    },
    hostInterface: false,
    check: (network, others) => check(type, network, others),
    planNetwork: () => [],
    planJoin: () => ({ changes: [], gateway4: null, gateway6: null }),
    interfacePrefix: () => '',
  };
}

/** @throws forbidden, with Docker's text, beside another one; invalid for any option. */
function check(type: string, network: Network, others: readonly Network[]): void {
  if (others.some((other) => other.driver === type && other.id !== network.id)) {
    throw forbidden(`only one instance of "${type}" network is allowed`);
  }
  const [option] = Object.keys(network.options);
  if (option !== undefined) throw invalid(`unknown option ${option} for driver ${type}: it has none`);
}
