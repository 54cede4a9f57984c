/**
 * Where things lie in the cluster's store, below its prefix:
 *
 *     nodes/<name>                            a node, under its lease of seconds
 *     networks/<id>                           what all nodes know of a network
 *     names/<name of a network>               its id: a name is taken once
 *     subnets/<id of a network>/10.244.1.0-24 whose subnet it is, under that node's lease of a day; one entry for each family
 *     endpoints/<id of a network>/<id>        an endpoint, under its node's lease of seconds; followed by nodes that take part in the network
 *     pools/10.0.3.0-24, vnis/<number>        the network that has it: one that is one segment on all nodes
 *     locks/segments                          counts the networks made that have such; each is made with a compare-and-swap of it
 *     addresses/<id of a network>/<address>   who has the address, under its node's lease of a day; followed by nobody
 */
import { type Id, isId } from '../base/ids.ts';
import { addressOf, type IpAddress, lengthOf, parsePrefix, type Prefix } from '../base/ip.ts';

/**
 * Folders that every node follows, each with a watch of its own. In the order in which they are listed: a subnet whose network is not in the
 * later listing of networks is that of a network that is no more.
 */
export const FOLDERS = ['subnets/', 'nodes/', 'names/', 'networks/'] as const;

export const nodeKey = (name: string): string => `nodes/${name}`;
export const networkKey = (id: Id): string => `networks/${id}`;
export const nameKey = (name: string): string => `names/${name}`;
export const subnetKey = (network: Id, subnet: Prefix): string => `subnets/${network}/${subnetWord(subnet)}`;

export const POOLS = 'pools/';
export const VNIS = 'vnis/';
export const SEGMENTS_LOCK = 'locks/segments';
export const poolKey = (subnet: Prefix): string => `${POOLS}${subnetWord(subnet)}`;
export const vniKey = (vni: number): string => `${VNIS}${vni}`;
export const endpointsFolder = (network: Id): string => `endpoints/${network}/`;
export const endpointKey = (network: Id, id: Id): string => `${endpointsFolder(network)}${id}`;
export const addressesFolder = (network: Id): string => `addresses/${network}/`;
export const addressKey = (network: Id, address: IpAddress): string => `${addressesFolder(network)}${address}`;

/** `10.244.1.0-24`, as flannel writes it. */
export const subnetWord = (subnet: Prefix): string => `${addressOf(subnet)}-${lengthOf(subnet)}`;

/** @throws invalid unless it is what `subnetWord` makes. */
export function parseSubnetWord(word: string): Prefix {
  return parsePrefix(word.replace('-', '/'));
}

export type Place =
  | { readonly type: 'node'; readonly name: string }
  | { readonly type: 'network'; readonly id: Id }
  | { readonly type: 'name'; readonly name: string }
  | { readonly type: 'subnet'; readonly network: Id; readonly subnet: Prefix };

/** @throws invalid for a key that none of the functions above makes. */
export function placeOf(key: string): Place | null {
  const [folder, first = '', second, ...more] = key.split('/');
  if (first === '' || more.length > 0 || (second === undefined) === (folder === 'subnets')) return null;
  if (folder === 'nodes') return { type: 'node', name: first };
  if (folder === 'names') return { type: 'name', name: first };
  if (!isId(first)) return null;
  if (folder === 'networks') return { type: 'network', id: first };
  if (folder !== 'subnets' || second === undefined) return null;
  const subnet = parseSubnetWord(second);
  // Two ways to write one subnet would be two leases of it.
  return subnetWord(subnet) === second ? { type: 'subnet', network: first, subnet } : null;
}
