/** From what a user asked of an endpoint to a complete one: checks with Docker's texts, addresses, names. */
import { conflict, exhausted, forbidden, invalid, MoorError } from '../base/errors.ts';
import { type Id, newId, shortId } from '../base/ids.ts';
import {
  addressOf,
  type Family,
  familyOf,
  type IfAddress,
  type IpAddress,
  isIp,
  lengthOf,
  parseIp,
  prefixContains,
  withLength,
} from '../base/ip.ts';
import { macFromIpv4, type Mac, parseMac, randomMac } from '../base/mac.ts';
import { shown } from '../base/shown.ts';
import { checkAlias, parseLink } from '../model/dns-names.ts';
import { checkInterfaceName, hostVethName } from '../model/names.ts';
import type { Network, Pool } from '../model/network.ts';
import type { Endpoint, EndpointSpec, Sandbox } from '../model/sandbox.ts';
import { type Context, driverOf, ipamOf, type Undo } from './context.ts';
import { endpointSysctls } from './endpoint-options.ts';

/** @throws invalid with Docker's texts, all of them at once, a line each. */
export function checkEndpointSpec(network: Network, spec: EndpointSpec): void {
  const problems: string[] = [];
  const problem = (check: () => unknown): void => {
    try {
      check();
    } catch (error) {
      problems.push(error instanceof Error ? error.message : String(error));
    }
  };
  const fixed = spec.ipv4 !== undefined || spec.ipv6 !== undefined;
  if (network.predefined && fixed) problems.push('user specified IP address is supported on user defined networks only');
  if (network.predefined && (spec.aliases?.length ?? 0) > 0) {
    problems.push('network-scoped alias is supported only for containers in user defined networks');
  }
  if (spec.ipv4 !== undefined) problem(() => checkFixed(network, 4, spec.ipv4 ?? ''));
  if (spec.ipv6 !== undefined) problem(() => checkFixed(network, 6, spec.ipv6 ?? ''));
  for (const alias of spec.aliases ?? []) problem(() => checkAlias(alias));
  for (const link of spec.links ?? []) problem(() => checkAlias(parseLink(link).alias));
  if (spec.mac !== undefined) problem(() => parseMac(spec.mac ?? ''));
  // Docker's text of API versions before 1.44; later ones take a MAC address for nothing without a word.
  if (spec.mac !== undefined && !hasInterface(network)) problems.push('conflicting options: mac-address and the network mode');
  if (spec.interfaceName !== undefined && !hasInterface(network)) {
    problems.push('conflicting options: interface name and the network mode');
  }
  if (spec.interfaceName !== undefined) problem(() => checkInterfaceName(spec.interfaceName ?? ''));
  problem(() => endpointSysctls(spec.options ?? {}));
  if (spec.gatewayPriority !== undefined && !Number.isSafeInteger(spec.gatewayPriority)) {
    problems.push(`invalid gateway priority: ${spec.gatewayPriority}: it must be a whole number`);
  }
  if (problems.length > 0) throw invalid(`invalid endpoint settings:\n${joined(problems)}`);
}

/** The networks `host` and `none` give a sandbox nothing that could have a name or a MAC address. */
const hasInterface = ({ driver }: Network): boolean => driver !== 'host' && driver !== 'null';

/** The format of moby's internal/multierror. */
const joined = (problems: readonly string[]): string =>
  problems.length === 1 ? (problems[0] ?? '') : problems.map((one) => `* ${one}`).join('\n');

function checkFixed(network: Network, family: Family, text: string): void {
  const address = isIp(text) ? parseIp(text) : null;
  if (address === null || familyOf(address) !== family || address === '0.0.0.0' || address === '::') {
    throw invalid(`invalid IPv${family} address: ${shown(text)}`);
  }
  const configured = network.pools.filter((pool) => pool.family === family && pool.configured);
  if (configured.some((pool) => prefixContains(pool.subnet, address))) return;
  throw invalid(
    network.pools.some((pool) => pool.configured)
      ? `no configured subnet or ip-range contain the IP address ${address}`
      : 'user specified IP address is supported only when connecting to networks with user configured subnets',
  );
}

