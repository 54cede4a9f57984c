/** What a packet's way depends on beside the rules: devices, addresses, routes, and switches of the kernel. */
import {
  addressOf,
  type Family,
  familyOf,
  type IpAddress,
  ipValue,
  lengthOf,
  parseIp,
  type Prefix,
  prefixOf,
  prefixRange,
} from '../base/ip.ts';
import type { NetnsState } from '../contracts/kernel.ts';
import { type Intervals, intersect, intervals, isEmpty, sole, subtract } from './intervals.ts';
import type { Device } from './packet.ts';

export interface HostState {
  readonly links: NetnsState['links'];
  readonly addresses: NetnsState['addresses'];
  readonly routes: NetnsState['routes'];
  /** By key relative to /proc/sys. */
  readonly sysctls: Readonly<Record<string, string>>;
}

interface Own {
  readonly device: string;
  readonly family: Family;
  readonly address: IpAddress;
  readonly value: bigint;
  /** The subnet it is in. */
  readonly subnet: readonly [bigint, bigint];
}

/** 127.0.0.0/8 (RFC 1122), ::1 (RFC 4291) */
const LOOPBACK = { 4: [0x7f000000n, 0x7fffffffn], 6: [1n, 1n] } as const;
/** Class D (RFC 5771), ff00::/8 (RFC 4291) */
const MULTICAST = { 4: [0xe0000000n, 0xefffffffn], 6: [0xffn << 120n, (1n << 128n) - 1n] } as const;

export class Host {
  readonly state: HostState;
  readonly #devices: ReadonlyMap<string, Device>;
  readonly #own: readonly Own[];
  readonly #elsewhere: { [F in Family]?: Intervals } = {};
  readonly #local: Readonly<Record<Family, Intervals>>;

  constructor(state: HostState) {
    this.state = state;
    this.#devices = new Map(state.links.map(({ name, index, type, group = 0 }) => [name, { name, index, kind: type, group }]));
    this.#own = state.addresses.map(({ device, address }) => {
      const { first, last } = prefixRange(prefixOf(address));
      return {
        device,
        family: familyOf(address),
        address: addressOf(address),
        value: ipValue(addressOf(address)),
        subnet: [first, last],
      };
    });
    const local = (family: Family): Intervals =>
      intervals([
        LOOPBACK[family],
        ...this.#own.filter((own) => own.family === family).map(({ value }) => [value, value] as const),
      ]);
    this.#local = { 4: local(4), 6: local(6) };
  }

  device(name: string): Device | null {
    return this.#devices.get(name) ?? null;
  }

  /** Its own addresses of a family on one device, link-local ones last. */
  addresses(family: Family, device: string): readonly IpAddress[] {
    const all = this.#own.filter((own) => own.family === family && own.device === device).map(({ address }) => address);
    return [...all.filter((address) => !isLinkLocal(address)), ...all.filter(isLinkLocal)];
  }

  /** Subnets on a device, link-local ones left out. */
  subnets(family: Family, device: string): readonly Prefix[] {
    const subnets = this.state.addresses
      .filter((entry) => entry.device === device && familyOf(entry.address) === family && !isLinkLocal(entry.address))
      .map(({ address }) => prefixOf(address));
    return [...new Set(subnets)];
  }

  /** Subnets on a device, without this host's own addresses and without link-local ones. */
  neighbours(family: Family, device: string): Intervals {
    return subtract(rangesOf(this.subnets(family, device)), this.#local[family]);
  }

  /** Every address that is neither in a subnet of this host, nor loopback or multicast. */
  elsewhere(family: Family): Intervals {
    return (this.#elsewhere[family] ??= this.#outside(family));
  }

  #outside(family: Family): Intervals {
    const without = rangesOf(this.state.links.flatMap(({ name }) => this.subnets(family, name)));
    const most = (1n << BigInt(family === 4 ? 32 : 128)) - 1n;
    return subtract([[1n, most]], intervals([...without, ...this.#local[family], LOOPBACK[family], MULTICAST[family]]));
  }

  /** Device of the default route; null when there is none. */
  uplink(family: Family): string | null {
    const defaults = this.state.routes.filter(
      (route) =>
        familyOf(route.destination) === family &&
        route.destination.endsWith('/0') &&
        route.table === undefined &&
        route.type === undefined,
    );
    return defaults.toSorted((a, b) => (a.metric ?? 0) - (b.metric ?? 0))[0]?.device ?? null;
  }

  isLocal(family: Family, address: bigint): boolean {
    return !isEmpty(intersect([[address, address]], this.#local[family]));
  }

  /**
   * Type of the route to these addresses, as `fib` says it.
   * @param device only addresses on this one are local
   * @returns null when some are of this type and some of that
   */
  addressType(family: Family, set: Intervals, device?: string): 'local' | 'unicast' | 'multicast' | 'broadcast' | null {
    const local =
      device === undefined
        ? this.#local[family]
        : intervals([
            ...(device === 'lo' ? [LOOPBACK[family]] : []),
            ...this.#own
              .filter((own) => own.family === family && own.device === device)
              .map(({ value }) => [value, value] as const),
          ]);
    const inside = (range: Intervals): 'all' | 'some' | 'none' => {
      const part = intersect(set, range);
      return isEmpty(part) ? 'none' : isEmpty(subtract(set, range)) ? 'all' : 'some';
    };
    for (const [type, range] of [
      ['local', local],
      ['multicast', [MULTICAST[family]]],
    ] as const) {
      const how = inside(range);
      if (how !== 'none') return how === 'all' ? type : null;
    }
    const single = sole(set);
    if (single !== null && this.#isBroadcast(family, single)) return 'broadcast';
    return 'unicast';
  }

  #isBroadcast(family: Family, value: bigint): boolean {
    if (family === 6) return false;
    if (value === 0xffffffffn) return true;
    return this.#own.some((own) => own.family === 4 && own.subnet[1] === value && own.subnet[1] - own.subnet[0] > 1n);
  }

  /** Name of the device that leads to an address that is not this host's; null when no route does. */
  routeTo(family: Family, address: bigint): Device | null {
    let best: { readonly length: number; readonly metric: number; readonly device: string } | null = null;
    for (const route of this.state.routes) {
      if (route.device === undefined || route.table !== undefined || route.type !== undefined) continue;
      if (familyOf(route.destination) !== family) continue;
      const { first, last } = prefixRange(route.destination);
      if (address < first || address > last) continue;
      const [length, metric] = [lengthOf(route.destination), route.metric ?? 0];
      if (best === null || length > best.length || (length === best.length && metric < best.metric))
        best = { length, metric, device: route.device };
    }
    return best === null ? null : this.device(best.device);
  }

  /** A switch of the kernel; '' when there is none. */
  sysctl(key: string): string {
    return this.state.sysctls[key] ?? '';
  }
}

export const isLinkLocal = (address: string): boolean => /^fe[89ab]/.test(address) || address.startsWith('169.254.');

/** Prefixes as numbers. */
export const rangesOf = (prefixes: readonly Prefix[]): Intervals =>
  intervals(
    prefixes.map((prefix) => {
      const { first, last } = prefixRange(prefix);
      return [first, last];
    }),
  );

export const valueOfIp = (text: string): bigint => ipValue(parseIp(text));
