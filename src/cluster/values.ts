/** What lies under the keys, as text and back. Readers throw `invalid`: anybody who reaches the store may have written it. */
import { invalid } from '../base/errors.ts';
import { type Id, isId } from '../base/ids.ts';
import { familyOf, type IpAddress, parseIp, type Prefix, prefixContains, prefixesOverlap } from '../base/ip.ts';
import { type Mac, parseMac } from '../base/mac.ts';
import { checkHostname, checkNetworkName } from '../model/names.ts';
import type { Network, Pool } from '../model/network.ts';
import type { ClusterNode, NodePart } from '../model/node.ts';
import {
  countOf,
  type Fields,
  fieldsOf,
  flagOf,
  hostAddressOf,
  listOf,
  parseFields,
  prefixIn,
  textOf,
  textsOf,
} from './fields.ts';
import { subnetSpaces } from './spaces.ts';

/** A node, and which of its lives tells it. A later life has a higher generation: milliseconds since 1970, or one more than before. */
export interface NodeValue {
  readonly node: ClusterNode;
  readonly generation: number;
  readonly life: string;
}

/** Whose a subnet is. */
export interface SubnetValue {
  readonly node: string;
  readonly generation: number;
  /** It stays the node's, under no lease. */
  readonly reserved: boolean;
  readonly part: NodePart;
}

/** The end of the year 9999: a generation that is no moment would shut a node out for ever. */
export const GENERATION_MAX = 253_402_300_799_999;
const MTU_MAX = 65_535;
const PORT_MAX = 65_535;

export function nodeText({ node, generation, life }: NodeValue): string {
  const { name: _, ...rest } = node;
  return JSON.stringify({ ...rest, generation, life });
}

export function readNode(name: string, text: string): NodeValue {
  const fields = parseFields(text);
  const addresses = listOf(fields['addresses'], 'addresses', hostAddressOf);
  if (addresses.length === 0 || new Set(addresses.map(familyOf)).size < addresses.length)
    throw invalid(`addresses: ${addresses.join(', ') || 'none'}, one of a family is wanted`);
  return {
    node: {
      name: checkHostname(name),
      addresses,
      mtu: countOf(fields['mtu'], 'mtu', MTU_MAX),
      version: textOf(fields['version'], 'version'),
      features: listOf(fields['features'], 'features', textOf),
      started: textOf(fields['started'], 'started'),
    },
    generation: countOf(fields['generation'], 'generation', GENERATION_MAX),
    life: textOf(fields['life'], 'life'),
  };
}

export function subnetText({ node, generation, reserved, part }: SubnetValue): string {
  return JSON.stringify({ node, generation, ...(reserved ? { reserved } : {}), ...part });
}

/** An operator reserves a subnet with `{"node":"n1","reserved":true}`. */
export function readSubnet(text: string): SubnetValue {
  const fields = parseFields(text);
  return {
    node: checkHostname(textOf(fields['node'], 'node')),
    generation: fields['generation'] === undefined ? 0 : countOf(fields['generation'], 'generation', GENERATION_MAX),
    reserved: fields['reserved'] !== undefined && flagOf(fields['reserved'], 'reserved'),
    part: readPart(fields),
  };
}

function readPart(fields: Fields): NodePart {
  const mac = (name: string): Mac | undefined => (fields[name] === undefined ? undefined : parseMac(textOf(fields[name], name)));
  const vtep4 = mac('vtep4');
  const vtep6 = mac('vtep6');
  const port = fields['port'] === undefined ? undefined : countOf(fields['port'], 'port', PORT_MAX);
  if (port === 0) throw invalid('port: 0 is no port');
  return {
    ...(vtep4 === undefined ? {} : { vtep4 }),
    ...(vtep6 === undefined ? {} : { vtep6 }),
    ...(port === undefined ? {} : { port }),
    inUse: fields['inUse'] !== undefined && flagOf(fields['inUse'], 'inUse'),
  };
}

