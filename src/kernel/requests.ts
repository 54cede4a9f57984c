/** Changes of links, addresses, routes, rules and neighbours -> netlink messages, with names resolved to indexes. */
import { MoorError } from '../base/errors.ts';
import type { Change, Link, LinkAttributes } from '../contracts/change.ts';
import { addAddress, deleteAddress } from '../netlink/address.ts';
import { addFdb, deleteFdb, replaceFdb } from '../netlink/fdb.ts';
import { addLink, deleteLink, setBridgePort, setLink } from '../netlink/link.ts';
import type { NewLinkKind } from '../netlink/link-spec.ts';
import { deleteNeighbour, setNeighbour } from '../netlink/neighbour.ts';
import { getNsid, setNsid } from '../netlink/nsid.ts';
import type { Request } from '../netlink/request.ts';
import { type RouteSpec, addRoute, appendRoute, deleteRoute, replaceRoute } from '../netlink/route.ts';
import { addRule, deleteRule } from '../netlink/rule.ts';
import { hasCode } from '../sys/errors.ts';
import type { Space, Spaces } from './spaces.ts';

/** What goes to an rtnetlink socket. */
export type RouteChange = Extract<Change, { kind: 'link' | 'link-set' | 'address' | 'route' | 'rule' | 'neighbour' | 'fdb' }>;

type Of<K extends Change['kind']> = Extract<Change, { kind: K }>;

function routeSpec({ route: { device, ...route } }: Of<'route'>, space: Space): RouteSpec {
  return { ...route, ...(device === undefined ? {} : { device: need(space, device) }) };
}

/** A route that is to be added while the one that it follows is still there. @throws as `requestsOf` */
export const besideRequest = (change: Of<'route'>, space: Space): Request =>
  appendRoute(routeSpec(change, space), change.route.device);

/** The message that puts a change in the place of what goes, in one step. @throws as `requestsOf` */
export function replaceRequest(change: Of<'route' | 'neighbour' | 'fdb'>, space: Space): Request {
  switch (change.kind) {
    case 'route':
      return replaceRoute(routeSpec(change, space), change.route.device);
    case 'neighbour': {
      const { device, ...entry } = change.neighbour;
      return setNeighbour({ index: need(space, device), ...entry }, device);
    }
    case 'fdb': {
      const { device, ...entry } = change.entry;
      return replaceFdb({ index: need(space, device), on: fdbTable(entry), ...entry }, device);
    }
  }
}

/**
 * The messages of one change, to be sent in this order. A link to be made gets its index here, so that later messages of the
 * same send can name it.
 * @throws not-found when something it names is not there
 */
export function requestsOf(change: RouteChange, space: Space, spaces: Spaces): readonly Request[] {
  switch (change.kind) {
    case 'link':
      return change.op === 'add' ? newLink(change.link, space, spaces) : removeLink(change.link.name, space);
    case 'link-set':
      return setAttributes(need(space, change.name), change.value, space);
    case 'address': {
      const index = need(space, change.device);
      const options = { nodad: change.nodad, device: change.device };
      return [change.op === 'add' ? addAddress(index, change.address, options) : deleteAddress(index, change.address, options)];
    }
    case 'route': {
      const { device } = change.route;
      const spec = routeSpec(change, space);
      return [change.op === 'add' ? addRoute(spec, device) : deleteRoute(spec, device)];
    }
    case 'rule':
      return [change.op === 'add' ? addRule(change.rule) : deleteRule(change.rule)];
    case 'neighbour': {
      const { device, ...entry } = change.neighbour;
      const index = need(space, device);
      return [
        change.op === 'add'
          ? setNeighbour({ index, ...entry }, device)
          : deleteNeighbour({ index, address: entry.address }, device),
      ];
    }
    case 'fdb': {
      const { device, ...entry } = change.entry;
      const spec = { index: need(space, device), on: fdbTable(entry), ...entry };
      return [change.op === 'add' ? addFdb(spec, device) : deleteFdb(spec, device)];
    }
  }
}

/** A VXLAN device has a table of its own, with destinations; entries of other devices are their bridge's. */
export const fdbTable = (entry: { readonly destination?: unknown }): 'self' | 'master' =>
  entry.destination === undefined ? 'master' : 'self';

/**
 * Indexes for links that are to be made: a positive int. They start at a random place, far from where the kernel counts up from 1, and
 * each is looked up first: messages of the same send name it, and would hit the link of somebody else who had it.
 */