/** Which networks may stand beside which. @throws with Docker's texts. */
export function checkCombination(ctx: Context, sandbox: Sandbox, network: Network): void {
  if (sandbox.netns.type === 'host' && (network.driver !== 'host' || sandbox.endpoints.length > 0)) {
    throw invalid('container sharing network namespace with another container or host cannot be connected to any other network');
  }
  if (network.driver === 'host' && sandbox.netns.type !== 'host') {
    throw invalid('cannot connect container to host network - container must be created in host network mode');
  }
  if (sandbox.endpoints.some(({ networkId }) => networkId === network.id)) {
    throw forbidden(`endpoint with name ${sandbox.name} already exists in network ${network.name}`);
  }
  const alone = (driver: string | undefined): boolean => driver === 'null';
  const other = sandbox.endpoints[0];
  if (other !== undefined && (alone(network.driver) || alone(ctx.registry.networks.get(other.networkId)?.driver))) {
    throw invalid('container cannot be connected to multiple networks with one of the networks in private (none) mode');
  }
}

/** What may collide inside a sandbox, and how full a network is. @throws conflict, exhausted. */
export function checkRoom(
  ctx: Context,
  attach: { readonly sandbox: Sandbox; readonly network: Network; readonly taken: readonly string[] },
  spec: EndpointSpec,
): void {
  const { sandbox, network, taken } = attach;
  const used = (name: string): boolean => taken.includes(name) || sandbox.endpoints.some((one) => one.interfaceName === name);
  if (spec.interfaceName !== undefined && used(spec.interfaceName)) {
    throw conflict(
      `Cannot connect ${sandbox.name} to network ${network.name}: interface name ${spec.interfaceName} is in use in the sandbox`,
    );
  }
  const mac = spec.mac === undefined ? undefined : parseMac(spec.mac);
  if (mac !== undefined && sandbox.endpoints.some((one) => one.mac === mac)) {
    throw conflict(`Cannot connect ${sandbox.name} to network ${network.name}: MAC address ${mac} is in use in the sandbox`);
  }
  const { count, why } = driverOf(ctx, network.driver).capabilities.maxEndpoints;
  if (ctx.registry.ports(network.id) >= count) {
    throw exhausted(
      `Cannot connect ${sandbox.name} to network ${network.name}: it has ${count} endpoints, and no more fit: ${why}`,
    );
  }
}

/** The lowest free `<prefix>N`; '' for a driver that makes no interface. */
export function nextInterfaceName(prefix: string, used: (name: string) => boolean): string {
  if (prefix === '') return '';
  for (let n = 0; ; n++) if (!used(`${prefix}${n}`)) return `${prefix}${n}`;
}

/** @param taken names of interfaces that are in the namespace without being ours (adopted ones). */
export interface BuildInput {
  readonly sandbox: Sandbox;
  readonly network: Network;
  readonly spec: EndpointSpec;
  readonly taken: readonly string[];
  /** Nobody asked for it. */
  readonly automatic?: boolean;
}

/**
 * Reserves addresses and completes an endpoint. The specification must have been checked.
 * @throws conflict `Address already in use`, exhausted.
 */
export async function buildEndpoint(ctx: Context, input: BuildInput, undo: Undo): Promise<Endpoint> {
  const { sandbox, network, spec, taken, automatic = false } = input;
  const driver = driverOf(ctx, network.driver);
  const id = newEndpointId(ctx);
  const { addressing } = driver.capabilities;
  const owner = addressOwner(sandbox);
  const ipv4 = addressing && network.ipv4 ? await allocate(ctx, { network, family: 4, owner, wish: spec.ipv4 }, undo) : null;
  const ipv6 = addressing && network.ipv6 ? await allocate(ctx, { network, family: 6, owner, wish: spec.ipv6 }, undo) : null;
  const prefix = driver.interfacePrefix(network);
  const used = (name: string): boolean => taken.includes(name) || sandbox.endpoints.some((one) => one.interfaceName === name);
  return {
    id,
    networkId: network.id,
    sandboxId: sandbox.id,
    created: createdAfter(sandbox.endpoints.at(-1), ctx.clock.now()),
    interfaceName: prefix === '' ? '' : (spec.interfaceName ?? nextInterfaceName(prefix, used)),
    hostInterfaceName: driver.hostInterface ? hostVethName(id) : '',
    mac: prefix === '' ? null : macOf(sandbox, spec, ipv4),
    ipv4,
    ipv6,
    requested: {
      ...(spec.ipv4 === undefined ? {} : { ipv4: spec.ipv4 }),
      ...(spec.ipv6 === undefined ? {} : { ipv6: spec.ipv6 }),
      ...(spec.mac === undefined ? {} : { mac: spec.mac }),
      ...(spec.interfaceName === undefined ? {} : { interfaceName: spec.interfaceName }),
    },
    aliases: spec.aliases ?? [],
    ...(spec.links === undefined || spec.links.length === 0 ? {} : { links: spec.links }),
    gatewayPriority: spec.gatewayPriority ?? 0,
    options: spec.options ?? {},
    ...(automatic ? { automatic } : {}),
  };
}

