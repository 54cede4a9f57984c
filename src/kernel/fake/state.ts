/** The memory of the fake kernel: namespaces with links, addresses and routes that depend on each other as the kernel's do. */
import { MoorError } from '../../base/errors.ts';
import {
  type IfAddress,
  type IpAddress,
  addressOf,
  familyOf,
  lengthOf,
  parseIfAddress,
  prefixContains,
  prefixOf,
} from '../../base/ip.ts';
import { type Mac, formatMac } from '../../base/mac.ts';
import type { FdbEntry, Link, LinkAttributes, Neighbour, Netns, Route, RoutingRule } from '../../contracts/change.ts';
import { HOST } from '../../contracts/change.ts';
import type { AddressState, LinkState, NetnsState } from '../../contracts/kernel.ts';
import { kernelType, normalRoute } from '../compare.ts';
import type { FakeTable } from './tables.ts';

/** A link and the other end of its pair. */
export interface FakeLink {
  state: LinkState;
  peer: { readonly space: FakeNetns; readonly name: string } | null;
}

/** Error texts and numbers are the kernel's: tests of messages run on the fake too. */
export function kernelFailure(errno: number, code: string, text: string): MoorError {
  const kind =
    code === 'EEXIST' ? 'conflict' : code === 'ENOENT' || code === 'ENODEV' || code === 'ESRCH' ? 'not-found' : 'invalid';
  return new MoorError(kind, text, { kernel: { operation: '', errno, code } });
}

export const noDevice = (name: string): MoorError => new MoorError('not-found', `no device ${name}`);

let nextIdentity = 1;
let nextMac = 1;
const newMac = (): Mac => formatMac(Uint8Array.from([0x0a, 0, 0, 0, nextMac >> 8, nextMac++ & 255]));

/** One network namespace. */
export class FakeNetns {
  readonly links = new Map<string, FakeLink>();
  addresses: AddressState[] = [];
  /** Connected routes (made by the kernel with an address) and ours. */
  routes: (Route & { readonly connected?: true })[] = [];
  rules: RoutingRule[] = [];
  neighbours: Neighbour[] = [];
  fdb: FdbEntry[] = [];
  readonly sysctls = new Map<string, string>();
  /** Devices whose checksum offload is off. */
  readonly unsummed = new Set<string>();
  /** nftables; those of the host are beside all namespaces, for they take part in transactions. */
  readonly tables = new Map<string, FakeTable>();
  readonly #identity = `fake:${nextIdentity++}`;
  #nextIndex = 2;

  constructor() {
    const state = {
      index: 1,
      name: 'lo',
      type: '',
      up: true,
      mtu: 65536,
      mac: '',
      master: '',
      alias: '',
      isolated: false,
      hairpin: false,
    };
    this.links.set('lo', { state: state as LinkState, peer: null });
    this.addresses = ['127.0.0.1/8', '::1/128'].map((text) => ({ device: 'lo', address: parseIfAddress(text), kernel: true }));
  }

  /** @throws not-found */
  link(name: string): FakeLink {
    const link = this.links.get(name);
    if (link === undefined) throw noDevice(name);
    return link;
  }

  /** @param space where the namespace of a veth peer is looked up. @throws conflict (EEXIST), not-found */
  addLink(link: Link, space: (netns: Netns) => FakeNetns): void {
    if (link.master !== undefined) this.link(link.master);
    const { kind } = link;
    if (kind.type === 'macvlan') this.link(kind.parent);
    if (kind.type === 'vxlan' && kind.device !== undefined) this.link(kind.device);
    if (kind.type === 'veth') {
      const other = space(kind.peer.netns);
      if (other.links.has(kind.peer.name)) throw kernelFailure(17, 'EEXIST', 'File exists');
      other.#born(kind.peer.name, 'veth', { ...(kind.peer.mac ? { mac: kind.peer.mac } : {}), mtu: kind.peer.mtu ?? 1500 });
      other.link(kind.peer.name).peer = { space: this, name: link.name };
      this.#born(link.name, 'veth', link);
      this.link(link.name).peer = { space: other, name: kind.peer.name };
    } else this.#born(link.name, kernelType(kind.type), link);
  }

