/**
 * What a network that is one segment on all nodes gets when it is made: subnets and VXLAN network identifiers that no other one has. They
 * are decided from what the store has now, and committed with the lock of all such: who decides at the same time decides again.
 */
import { conflict, exhausted, invalid, MoorError } from '../base/errors.ts';
import type { Id } from '../base/ids.ts';
import {
  type Family,
  familyOf,
  formatIp,
  type IpAddress,
  parsePrefix,
  type Prefix,
  prefixContains,
  prefixesOverlap,
  prefixOf,
  prefixRange,
} from '../base/ip.ts';
import type { Store, Write } from '../contracts/store.ts';
import type { Network, Pool } from '../model/network.ts';
import { usableRange } from '../model/subnet.ts';
import { addressText } from './address-values.ts';
import { addressKey, parseSubnetWord, poolKey, POOLS, SEGMENTS_LOCK, vniKey, VNIS } from './keys.ts';
import type { State } from './state.ts';
import { spaceOf } from './values.ts';

/** Subnets of one length. */
export interface SegmentPool {
  readonly base: Prefix;
  /** In bits. */
  readonly length: number;
}

/** Docker's for networks across hosts; of IPv6, unique local addresses (RFC 4193), whose 40 bits are the network's id. */
export const SEGMENT_POOLS: readonly SegmentPool[] = [{ base: parsePrefix('10.0.0.0/8'), length: 24 }];
const ULA = 'fd';
const ULA_LENGTH = 64;

/** Docker's option: VXLAN network identifiers (RFC 7348 section 5), one for each subnet. */
const VNI_OPTION = 'com.docker.network.driver.overlay.vxlanid_list';
/** Docker's first; the last of 24 bits. */
const VNI_FIRST = 4097;
const VNI_MAX = 2 ** 24 - 1;

export interface SegmentsDeps {
  readonly store: Store;
  readonly state: State;
  /** This one's name. */
  readonly node: string;
  readonly pools: readonly SegmentPool[];
}

/** The network as it will be, and what is committed with it. */
export interface Decided {
  readonly network: Network;
  readonly writes: readonly Write[];
}

export class Segments {
  readonly #deps: SegmentsDeps;

  constructor(deps: SegmentsDeps) {
    this.#deps = deps;
  }

