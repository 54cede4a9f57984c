/** `--add-host`: lines of the hosts file, one of which may mean this host. */
import { invalid, MoorError } from '../../base/errors.ts';
import { isIp } from '../../base/ip.ts';
import { shown } from '../../base/shown.ts';
import type { Engine } from '../../contracts/engine.ts';
import type { ExtraHost } from '../../model/sandbox.ts';

const HOST_GATEWAY = 'host-gateway';

/** `name:address`, the address with or without brackets. @throws invalid with Docker's texts */
export function parseExtraHost(text: string): ExtraHost {
  const at = text.search(/[:=]/);
  const name = text.slice(0, Math.max(at, 0));
  const address = text.slice(at + 1).replace(/^\[(.*)\]$/, '$1');
  if (at < 1 || /\s/.test(name)) throw invalid(`bad format for add-host: "${shown(text)}"`);
  if (address !== HOST_GATEWAY && !isIp(address)) throw invalid(`invalid IP address in add-host: "${shown(address)}"`);
  return { name, address };
}

/** @throws unavailable when the default network has no gateway that `host-gateway` could mean */
export function resolveExtraHosts(engine: Engine, entries: readonly string[]): ExtraHost[] {
  return entries.map(parseExtraHost).flatMap(({ name, address }) => {
    if (address !== HOST_GATEWAY) return [{ name, address }];
    const gateways = engine.networks.get('bridge').pools.flatMap(({ gateway }) => gateway ?? []);
    if (gateways.length === 0) throw new MoorError('unavailable', 'unable to derive the IP value for host-gateway');
    return gateways.map((gateway) => ({ name, address: gateway }));
  });
}
