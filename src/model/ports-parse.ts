/**
 * `-p [host-ip:][host-port[-range]:]port[-range][/tcp|udp|sctp]`, as users write it. An IPv6 address stands in brackets. Rules and texts
 * are those of Docker's command line.
 */
import { invalid } from '../base/errors.ts';
import { type IpAddress, isIp, parseIp } from '../base/ip.ts';
import { shown } from '../base/shown.ts';
import type { PortProtocol, PortRange, PortSpec } from './ports.ts';

/** What a port is in every protocol that has them: 16 bits. */
const PORT_MAX = 65_535;
const PROTOCOLS: readonly PortProtocol[] = ['tcp', 'udp', 'sctp'];

/** @throws invalid with Docker's texts */
export function parsePortSpec(text: string): PortSpec {
  const { address, host, container } = split(text);
  const { ports, protocol: word } = splitProtocol(container);
  if (ports === '') throw invalid(`no port specified: ${shown(text)}<empty>`);
  const protocol = parseProtocol(word);
  const hostAddress = parseHostAddress(address);
  const containerPorts = parseRange(ports);
  if (containerPorts === null || containerPorts.from === 0) throw invalid(`invalid containerPort: ${shown(ports)}`);
  return { protocol, hostAddress, containerPorts, hostPorts: parseHostPorts(host, { text: ports, containerPorts }) };
}

/**
 * `80`, `80/udp`, `8000-8010/tcp`: ports of a container alone, as EXPOSE and the keys of Docker's port maps have them.
 * @throws invalid with Docker's texts
 */
export function parseContainerPorts(text: string): { readonly protocol: PortProtocol; readonly containerPorts: PortRange } {
  const { ports, protocol: word } = splitProtocol(text);
  const protocol = parseProtocol(word);
  const containerPorts = parseRange(ports);
  if (containerPorts === null || containerPorts.from === 0) throw invalid(`invalid containerPort: ${shown(ports)}`);
  return { protocol, containerPorts };
}

/**
 * One entry of Docker's PortBindings: `HostIp` and `HostPort`, both may be empty.
 * @param container what the entry's key says
 * @throws invalid with Docker's texts
 */
export function parseBinding(
  container: { readonly protocol: PortProtocol; readonly containerPorts: PortRange },
  { hostIp, hostPort }: { readonly hostIp: string; readonly hostPort: string },
): PortSpec {
  const { from, to } = container.containerPorts;
  const text = from === to ? String(from) : `${from}-${to}`;
  return {
    ...container,
    hostAddress: parseHostAddress(hostIp),
    hostPorts: parseHostPorts(hostPort, { text, containerPorts: container.containerPorts }),
  };
}

/** The last two colons outside of an address part it: what is before them is the address. */
function split(text: string): { readonly address: string; readonly host: string; readonly container: string } {
  const parts = text.split(':');
  const container = parts.pop() ?? '';
  const host = parts.pop() ?? '';
  return { address: parts.join(':'), host, container };
}

function splitProtocol(text: string): { readonly ports: string; readonly protocol: string } {
  const slash = text.indexOf('/');
  if (slash < 0) return { ports: text, protocol: 'tcp' };
  const protocol = text.slice(slash + 1);
  return { ports: text.slice(0, slash), protocol: protocol === '' ? 'tcp' : protocol };
}

function parseProtocol(word: string): PortProtocol {
  const protocol = PROTOCOLS.find((known) => known === word.toLowerCase());
  if (protocol === undefined) throw invalid(`invalid proto: ${shown(word)}`);
  return protocol;
}

function parseHostAddress(text: string): IpAddress | null {
  if (text === '') return null;
  const bare = text.startsWith('[') && text.endsWith(']') ? text.slice(1, -1) : text;
  if (!isIp(bare)) throw invalid(`invalid IP address: ${shown(bare)}`);
  const address = parseIp(bare);
  // Go takes an IPv4 address that is written as an IPv6 one for what it is (RFC 4291 section 2.5.5.2).
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(address)?.[1];
  return mapped === undefined ? address : parseIp(mapped);
}

/** Nothing, or 0: any free one. */
function parseHostPorts(
  text: string,
  container: { readonly text: string; readonly containerPorts: PortRange },
): PortRange | null {
  if (text === '') return null;
  const ports = parseRange(text);
  if (ports === null || (ports.from === 0 && ports.to > 0)) throw invalid(`invalid hostPort: ${shown(text)}`);
  if (ports.from === 0) return null;
  const count = portCount(container.containerPorts);
  if (count !== 1 && count !== portCount(ports)) {
    throw invalid(`invalid ranges specified for container and host Ports: ${shown(container.text)} and ${shown(text)}`);
  }
  return ports;
}

/** null: it is none, or does not end after it begins. */
function parseRange(text: string): PortRange | null {
  const match = /^(\d{1,8})(?:-(\d{1,8}))?$/.exec(text);
  if (match === null) return null;
  const [from, to] = [Number(match[1]), Number(match[2] ?? match[1])];
  return from <= to && to <= PORT_MAX ? { from, to } : null;
}

export const portCount = ({ from, to }: PortRange): number => to - from + 1;
