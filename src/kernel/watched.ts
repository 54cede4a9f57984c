/**
 * What a watched namespace should look like: as it was when the watch began, and as our own changes left it. A notification that
 * agrees says nothing new, be it an echo of ours or the kernel's chatter (carrier, bridge port states); one that does not is news.
 */
import { type IpAddress, type Prefix, addressOf, familyOf, prefixContains } from '../base/ip.ts';
import type { Change, LinkAttributes, Netns } from '../contracts/change.ts';
import type { KernelEvent } from '../contracts/kernel.ts';
import { dumpAddresses } from '../netlink/address.ts';
import { dumpLinks } from '../netlink/link.ts';
import type { RouteEvent } from '../netlink/monitor.ts';
import { dumpRoutes } from '../netlink/route.ts';
import type { NetlinkSocket } from '../netlink/socket.ts';
import type { Space } from './spaces.ts';

interface LinkMark {
  readonly name: string;
  readonly up: boolean;
  /** Index, 0 = none. */
  readonly master: number;
  readonly alias: string;
  /** Bytes; 0 = not known yet, what is told first is right. */
  readonly mtu: number;
}

interface RouteMark {
  readonly index: number;
  readonly destination: Prefix;
  readonly via: IpAddress | null;
  /** RTPROT_KERNEL: it came with an address, and goes with it. */
  readonly kernel: boolean;
}

const RTPROT_KERNEL = 2;
const RT_TABLE_LOCAL = 255;
const RT_TABLE_MAIN = 254;
/** IP6_RT_PRIO_USER: what the kernel gives an IPv6 route that names no metric. */
const METRIC6 = 1024;

/** fe80::/10: the kernel makes and removes them with the link. */
const isLinkLocal = (address: IpAddress): boolean => /^fe[89ab]/.test(address);

export class Watched {
  readonly netns: Netns;
  readonly #links = new Map<number, LinkMark>();
  readonly #addresses = new Map<string, number>();
  readonly #routes = new Map<string, RouteMark>();
  /**
   * Indexes of links that a change of ours removed and whose end has not been told yet: a removal is over for us when one end of a pair is gone
   * (netlink/delete-links.ts), and what still comes of the other says how the kernel takes it down.
   */
  readonly #leaving = new Set<number>();

  /** Routes that a change of ours removed and whose end has not been told yet: one that takes their place is there before (batch.ts). */
  readonly #leavingRoutes = new Set<string>();

  /** Indexes of VXLAN devices: their entries are watched, too. */
  readonly #tunnels = new Set<number>();

  constructor(netns: Netns) {
    this.netns = netns;
  }

  get hasTunnels(): boolean {
    return this.#tunnels.size > 0;
  }

  /** What changed about the entries of a VXLAN device; null for any other device's. */
  compareEntry(index: number): KernelEvent | null {
    return this.#tunnels.has(index) ? { type: 'neighbour', netns: this.netns, device: this.#name(index) } : null;
  }

  /** Reads everything anew. */
  load(route: NetlinkSocket): void {
    this.#links.clear();
    this.#addresses.clear();
    this.#routes.clear();
    this.#leaving.clear();
    this.#leavingRoutes.clear();
    this.#tunnels.clear();
    for (const { index, name, up, master, alias, mtu, type } of route.collect(dumpLinks())) {
      this.#links.set(index, { name, up, master, alias, mtu });
      if (type === 'vxlan') this.#tunnels.add(index);
    }
    for (const { index, address } of route.collect(dumpAddresses()))
      this.#addresses.set(addressKey(index, addressOf(address)), index);
    for (const family of [4, 6] as const) {
      for (const { device: index = 0, destination, table, metric = 0, via = null, protocol } of route.collect(
        dumpRoutes(family),
      )) {
        const kernel = protocol === RTPROT_KERNEL;
        this.#routes.set(routeKey({ table, destination, metric, index }), { index, destination, via, kernel });
      }
    }
  }

  /** Compares a notification, and takes it over. @returns what is new in it, null for nothing */
  compare(event: RouteEvent): KernelEvent | null {
    switch (event.type) {
      case 'link':
        return this.#compareLink(event);
      case 'address':
        return this.#compareAddress(event);
      case 'route':
        return this.#compareRoute(event);
      case 'neighbour':
        return null;
    }
  }

