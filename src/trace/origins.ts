/** Who there is that could ask for a port of this host, and at which of its addresses. */
import { type Family, familyOf, type IpAddress, parseIp } from '../base/ip.ts';
import type { ExposureRequest, Origin } from '../contracts/exposure.ts';
import { type Host, isLinkLocal, valueOfIp } from './host.ts';
import { type Intervals, isEmpty, one } from './intervals.ts';
import type { Device } from './packet.ts';

export interface Asker {
  readonly origin: Origin;
  readonly device: Device | null;
  readonly peer: Intervals;
  readonly address: IpAddress;
}

/** Networks other than the port's own that are looked at one by one: rules that tell one bridge of ours from another are rare. */
const MOST_NETWORKS = 8;

/**
 * @param at address of the binding; `0.0.0.0` and `::` are every address
 * @param bridge of the network that the port leads to; '' when it leads nowhere
 */
export function askers(
  host: Host,
  { networks }: ExposureRequest,
  { at, bridge }: { readonly at: IpAddress; readonly bridge: string },
): readonly Asker[] {
  const family = familyOf(at);
  const any = isAny(at);
  const main = mainAddress(host, family);
  const others = networks.filter((network) => network.bridge !== bridge && host.addresses(family, network.bridge).length > 0);
  const own = new Set(networks.map((network) => network.bridge));
  return [
    ...itself(host, family, { at, any, main }),
    ...outside(host, { family, at, any, main, own }),
    ...others
      .slice(0, MOST_NETWORKS)
      .flatMap((network) => inside(host, { kind: 'network', ...network, family, address: any ? main : at })),
    ...networks
      .filter((network) => network.bridge === bridge)
      .flatMap((network) => inside(host, { kind: 'same', ...network, family, address: any ? main : at })),
  ];
}

/** Every address of its family. */
export const isAny = (address: IpAddress): boolean => address === '0.0.0.0' || address === '::';

/** The address that the host is known by: of the uplink, else of any interface. */
export function mainAddress(host: Host, family: Family): IpAddress | null {
  const uplink = host.uplink(family);
  const names = [
    ...(uplink === null ? [] : [uplink]),
    ...host.state.links.map(({ name }) => name).filter((name) => name !== 'lo'),
  ];
  for (const name of names) {
    const address = host.addresses(family, name).find((candidate) => !isLinkLocal(candidate));
    if (address !== undefined) return address;
  }
  return null;
}

const HOST: Origin = { kind: 'host', name: '', sources: [] };

function itself(
  host: Host,
  family: Family,
  { at, any, main }: { readonly at: IpAddress; readonly any: boolean; readonly main: IpAddress | null },
): readonly Asker[] {
  const localhost = parseIp(family === 4 ? '127.0.0.1' : '::1');
  const addresses = any ? [localhost, ...(main === null ? [] : [main])] : [at];
  return addresses.map((address) => ({
    origin: HOST,
    device: null,
    peer: one(valueOfIp(sourceFor(host, family, address))),
    address,
  }));
}

/** A program that asks an address of its host is seen under it; elsewhere under that of the device that leads there. */
function sourceFor(host: Host, family: Family, address: IpAddress): IpAddress {
  const value = valueOfIp(address);
  if (host.isLocal(family, value)) return address;
  return host.addresses(family, host.routeTo(family, value)?.name ?? '')[0] ?? address;
}

interface Outside {
  readonly family: Family;
  readonly at: IpAddress;
  readonly any: boolean;
  readonly main: IpAddress | null;
  /** Bridges of ours. */
  readonly own: ReadonlySet<string>;
}

function outside(host: Host, { family, at, any, main, own }: Outside): readonly Asker[] {
  const found: Asker[] = [];
  const uplink = host.uplink(family);
  for (const { name, up, master } of host.state.links) {
    if (!up || name === 'lo' || master !== '' || own.has(name)) continue;
    const device = host.device(name);
    const address = any ? (host.addresses(family, name)[0] ?? main) : at;
    if (device === null || address === null) continue;
    const near = host.neighbours(family, name);
    if (!isEmpty(near)) {
      found.push({ origin: { kind: 'interface', name, sources: host.subnets(family, name) }, device, peer: near, address });
    }
    if (name === uplink) {
      const peer = host.elsewhere(family);
      found.push({ origin: { kind: 'interface', name, sources: ['anywhere'] }, device, peer, address });
    }
  }
  return found;
}

interface Inside {
  readonly kind: 'network' | 'same';
  readonly name: string;
  readonly bridge: string;
  readonly family: Family;
  readonly address: IpAddress | null;
}

function inside(host: Host, { kind, name, bridge, family, address }: Inside): readonly Asker[] {
  const device = host.device(bridge);
  const peer = host.neighbours(family, bridge);
  if (device === null || address === null || isEmpty(peer)) return [];
  return [{ origin: { kind, name, sources: host.subnets(family, bridge) }, device, peer, address }];
}