/** A network that is one segment on all nodes: its pools are decided once, and no node has subnets of its own. */
export const isSegment = ({ ranges }: Pick<Network, 'ranges'>): boolean => ranges === undefined;

/** All that its endpoints can have addresses of. */
export const spaceOf = ({ ranges, pools }: Network): readonly Prefix[] => ranges ?? pools.map(({ subnet }) => subnet);

export function networkText(network: Network): string {
  return JSON.stringify(isSegment(network) ? network : { ...network, pools: [] });
}

export function readNetwork(id: Id, text: string): Network {
  const fields = parseFields(text);
  if (textOf(fields['id'], 'id') !== id) throw invalid(`id: it is under ${id}`);
  const options = textsOf(fields['options'], 'options');
  const ranges = fields['ranges'] === undefined ? undefined : listOf(fields['ranges'], 'ranges', prefixIn);
  if (ranges !== undefined) subnetSpaces(ranges, options);
  return {
    id,
    name: checkNetworkName(textOf(fields['name'], 'name')),
    created: textOf(fields['created'], 'created'),
    driver: textOf(fields['driver'], 'driver'),
    scope: 'global',
    ipv4: flagOf(fields['ipv4'], 'ipv4'),
    ipv6: flagOf(fields['ipv6'], 'ipv6'),
    internal: flagOf(fields['internal'], 'internal'),
    attachable: flagOf(fields['attachable'], 'attachable'),
    options,
    labels: textsOf(fields['labels'], 'labels'),
    ipamDriver: textOf(fields['ipamDriver'], 'ipamDriver'),
    ipamOptions: textsOf(fields['ipamOptions'], 'ipamOptions'),
    pools: ranges === undefined ? poolsIn(fields['pools']) : [],
    ...(ranges === undefined ? {} : { ranges }),
    predefined: false,
  };
}

function poolsIn(value: unknown): readonly Pool[] {
  const pools = listOf(value, 'pools', poolIn);
  if (pools.length === 0) throw invalid('pools: none');
  const clash = pools.find((pool, i) => pools.slice(0, i).some(({ subnet }) => prefixesOverlap(subnet, pool.subnet)));
  if (clash) throw invalid(`pools: ${clash.subnet} overlaps another one`);
  return pools;
}

function poolIn(value: unknown, name: string): Pool {
  const fields = fieldsOf(value, name);
  const subnet = prefixIn(fields['subnet'], `${name}.subnet`);
  const inside = (text: unknown, what: string): IpAddress => {
    const address = parseIp(textOf(text, what));
    if (!prefixContains(subnet, address)) throw invalid(`${what}: ${address} is not in ${subnet}`);
    return address;
  };
  const range = fields['range'] === null ? null : prefixIn(fields['range'], `${name}.range`);
  if (range !== null && !prefixesOverlap(range, subnet)) throw invalid(`${name}.range: ${range} is not in ${subnet}`);
  const auxiliary = Object.entries(fieldsOf(fields['auxiliary'], `${name}.auxiliary`));
  return {
    family: familyOf(subnet),
    subnet,
    gateway: fields['gateway'] === null ? null : inside(fields['gateway'], `${name}.gateway`),
    range,
    auxiliary: Object.fromEntries(auxiliary.map(([key, one]) => [key, inside(one, `${name}.auxiliary.${key}`)])),
    configured: flagOf(fields['configured'], `${name}.configured`),
  };
}

export function readName(text: string): Id {
  if (!isId(text)) throw invalid('no id of a network');
  return text;
}

/** Where a node with these addresses is reached by `self`: on its preferred family that both have. */
export function reachedAt(addresses: readonly IpAddress[], self: ClusterNode): IpAddress | null {
  const families = new Set(self.addresses.map(familyOf));
  return addresses.find((address) => families.has(familyOf(address))) ?? null;
}
