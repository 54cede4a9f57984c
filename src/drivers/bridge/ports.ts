/** Published ports as changes: elements of the maps in ports-table.ts, and what goes with them. */
import { addressOf, familyOf, type IpAddress } from '../../base/ip.ts';
import { type Change, HOST } from '../../contracts/change.ts';
import type { HostFacts } from '../../contracts/kernel.ts';
import type { Network } from '../../model/network.ts';
import type { PortBinding, PortRange } from '../../model/ports.ts';
import type { Endpoint } from '../../model/sandbox.ts';
import type { NftElement, NftTableRef } from '../../nft/types.ts';
import { parseOptions } from './options.ts';
import { MAPS, OPEN } from './ports-table.ts';
import { add } from './table.ts';

export interface Publish {
  readonly endpoint: Endpoint;
  readonly ports: readonly PortBinding[];
}

/**
 * A binding of a family that the endpoint has no address of leads nowhere, and makes nothing. Elements are as many as bindings, but for
 * shifted ranges (nf_tables cannot add) and short ones, which have one a port.
 */
export function planPorts(
  table: NftTableRef,
  network: Network,
  { endpoint, ports, facts }: Publish & { readonly facts: HostFacts },
): Change[] {
  const { bridge, gatewayMode, trusted } = parseOptions(network);
  /** By set and key: two ports of the host may lead to one of the sandbox, which is then open once. */
  const elements = new Map<string, NftElement>();
  let translated = false;
  let localhost = false;
  for (const binding of ports) {
    const target = targetOf(endpoint, binding);
    if (target === null) continue;
    const mode = gatewayMode[familyOf(target)];
    const routed = mode === 'routed';
    const list = [
      ...(routed ? [] : bindingElements(binding, target)),
      ...(routed || trusted.length > 0 ? openElements(binding, target) : []),
    ];
    for (const element of list) elements.set(`${element.set} ${element.key}`, element);
    translated ||= !routed;
    localhost ||= !routed && reachesLocalhost(binding.hostAddress);
  }
  return [
    ...(localhost ? [routeLocalnet(bridge)] : []),
    ...(translated && facts.bridgeNf === true ? [hairpin(endpoint.hostInterfaceName)] : []),
    ...[...elements.values()].map((element) => add(table, element)),
  ];
}

function targetOf(endpoint: Endpoint, { hostAddress }: PortBinding): IpAddress | null {
  const own = familyOf(hostAddress) === 4 ? endpoint.ipv4 : endpoint.ipv6;
  return own === null ? null : addressOf(own);
}

function bindingElements({ protocol, hostAddress, hostPorts, containerPorts }: PortBinding, target: IpAddress): NftElement[] {
  const maps = MAPS[familyOf(hostAddress)];
  const any = isAny(hostAddress);
  const where = any ? protocol : `${protocol} . ${hostAddress}`;
  if (hostPorts.from === containerPorts.from && !isShort(hostPorts)) {
    return [{ set: any ? maps.range : maps.rangeAt, key: `${where} . ${hostPorts.from}-${hostPorts.to}`, value: target }];
  }
  const shift = containerPorts.from - hostPorts.from;
  return each(hostPorts, (port) => ({
    set: any ? maps.port : maps.portAt,
    key: `${where} . ${port}`,
    value: `${target} . ${port + shift}`,
  }));
}

/** Ports that are open at the sandbox's own address. */
function openElements({ protocol, containerPorts }: PortBinding, target: IpAddress): NftElement[] {
  const sets = OPEN[familyOf(target)];
  const where = `${protocol} . ${target}`;
  return isShort(containerPorts)
    ? each(containerPorts, (port) => ({ set: sets.port, key: `${where} . ${port}` }))
    : [{ set: sets.range, key: `${where} . ${containerPorts.from}-${containerPorts.to}` }];
}

/**
 * Two ports side by side are no range worth an element of an interval map: to take one out costs 9 us for each range that is there
 * (pipapo_remove() goes through them), and a hash map does not care. Measured at 3,000.
 */
const isShort = ({ from, to }: PortRange): boolean => to - from < SHORT;
const SHORT = 4;

const each = ({ from, to }: PortRange, element: (port: number) => NftElement): NftElement[] =>
  Array.from({ length: to - from + 1 }, (_, at) => element(from + at));

const isAny = (address: IpAddress): boolean => address === '0.0.0.0' || address === '::';

/** 127.0.0.0/8 is the host's whole, RFC 1122 section 3.2.1.3. */
const reachesLocalhost = (address: IpAddress): boolean => address === '0.0.0.0' || address.startsWith('127.');

/**
 * Lets the bridge send packets from 127.0.0.1 (which postrouting masquerades afterwards) and take the answers. What comes from the wire
 * with such an address is dropped (ports-table.ts: `outside`, `localhost`). Left on (`old: null`) as long as the bridge lives: other ports may count on it.
 */
const routeLocalnet = (bridge: string): Change => ({
  kind: 'sysctl',
  netns: HOST,
  key: `net/ipv4/conf/${bridge}/route_localnet`,
  value: '1',
  old: null,
});

/**
 * With bridge-nf-call-iptables, br_netfilter rewrites a frame while it is bridged, and one that leads back to its sender then has to leave by the
 * port it came in. Not undone (`old: {}`): other ports of the endpoint may count on it, and it ends with the device.
 */
const hairpin = (name: string): Change => ({ kind: 'link-set', netns: HOST, name, value: { hairpin: true }, old: {} });
