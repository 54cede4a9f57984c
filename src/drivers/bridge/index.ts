/** The `bridge` driver: a Linux bridge per network, a veth pair per endpoint. */
import { conflict, forbidden } from '../../base/errors.ts';
import type { DriverCapabilities, NetworkDriver } from '../../contracts/driver.ts';
import { type Instance, tableName } from '../../model/instance.ts';
import type { Network } from '../../model/network.ts';
import { foreignRules } from './foreign.ts';
import { planHost, planReset } from './host.ts';
import { bridgeOf, OPTION, parseOptions } from './options.ts';
import { planJoin, planNetwork, planNetworkRules, tableRef } from './plan.ts';
import { planPorts } from './ports.ts';

const TYPE = 'bridge';
/** Networks of these have a bridge of ours, with the option for its name. */
const WITH_BRIDGE: readonly string[] = [TYPE, 'routed'];

const CAPABILITIES: DriverCapabilities = {
  scope: 'local',
  addressing: true,
  gateway: true,
  creatable: true,
  // BR_PORT_BITS 10 in net/bridge/br_private.h: BR_MAX_PORTS is 1024, and port number 0 is not given out (br_if.c, find_portno()).
  maxEndpoints: { count: 1023, why: 'a Linux bridge has at most 1023 ports (BR_MAX_PORTS)' },
};

export function createBridgeDriver({ instance }: { readonly instance: Instance }): NetworkDriver {
  return {
    type: TYPE,
    capabilities: CAPABILITIES,
    hostInterface: true,
    check,
    planHost: (host) => planHost(tableRef(instance), host),
    planHostStale: (host) => foreignRules(host, { owner: tableName(instance), policy: 'accept', op: 'remove' }),
    planReset,
    namedBridge: ({ options }) => options[OPTION.name] || null,
    planNetwork: (network, host) => planNetwork(instance, network, host),
    planNetworkRules: (network) => planNetworkRules(instance, network),
    planJoin: (network, join, facts) => planJoin(instance, network, { ...join, facts }),
    planPorts: (network, publish, facts) => planPorts(tableRef(instance), network, { ...publish, facts }),
    interfacePrefix: (network) => parseOptions(network).prefix,
  };
}

function check(network: Network, others: readonly Network[]): void {
  const { bridge } = parseOptions(network);
  for (const family of [4, 6]) {
    // A sandbox gets one address of each family; Docker's text.
    if (network.pools.filter((pool) => pool.family === family).length > 1) {
      throw forbidden("bridge driver doesn't support multiple subnets");
    }
  }
  for (const other of others) {
    if (other.id === network.id || !WITH_BRIDGE.includes(other.driver) || bridgeOf(other) !== bridge) continue;
    throw conflict(
      `cannot create network ${network.id} (${bridge}): conflicts with network ${other.id} (${bridge}): networks have same bridge name`,
    );
  }
}