let lastIndex = 0x100000 + Math.floor(Math.random() * 0x1fffffff);
function newIndex(space: Space): number {
  do {
    lastIndex = lastIndex >= 0x7ffffff0 ? 0x100000 : lastIndex + 1;
  } while (space.route.linkName(lastIndex) !== '');
  return lastIndex;
}

function newLink(link: Link, space: Space, spaces: Spaces): Request[] {
  const { name, kind, up, mtu, mac } = link;
  const master = link.master === undefined ? undefined : need(space, link.master);
  const index = newIndex(space);
  const elsewhere = kind.type === 'vxlan' && kind.socket !== undefined && space !== spaces.host;
  const made = addLink({ name, kind: kindOf(kind, space, spaces), index, up: elsewhere ? false : up, mtu, mac, master });
  space.bear(name, index);
  // Before Linux 6.15 it is born where its socket is, and moved: nothing that is moved stays up (dev_change_net_namespace()).
  return [made, ...afterBirth(link, index), ...(elsewhere && up ? [setLink(index, { up })] : [])];
}

/** What a link cannot be born with, its alias and the flags of a bridge port; its group goes with the alias. */
export function afterBirth(link: Link, index: number): Request[] {
  const { alias, group, isolated, hairpin, static: fixed } = link;
  const named = alias === undefined && group === undefined ? [] : [setLink(index, { alias, group })];
  return [...named, ...portFlags(index, { isolated, hairpin, static: fixed })];
}

function portFlags(
  index: number,
  port: { readonly [K in 'isolated' | 'hairpin' | 'static']: LinkAttributes[K] | undefined },
): Request[] {
  const { isolated, hairpin, static: fixed } = port;
  if (isolated === undefined && hairpin === undefined && fixed === undefined) return [];
  const free = fixed === undefined ? undefined : !fixed;
  return [setBridgePort(index, { isolated, hairpin, learning: free, flood: free })];
}

function kindOf(kind: Link['kind'], space: Space, spaces: Spaces): NewLinkKind {
  switch (kind.type) {
    case 'tun':
    case 'tap':
      throw new MoorError('internal', `a ${kind.type} device is not made by rtnetlink`);
    case 'veth': {
      const { netns, ...peer } = kind.peer;
      const other = netns === space.netns ? space : spaces.get(netns);
      const index = newIndex(other);
      other.bear(peer.name, index);
      return { type: 'veth', peer: { ...peer, index, ...(other === space ? {} : { netns: other.namespace.netns }) } };
    }
    case 'macvlan':
      return { ...kind, parent: need(space, kind.parent) };
    case 'vxlan': {
      const { device, socket, ...rest } = kind;
      return {
        ...rest,
        ...(device === undefined ? {} : { device: need(space, device) }),
        ...(socket === undefined || space === spaces.host ? {} : { socketNsid: hostNsid(space, spaces) }),
      };
    }
    case 'bridge':
    case 'dummy':
      return kind;
  }
}

/** The host's namespace as this one numbers it: it gets a number when there is none (a pair of veth devices between the two gives one, too). */
function hostNsid(space: Space, { host }: Spaces): number {
  const ask = (): number | null => space.route.find(getNsid(host.namespace.netns));
  const known = ask();
  if (known !== null) return known;
  try {
    space.route.run(setNsid(host.namespace.netns, -1));
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error;
  }
  const given = ask();
  if (given === null) throw new MoorError('unavailable', `the host's namespace has no id in ${space.netns}`);
  return given;
}

function removeLink(name: string, space: Space): Request[] {
  space.forgetLink(name);
  return [deleteLink(name)];
}

/** In an order that works: a port's flags after it has become one. */
export function setAttributes(index: number, value: LinkAttributes, space: Space): Request[] {
  const { up, mtu, mac, group, isolated, hairpin, static: fixed } = value;
  const master = value.master === undefined ? undefined : value.master === '' ? 0 : need(space, value.master);
  return [
    ...([up, mtu, mac, master, group].every((field) => field === undefined)
      ? []
      : [setLink(index, { up, mtu, mac, master, group })]),
    ...portFlags(index, { isolated, hairpin, static: fixed }),
  ];
}

function need(space: Space, name: string): number {
  const index = space.indexOf(name);
  if (index === null) throw new MoorError('not-found', `no device ${name}`);
  return index;
}