/** The order of a sandbox's endpoints is that of their times of creation, so no two have the same. */
function createdAfter(last: Endpoint | undefined, now: number): string {
  return new Date(last === undefined ? now : Math.max(now, Date.parse(last.created) + 1)).toISOString();
}

/** The host end's name holds 28 bits of the id: take another one rather than a name that is in use. */
function newEndpointId(ctx: Context): Id {
  for (;;) {
    const id = newId();
    if (ctx.registry.linkOwner(hostVethName(id)) === undefined) return id;
  }
}

function macOf(sandbox: Sandbox, spec: EndpointSpec, ipv4: IfAddress | null): Mac {
  if (spec.mac !== undefined) return parseMac(spec.mac);
  const derived = ipv4 === null ? null : macFromIpv4(addressOf(ipv4));
  // Two networks of one sandbox may use the same subnet size and host part only by chance, but then a random one it is.
  return derived !== null && !sandbox.endpoints.some(({ mac }) => mac === derived) ? derived : randomMac();
}

interface Allocation {
  readonly network: Network;
  readonly family: Family;
  readonly owner: string;
  readonly wish: string | undefined;
}

async function allocate(ctx: Context, { network, family, owner, wish }: Allocation, undo: Undo): Promise<IfAddress> {
  const ipam = ipamOf(ctx, network.ipamDriver);
  const pools = network.pools.filter((pool) => pool.family === family);
  const take = async (pool: Pool, address?: IpAddress): Promise<IfAddress> => {
    const given = await ipam.requestAddress({ subnet: pool.subnet, owner, ...(address === undefined ? {} : { address }) });
    undo.defer(() => ipam.releaseAddress(pool.subnet, given, { unused: true }));
    return withLength(given, lengthOf(pool.subnet));
  };
  if (wish !== undefined) {
    const address = parseIp(wish);
    const pool = pools.find(({ subnet }) => prefixContains(subnet, address));
    if (pool === undefined) throw invalid(`no configured subnet or ip-range contain the IP address ${address}`);
    return take(pool, address);
  }
  let full: MoorError | undefined;
  for (const pool of pools) {
    try {
      return await take(pool);
    } catch (error) {
      if (!(error instanceof MoorError) || error.kind !== 'exhausted') throw error;
      full = error;
    }
  }
  throw full ?? exhausted(`network ${network.name} has no IPv${family} subnet`);
}

/**
 * Who holds an address, in words that errors show; the space tells it from the roles `gateway` and `aux:name`. A container is told by
 * its id, because its name can go to another one.
 */
export const addressOwner = ({ id, name, managed }: Sandbox): string =>
  managed === true ? `container ${shortId(id)}` : `sandbox ${name}`;

/** Gives an endpoint's addresses back. */
export async function releaseEndpoint(ctx: Context, network: Network, endpoint: Endpoint): Promise<void> {
  const ipam = ipamOf(ctx, network.ipamDriver);
  for (const address of [endpoint.ipv4, endpoint.ipv6]) {
    if (address === null) continue;
    const pool = network.pools.find(({ subnet }) => prefixContains(subnet, addressOf(address)));
    if (pool !== undefined) await ipam.releaseAddress(pool.subnet, addressOf(address));
  }
}