  #compareLink(event: RouteEvent & { readonly type: 'link' }): KernelEvent | null {
    const { index, name, up, master, alias, mtu, gone, port } = event;
    // A port's own notification comes as well.
    if (port) return null;
    if (this.#leaving.has(index)) {
      if (gone) this.#leaving.delete(index);
      return null;
    }
    const old = this.#links.get(index);
    if (gone) {
      if (old === undefined) return null;
      this.#removeLink(index);
      return { type: 'link', netns: this.netns, name, gone: true };
    }
    this.#links.set(index, { name, up, master, alias, mtu });
    const sameMtu = old?.mtu === 0 || old?.mtu === mtu;
    if (old?.name === name && old.up === up && old.master === master && old.alias === alias && sameMtu) return null;
    return { type: 'link', netns: this.netns, name, gone: false };
  }

  #compareAddress({ index, address, gone }: RouteEvent & { readonly type: 'address' }): KernelEvent | null {
    const key = addressKey(index, address);
    const known = this.#addresses.has(key);
    if (known !== gone) return null;
    if (gone) this.#addresses.delete(key);
    else this.#addresses.set(key, index);
    return isLinkLocal(address) ? null : { type: 'address', netns: this.netns, device: this.#name(index) };
  }

  #compareRoute(event: RouteEvent & { readonly type: 'route' }): KernelEvent | null {
    const { index, destination, table, via, protocol, gone } = event;
    if (table === RT_TABLE_LOCAL) return null;
    const key = routeKey(event);
    if (gone && this.#leavingRoutes.delete(wayKey(key, via))) return null;
    const known = this.#routes.get(key);
    // A route that is replaced is told as a new one; that the old one went is not.
    if (gone ? known === undefined : known?.via === via) return null;
    const kernel = protocol === RTPROT_KERNEL;
    if (gone) this.#routes.delete(key);
    else this.#routes.set(key, { index, destination, via, kernel });
    // The kernel's own additions follow from an address, whose notification came as well.
    return kernel && !gone ? null : { type: 'route', netns: this.netns, device: this.#name(index) };
  }

  #name(index: number): string {
    return this.#links.get(index)?.name ?? '';
  }

  #indexOf(name: string): number | null {
    for (const [index, link] of this.#links) if (link.name === name) return index;
    return null;
  }

  /** What a change of ours did here. @param space where indexes of links that were made are known */
  absorb(change: Change, space: Space): void {
    switch (change.kind) {
      case 'link':
        if (change.op === 'remove') this.#removeByName(change.link.name);
        else {
          this.#addLink(change.link.name, { ...change.link, alias: change.link.alias ?? '' }, space);
          const index = change.link.kind.type === 'vxlan' ? space.indexOf(change.link.name) : null;
          if (index !== null) this.#tunnels.add(index);
        }
        break;
      case 'link-set': {
        const index = space.indexOf(change.name);
        const old = index === null ? undefined : this.#links.get(index);
        if (index !== null && old !== undefined) this.#setLink(index, { old, value: change.value }, space);
        break;
      }
      case 'address': {
        const address = addressOf(change.address);
        const index = change.op === 'add' ? space.indexOf(change.device) : this.#indexOf(change.device);
        if (index === null) break;
        if (change.op === 'add') this.#addresses.set(addressKey(index, address), index);
        else {
          this.#addresses.delete(addressKey(index, address));
          this.#forgetRoutes((route) => route.index === index && route.kernel && prefixContains(route.destination, address));
        }
        break;
      }
      case 'route': {
        const { device, destination, table = RT_TABLE_MAIN, type = 'unicast', via = null } = change.route;
        const index = device === undefined || type !== 'unicast' ? 0 : space.indexOf(device);
        if (index === null) break;
        const metric = change.route.metric ?? (familyOf(destination) === 6 ? METRIC6 : 0);
        const key = routeKey({ table, destination, metric, index });
        if (change.op === 'add') this.#routes.set(key, { index, destination, via, kernel: false });
        else {
          this.#routes.delete(key);
          this.#leavingRoutes.add(wayKey(key, via));
        }
        break;
      }
      default:
        break;
    }
  }

  /** The other end of a pair that was made or removed from another namespace. */
  absorbPeer(op: 'add' | 'remove', peer: { readonly name: string; readonly mtu?: number }, space: Space | null): void {
    if (op === 'remove') this.#removeByName(peer.name);
    else if (space !== null) this.#addLink(peer.name, { ...peer, alias: '' }, space);
  }

  #addLink(name: string, value: LinkAttributes & { readonly alias: string }, space: Space): void {
    const index = space.indexOf(name);
    if (index === null) return;
    this.#leaving.delete(index);
    const master = value.master ? (space.indexOf(value.master) ?? 0) : 0;
    this.#links.set(index, { name, up: value.up ?? false, master, alias: value.alias, mtu: value.mtu ?? 0 });
  }

  #setLink(index: number, { old, value }: { readonly old: LinkMark; readonly value: LinkAttributes }, space: Space): void {
    const master = value.master === undefined ? old.master : value.master === '' ? 0 : (space.indexOf(value.master) ?? 0);
    this.#links.set(index, { ...old, up: value.up ?? old.up, master, mtu: value.mtu ?? old.mtu });
    if (value.up !== false) return;
    // The kernel drops routes and IPv6 addresses of a link that goes down.
    this.#forgetRoutes((route) => route.index === index);
    for (const [key, owner] of this.#addresses)
      if (owner === index && familyOf(key.slice(key.indexOf(' ') + 1) as IpAddress) === 6) this.#addresses.delete(key);
  }

  #removeByName(name: string): void {
    const index = this.#indexOf(name);
    if (index === null) return;
    this.#removeLink(index);
    this.#leaving.add(index);
  }

  #removeLink(index: number): void {
    this.#links.delete(index);
    this.#tunnels.delete(index);
    for (const [port, link] of this.#links) if (link.master === index) this.#links.set(port, { ...link, master: 0 });
    for (const [key, owner] of this.#addresses) if (owner === index) this.#addresses.delete(key);
    this.#forgetRoutes((route) => route.index === index);
  }

  #forgetRoutes(which: (route: RouteMark) => boolean): void {
    for (const [key, route] of this.#routes) if (which(route)) this.#routes.delete(key);
  }
}

const addressKey = (index: number, address: IpAddress): string => `${index} ${address}`;
/** A route where it stands, by where it leads. */
const wayKey = (key: string, via: IpAddress | null): string => `${key} ${via ?? ''}`;
/** Where a route stands: at most one is there. */
const routeKey = ({ table, destination, metric, index }: Place): string => `${table} ${destination} ${metric} ${index}`;

interface Place {
  readonly table: number;
  readonly destination: Prefix;
  readonly metric: number;
  readonly index: number;
}