  #born(name: string, type: string, value: LinkAttributes & { readonly alias?: string }): void {
    const state: LinkState = {
      index: this.#nextIndex++,
      name,
      type,
      up: value.up ?? false,
      mtu: value.mtu ?? (type === 'vxlan' ? 1450 : 1500),
      mac: type === 'tun' ? '' : (value.mac ?? newMac()),
      master: value.master ?? '',
      alias: value.alias ?? '',
      isolated: value.isolated ?? false,
      static: value.static ?? false,
      group: value.group ?? 0,
      hairpin: value.hairpin ?? false,
    };
    this.links.set(name, { state, peer: null });
  }

  setLink(name: string, value: LinkAttributes): void {
    const link = this.link(name);
    if (value.master) this.link(value.master);
    link.state = { ...link.state, ...value };
    if (value.up === true) {
      for (const { device, address } of this.addresses) if (device === name) this.#connect(device, address);
    } else if (value.up === false) {
      this.routes = this.routes.filter((route) => route.device !== name);
      // The kernel keeps IPv4 addresses of a device that goes down and drops its IPv6 ones.
      this.addresses = this.addresses.filter((entry) => entry.device !== name || familyOf(entry.address) === 4);
    }
  }

  removeLink(name: string): void {
    const { peer } = this.link(name);
    this.links.delete(name);
    for (const other of this.links.values()) if (other.state.master === name) other.state = { ...other.state, master: '' };
    this.addresses = this.addresses.filter((entry) => entry.device !== name);
    this.routes = this.routes.filter((route) => route.device !== name);
    this.neighbours = this.neighbours.filter((entry) => entry.device !== name);
    this.fdb = this.fdb.filter((entry) => entry.device !== name);
    if (peer?.space.links.get(peer.name)?.peer?.space === this) peer.space.removeLink(peer.name);
  }

  addAddress(device: string, address: IfAddress): void {
    const { state } = this.link(device);
    if (this.addresses.some((entry) => entry.device === device && entry.address === address)) {
      throw kernelFailure(17, 'EEXIST', 'File exists');
    }
    this.addresses.push({ device, address, kernel: false });
    if (state.up) this.#connect(device, address);
  }

  removeAddress(device: string, address: IfAddress): void {
    this.link(device);
    const left = this.addresses.filter((entry) => entry.device !== device || entry.address !== address);
    if (left.length === this.addresses.length) throw kernelFailure(99, 'EADDRNOTAVAIL', 'Cannot assign requested address');
    this.addresses = left;
    const prefix = prefixOf(address);
    if (left.some((entry) => entry.device === device && prefixOf(entry.address) === prefix)) return;
    this.routes = this.routes.filter((route) => !route.connected || route.device !== device || route.destination !== prefix);
  }

  #connect(device: string, address: IfAddress): void {
    const destination = prefixOf(address);
    const v4 = familyOf(address) === 4;
    if (v4 && lengthOf(destination) === 32) return;
    if (this.routes.some((route) => route.connected && route.device === device && route.destination === destination)) return;
    this.routes.push({ destination, device, ...(v4 ? { source: addressOf(address) } : {}), connected: true });
  }

  /** @throws what the kernel says to a route that cannot work */
  checkRoute(route: Route): void {
    if (route.device !== undefined && !this.link(route.device).state.up) throw kernelFailure(100, 'ENETDOWN', 'Network is down');
    if (route.via !== undefined && !route.onlink && !this.#reaches(route.via, route.device)) {
      throw kernelFailure(101, 'ENETUNREACH', 'Nexthop has invalid gateway');
    }
  }

  #reaches(via: IpAddress, device: string | undefined): boolean {
    return this.routes.some(
      (route) =>
        route.via === undefined && (device === undefined || route.device === device) && prefixContains(route.destination, via),
    );
  }

  /** A copy, as a dump would give it. */
  dump(netns: Netns): NetnsState {
    return {
      netns,
      identity: this.#identity,
      links: [...this.links.values()].map((link) => link.state),
      addresses: [...this.addresses],
      routes: this.routes.map(({ connected: _, ...route }) => normalRoute(route)),
      rules: [...this.rules],
      neighbours: [...this.neighbours],
      fdb: [...this.fdb],
    };
  }
}

/** All namespaces by path; one namespace may have several. */
export class FakeSpaces {
  readonly byPath = new Map<Netns, FakeNetns>([[HOST, new FakeNetns()]]);

  /** @throws not-found */
  get(netns: Netns): FakeNetns {
    const space = this.byPath.get(netns);
    if (space === undefined) throw new MoorError('not-found', `no namespace ${netns}`);
    return space;
  }

  /** Removes a path; with its last one the namespace dies, and the far ends of its pairs. */
  unpin(path: Netns): boolean {
    const space = this.byPath.get(path);
    if (space === undefined) return false;
    this.byPath.delete(path);
    if ([...this.byPath.values()].includes(space)) return true;
    for (const name of [...space.links.keys()]) if (space.links.has(name)) space.removeLink(name);
    return true;
  }
}
