/** `--link` on the default network, which has no names service: lines of the hosts file, as Docker writes them. */
import { conflict, invalid } from '../../base/errors.ts';
import { addressOf } from '../../base/ip.ts';
import type { Container } from '../../model/container.ts';
import { parseLink } from '../../model/dns-names.ts';
import type { ExtraHost } from '../../model/sandbox.ts';
import { sandboxOf } from './attachments.ts';
import type { Context } from './context.ts';
import { networkMode } from './network-mode.ts';
import { isUp } from './registry.ts';

const DEFAULT_NETWORK = 'bridge';

/** Elsewhere they are the endpoint's (`EndpointSpec.links`), and of HostConfig Docker looks at them here alone. */
const onDefault = ({ hostConfig }: Pick<Container, 'hostConfig'>): boolean => {
  const mode = networkMode(hostConfig.NetworkMode);
  return mode.type === 'networks' && mode.first === DEFAULT_NETWORK;
};

/** At creation. @throws invalid with Docker's texts */
export function checkLinks(ctx: Context, container: Pick<Container, 'hostConfig'>): void {
  for (const text of container.hostConfig.Links) {
    const { name } = parseLink(text);
    if (!onDefault(container)) continue;
    const other = ctx.registry.lookup(name);
    if (other === undefined) throw invalid(`could not get container for ${name}: No such container: ${name}`);
    if (networkMode(other.container.hostConfig.NetworkMode).type === 'host') {
      throw invalid(
        "conflicting options: host type networking can't be used with links. This would result in undefined behavior",
      );
    }
  }
}

/** At the start. @throws conflict when one does not run; invalid when it is on other networks only; Docker's texts */
export function linkedHosts(ctx: Context, container: Container): ExtraHost[] {
  if (!onDefault(container)) return [];
  return container.hostConfig.Links.flatMap((text) => {
    const { name, alias } = parseLink(text);
    const other = ctx.registry.find(name).container;
    if (!isUp(other.state)) {
      throw conflict(`Cannot link to a non running container: /${other.name} AS /${container.name}/${alias}`);
    }
    const network = ctx.engine.networks.get(DEFAULT_NETWORK);
    const endpoint = sandboxOf(ctx, other.id)?.endpoints.find(({ networkId }) => networkId === network.id);
    if (endpoint === undefined) throw invalid(`Cannot link to /${other.name}, as it does not belong to the default network`);
    const names = [...new Set([alias, other.config.Hostname, other.name])].join(' ');
    return [endpoint.ipv4, endpoint.ipv6].flatMap((address) =>
      address === null ? [] : [{ name: names, address: addressOf(address) }],
    );
  });
}