  /**
   * @param network its pools are those that were asked for; a family without one gets one
   * @throws conflict for a subnet or an identifier that another network has; exhausted when none is left; invalid for an option
   */
  async decide(network: Network): Promise<Decided> {
    const { store } = this.#deps;
    // The lock first: what changes after it was read makes the commit fail.
    const lock = await store.get(SEGMENTS_LOCK);
    const [pools, vnis] = await Promise.all([store.list(POOLS), store.list(VNIS)]);
    const old = [pools, vnis].find(({ revision }) => revision < (lock?.revision ?? 0));
    if (old)
      throw new MoorError('unavailable', `the cluster's store answers with revision ${old.revision} after ${lock?.revision}`);
    const taken = pools.entries.flatMap(({ key }) => subnetIn(key) ?? []);
    const subnets = this.#subnets(network, taken).map(withGateway);
    const count = Math.max(...([4, 6] as const).map((family) => subnets.filter((pool) => pool.family === family).length));
    const numbers = vnisOf(network, {
      count,
      owners: new Map(vnis.entries.map(({ key, value }) => [Number(key.slice(VNIS.length)), value])),
      nameOf: (id) => this.#deps.state.network(id as Id)?.name ?? id,
    });
    const decided: Network = { ...network, pools: subnets, options: { ...network.options, [VNI_OPTION]: numbers.join(',') } };
    const counter = Number.parseInt(lock?.value ?? '0', 10) || 0;
    return {
      network: decided,
      writes: [
        { type: 'put', key: SEGMENTS_LOCK, value: String(counter + 1), expect: lock?.revision ?? 'absent' },
        ...subnets.map(({ subnet }): Write => ({ type: 'put', key: poolKey(subnet), value: network.id, expect: 'absent' })),
        ...numbers.map((vni): Write => ({ type: 'put', key: vniKey(vni), value: network.id, expect: 'absent' })),
        ...rolesOf(decided).map(
          ({ key, owner }): Write => ({
            ...{ type: 'put', key, expect: 'absent' },
            value: addressText({ node: this.#deps.node, owner }),
          }),
        ),
      ],
    };
  }

  #subnets(network: Network, taken: readonly Prefix[]): readonly Pool[] {
    for (const { subnet } of network.pools) {
      const other = taken.find((one) => prefixesOverlap(one, subnet));
      if (other !== undefined)
        throw conflict(`Pool overlaps with other one on this address space: a network of the cluster has ${other}`);
    }
    const families: readonly Family[] = [...(network.ipv4 ? [4 as const] : []), ...(network.ipv6 ? [6 as const] : [])];
    const missing = families.filter((family) => !network.pools.some((pool) => pool.family === family));
    const others = [...taken, ...network.pools.map(({ subnet }) => subnet), ...this.#ranges()];
    return [...network.pools, ...missing.map((family) => open(family === 4 ? this.#free(others) : ula(network.id)))];
  }

  /** Of networks whose nodes have subnets of their own. */
  #ranges(): readonly Prefix[] {
    return [...this.#deps.state.networks()].flatMap(spaceOf);
  }

  /** The lowest one that overlaps none, and holds no node of the cluster. */
  #free(taken: readonly Prefix[]): Prefix {
    const nodes = [...this.#deps.state.nodes()].flatMap(({ node }) => node.addresses);
    const { pools } = this.#deps;
    for (const { base, length } of pools) {
      const { family, first, last } = prefixRange(base);
      const step = 1n << BigInt((family === 4 ? 32 : 128) - length);
      for (let value = first; value <= last; ) {
        const subnet = prefixOf(formatIp(family, value), length);
        const clash = taken.find((one) => prefixesOverlap(one, subnet));
        if (clash === undefined && !nodes.some((address) => prefixContains(subnet, address))) return subnet;
        // Behind all of what is in the way: a /9 is not gone through in steps of /24.
        const end = clash === undefined ? value + step - 1n : prefixRange(clash).last;
        value = first + ((end - first) / step + 1n) * step;
      }
    }
    throw exhausted(
      `could not find an available, non-overlapping IPv4 address pool among ${pools.map(({ base, length }) => `${base} in /${length}`).join(', ')}`,
    );
  }
}

/** Entries of the network besides its own that go with it. */
export const ofSegment = (network: Network): readonly Write[] =>
  network.ranges !== undefined
    ? []
    : [
        ...network.pools.map(({ subnet }): Write => ({ type: 'delete', key: poolKey(subnet) })),
        ...numbersIn(network.options[VNI_OPTION]).map((vni): Write => ({ type: 'delete', key: vniKey(vni) })),
        ...rolesOf(network).map(({ key }): Write => ({ type: 'delete', key })),
      ];

/** Addresses that are the network's and nobody's in particular. */
const rolesOf = ({ id, pools }: Network): readonly { readonly key: string; readonly owner: string }[] =>
  pools.flatMap(({ gateway, auxiliary }) => [
    ...(gateway === null ? [] : [{ key: addressKey(id, gateway), owner: 'gateway' }]),
    ...Object.entries(auxiliary).map(([name, address]) => ({ key: addressKey(id, address), owner: `aux:${name}` })),
  ]);

const open = (subnet: Prefix): Pool => ({
  family: familyOf(subnet),
  subnet,
  gateway: null,
  range: null,
  auxiliary: {},
  configured: false,
});

/** RFC 4193 section 3.1: 40 bits by chance, as those of an id are; then the first /64 of it. */
const ula = (id: Id): Prefix => {
  const digits = `${ULA}${id.slice(0, 10)}`.match(/.{4}/g)?.join(':') ?? '';
  return parsePrefix(`${digits}::/${ULA_LENGTH}`);
};

/** As asked for, or the first that no auxiliary address has. */
function withGateway(pool: Pool): Pool {
  if (pool.gateway !== null) return pool;
  const { first, last } = usableRange(pool.subnet);
  const taken = new Set<IpAddress>(Object.values(pool.auxiliary));
  for (let value = first; value <= last; value++) {
    const gateway = formatIp(pool.family, value);
    if (!taken.has(gateway)) return { ...pool, gateway };
  }
  throw conflict(`subnet ${pool.subnet} has no address left for a gateway`);
}

interface Identifiers {
  readonly count: number;
  /** Networks by their identifiers. */
  readonly owners: ReadonlyMap<number, string>;
  readonly nameOf: (id: string) => string;
}

/** Those that were asked for, and the lowest free ones for the subnets beyond. */
function vnisOf({ options }: Network, { count, owners, nameOf }: Identifiers): readonly number[] {
  const asked = numbersIn(options[VNI_OPTION]);
  for (const vni of asked) {
    if (!Number.isInteger(vni) || vni < 1 || vni > VNI_MAX)
      throw invalid(`invalid value ${options[VNI_OPTION]} for option ${VNI_OPTION}: it must be numbers from 1 to ${VNI_MAX}`);
    const owner = owners.get(vni);
    if (owner !== undefined) throw conflict(`VNI ${vni} is in use by network ${nameOf(owner)} of the cluster`);
  }
  const numbers = [...new Set(asked)];
  for (let vni = VNI_FIRST; numbers.length < count && vni <= VNI_MAX; vni++)
    if (!owners.has(vni) && !numbers.includes(vni)) numbers.push(vni);
  if (numbers.length < count) throw exhausted('no VXLAN network identifier is free');
  return numbers;
}

const numbersIn = (text: string | undefined): readonly number[] =>
  text === undefined || text === '' ? [] : text.split(',').map((one) => Number(one.trim()));

function subnetIn(key: string): Prefix | null {
  try {
    return parseSubnetWord(key.slice(POOLS.length));
  } catch {
    return null;
  }
}
