/** The `overlay` driver: one layer-2 segment over many hosts, in VXLAN, with nothing learned and nothing flooded. */
import type { NetworkDriver } from '../../contracts/driver.ts';
import type { Instance } from '../../model/instance.ts';
import { parseOptions } from './options.ts';
import { checkNetwork, planAnnounce, planJoin, planNetwork, planRemote, siteOf } from './plan.ts';

export function createOverlayDriver({ instance }: { readonly instance: Instance }): NetworkDriver {
  return {
    type: 'overlay',
    capabilities: {
      scope: 'global',
      addressing: true,
      gateway: true,
      creatable: true,
      onDemand: true,
      // As of the bridge driver, less one.
      maxEndpoints: {
        count: 1022,
        why: 'a Linux bridge has at most 1023 ports (BR_MAX_PORTS), one of which leads to the other hosts',
      },
    },
    hostInterface: true,
    check: checkNetwork,
    planNetwork: (network, host) => planNetwork(siteOf(instance, network, host)),
    planJoin: (network, join, host) => planJoin(instance, siteOf(instance, network, host), join),
    planRemote: (network, endpoint, host) => planRemote(siteOf(instance, network, host), endpoint),
    planAnnounce: (network, endpoint, host) => planAnnounce(siteOf(instance, network, host), endpoint),
    interfacePrefix: (network) => parseOptions(network).prefix,
    needsWayOut: (network) => !network.internal,
  };
}
