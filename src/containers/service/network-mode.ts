/** `--network`, and what it does not go together with. Docker's words (its runconfig). */
import { invalid } from '../../base/errors.ts';
import type { ContainerSpec } from '../../contracts/containers.ts';
import type { Container } from '../../model/container.ts';

export type NetworkMode =
  | { readonly type: 'host' }
  | { readonly type: 'none' }
  | { readonly type: 'container'; readonly reference: string }
  | { readonly type: 'networks'; readonly first: string };

const DEFAULT_NETWORK = 'bridge';

/** @throws invalid */
export function networkMode(text: string): NetworkMode {
  if (text === '' || text === 'default') return { type: 'networks', first: DEFAULT_NETWORK };
  if (text === 'host' || text === 'none') return { type: text };
  if (text === 'container') throw invalid('Invalid network mode: invalid container format container:<name|id>');
  if (!text.startsWith('container:')) return { type: 'networks', first: text };
  const reference = text.slice('container:'.length);
  if (reference === '') throw invalid('Invalid network mode: invalid container format container:<name|id>');
  return { type: 'container', reference };
}

/** @throws invalid */
export function checkNetworkMode({ config, hostConfig, networks }: ContainerSpec): NetworkMode {
  const mode = networkMode(hostConfig.NetworkMode);
  const published = Object.values(hostConfig.PortBindings).some((bindings) => bindings.length > 0);
  if (hostConfig.UTSMode === 'host' && config.Hostname !== '') throw invalid('conflicting options: hostname and the UTS mode');
  if (mode.type === 'host' && hostConfig.Links.length > 0) {
    throw invalid("conflicting options: host type networking can't be used with links. This would result in undefined behavior");
  }
  if (mode.type === 'container') {
    if (config.Hostname !== '') throw invalid('conflicting options: hostname and the network mode');
    if (hostConfig.Links.length > 0) {
      throw invalid(
        "conflicting options: container type network can't be used with links. This would result in undefined behavior",
      );
    }
    if (hostConfig.Dns.length > 0) throw invalid('conflicting options: dns and the network mode');
    if (hostConfig.ExtraHosts.length > 0) throw invalid('conflicting options: custom host-to-IP mapping and the network mode');
    if (networks.some(({ endpoint }) => endpoint.mac !== undefined)) {
      throw invalid('conflicting options: mac-address and the network mode');
    }
    if (published) throw invalid('conflicting options: port publishing and the container type network mode');
    if (Object.keys(config.ExposedPorts ?? {}).length > 0) {
      throw invalid('conflicting options: port exposing and the container type network mode');
    }
    if (networks.some(({ network }) => network !== hostConfig.NetworkMode)) {
      throw invalid(
        'container sharing network namespace with another container or host cannot be connected to any other network',
      );
    }
  }
  return mode;
}

/** The networks to attach to, the one of the mode first. */
export function networksOf(mode: NetworkMode, { networks }: ContainerSpec): Container['networks'] {
  const named = networks.map(({ network, endpoint }) => ({
    network: network === 'default' ? DEFAULT_NETWORK : network,
    endpoint,
  }));
  if (mode.type === 'container') return [];
  const first = mode.type === 'networks' ? mode.first : mode.type;
  const own = named.find(({ network }) => network === first);
  return [own ?? { network: first, endpoint: {} }, ...named.filter((one) => one !== own)];
}
