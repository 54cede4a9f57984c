/** Ports as people read them. */
import { familyOf, type IpAddress } from '../base/ip.ts';
import type { PortBinding, PortRange, PortSpec } from './ports.ts';

/** `80`, `8000-8010` */
export const rangeText = ({ from, to }: PortRange): string => (from === to ? String(from) : `${from}-${to}`);

/** An address before a colon: IPv6 in brackets. */
export const hostText = (address: IpAddress): string => (familyOf(address) === 6 ? `[${address}]` : address);

/** `0.0.0.0:8080->80/tcp`, as `docker ps` prints it; `80/tcp (routed, IPv6)`. */
export const bindingText = ({ protocol, hostAddress, hostPorts, containerPorts, routed }: PortBinding): string =>
  routed === true
    ? `${rangeText(containerPorts)}/${protocol} (routed, IPv${familyOf(hostAddress)})`
    : `${hostText(hostAddress)}:${rangeText(hostPorts)}->${rangeText(containerPorts)}/${protocol}`;

/** What `-p` takes: `127.0.0.1:8080:80/tcp`. */
export function specText({ protocol, hostAddress, hostPorts, containerPorts }: PortSpec): string {
  const host = hostPorts === null ? '' : rangeText(hostPorts);
  const before = hostAddress !== null ? `${hostText(hostAddress)}:${host}:` : host === '' ? '' : `${host}:`;
  return `${before}${rangeText(containerPorts)}/${protocol}`;
}

/** Docker's words for a port that is not published; who has named a port of the host is told where it leads. */
export function notPublishedText(
  spec: PortSpec,
  { name, ports }: { readonly name: string; readonly ports: readonly PortBinding[] },
): string {
  const { protocol, containerPorts: named } = spec;
  const says = `No public port '${specText(spec)}' published for ${name}`;
  const leads = ports.find(
    (one) => one.routed !== true && one.protocol === protocol && one.hostPorts.from <= named.from && named.to <= one.hostPorts.to,
  );
  if (spec.hostPorts !== null || leads === undefined) return says;
  const shift = leads.containerPorts.from - leads.hostPorts.from;
  const containerPorts = { from: named.from + shift, to: named.to + shift };
  const host = `port${named.from === named.to ? '' : 's'} ${rangeText(named)} of the host`;
  return `${says}: ${host} lead${named.from === named.to ? 's' : ''} to ${rangeText(containerPorts)}, so it is ${specText({ ...spec, hostPorts: named, containerPorts })}`;
}
