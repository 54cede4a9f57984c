/** The `routed` driver: networks that span hosts, each with a subnet of its own out of one range, reached by one of several backends. */
import type { NetworkDriver } from '../../contracts/driver.ts';
import type { Network } from '../../model/network.ts';
import { apart, backendOf, checkNetwork, type Deps, localView, planJoin, planNetwork, planPeer, siteOf } from './plan.ts';

const TYPE = 'routed';

/** @param deps.local plans the part on this host, and keeps the host's table: it must be registered itself as well */
export function createRoutedDriver(deps: Deps): NetworkDriver {
  const { local } = deps;
  const { planPorts } = local;
  const view = (network: Network): Network => localView(deps, network, null);
  return {
    type: TYPE,
    capabilities: { ...local.capabilities, scope: 'global' },
    hostInterface: local.hostInterface,
    interfacePrefix: (network) => local.interfacePrefix(view(network)),
    check: (network, others) => {
      checkNetwork(network, others);
      local.check(
        view(network),
        others.map((other) => (other.driver === TYPE ? view(other) : other)),
      );
    },
    planNetwork: (network, host) => planNetwork(deps, network, host),
    planJoin: (network, join, host) => planJoin(deps, network, { join, host }),
    ...(planPorts === undefined ? {} : { planPorts: (network, publish, host) => planPorts(view(network), publish, host) }),
    planPeer: (network, peer, host) => planPeer(deps, network, { peer, host }),
    peerData: (network, host) => {
      const site = siteOf(deps, network, host);
      return backendOf(site).part(site);
    },
    tunnelOf: (network, peers, host) => {
      const site = siteOf(deps, network, host);
      return backendOf(site).tunnel(
        site,
        peers.map((peer) => apart(network, peer).rest),
      );
    },
  };
}
