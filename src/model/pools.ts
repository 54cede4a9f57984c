/** The address part of a network request, from text to wishes: everything that can be said without knowing other networks. */
import { invalid, MoorError } from '../base/errors.ts';
import {
  addressOf,
  type Family,
  familyOf,
  type IfAddress,
  type IpAddress,
  lengthOf,
  parseIfAddress,
  parseIp,
  type Prefix,
  prefixContains,
  prefixesOverlap,
  prefixOf,
} from '../base/ip.ts';
import { shown } from '../base/shown.ts';
import type { PoolRequest } from './network.ts';
import { reservedFor } from './subnet.ts';

/** One pool of a network to be: this subnet, or any free one of a length, or (neither given) any free one. */
export interface CheckedPool {
  readonly family: Family;
  readonly subnet?: Prefix;
  /** Of any free subnet, in bits. Never beside `subnet`. */
  readonly length?: number;
  /** Only with `subnet`, as the gateway and the auxiliary addresses. */
  readonly range?: Prefix;
  readonly gateway?: IpAddress;
  readonly auxiliary: Readonly<Record<string, IpAddress>>;
}

export interface Families {
  readonly ipv4: boolean;
  readonly ipv6: boolean;
}

/**
 * Checks all requests and collects every fault, as Docker does. Adds a plan for any free subnet for a family that is enabled
 * and has none. IPv6 requests are dropped without `ipv6`, also as Docker does (moby issue 47202).
 * @throws invalid `invalid network config:` with Docker's text for each fault where it has one.
 */
export function checkPoolRequests(requests: readonly PoolRequest[], families: Families): readonly CheckedPool[] {
  if (!families.ipv4 && !families.ipv6) throw invalid('IPv4 or IPv6 must be enabled');
  const faults: string[] = [];
  const plans: CheckedPool[] = [];
  for (const request of requests) {
    const plan = planOf(request, families, faults);
    if (plan === null) continue;
    faults.push(...clash(plan, plans));
    plans.push(plan);
  }
  if (faults.length > 0) throw invalid(`invalid network config:\n${joined(faults)}`);
  const missing: readonly Family[] = [...(families.ipv4 ? [4 as const] : []), ...(families.ipv6 ? [6 as const] : [])];
  return [...plans, ...missing.filter((family) => !plans.some((plan) => plan.family === family)).map((family) => open(family))];
}

const open = (family: Family, length?: number): CheckedPool => ({
  family,
  ...(length === undefined ? {} : { length }),
  auxiliary: {},
});

/** The format of moby's internal/multierror. */
const joined = (faults: readonly string[]): string =>
  faults.length === 1 ? (faults[0] ?? '') : faults.map((fault) => `* ${fault}`).join('\n');

/** @returns null when the request is faulty as a whole or dropped. */
function planOf(request: PoolRequest, families: Families, faults: string[]): CheckedPool | null {
  if (!request.subnet) return openPlan(request, { family: families.ipv4 ? 4 : 6, text: '' }, faults);
  const subnet = parsed(request.subnet, parseIfAddress);
  if (subnet === null) {
    faults.push(`invalid subnet ${shown(request.subnet)}: invalid CIDR block notation`);
    return null;
  }
  const family = familyOf(subnet);
  if (family === 6 && !families.ipv6) return null;
  if (family === 4 && !families.ipv4) {
    faults.push(`invalid subnet ${subnet}: IPv4 is disabled for this network`);
    return null;
  }
  const address = addressOf(subnet);
  if ((address === '0.0.0.0' || address === '::') && lengthOf(subnet) > 0) {
    return openPlan(request, { family, length: lengthOf(subnet), text: request.subnet }, faults);
  }
  return fullPlan(request, subnet, faults);
}

interface Open {
  readonly family: Family;
  readonly length?: number;
  readonly text: string;
}

/** Nothing else can be asked of a subnet that is not known yet. */
function openPlan(request: PoolRequest, { family, length, text }: Open, faults: string[]): CheckedPool {
  const why = text === '' ? 'it needs a subnet' : `it needs a subnet in full, not ${text}`;
  if (request.range) faults.push(`invalid ip-range ${shown(request.range)}: ${why}`);
  if (request.gateway) faults.push(`invalid gateway ${shown(request.gateway)}: ${why}`);
  for (const name of Object.keys(request.auxiliary ?? {})) faults.push(`invalid auxiliary address ${shown(name)}: ${why}`);
  return open(family, length);
}

function fullPlan(request: PoolRequest, asked: IfAddress, faults: string[]): CheckedPool {
  const subnet = prefixOf(asked);
  if (asked !== (subnet as string)) faults.push(`invalid subnet ${asked}: it should be ${subnet}`);
  const unfit = unfitFor(subnet);
  if (unfit) faults.push(`invalid subnet ${subnet}: ${unfit}`);
  const range = request.range ? rangeOf(request.range, subnet, faults) : null;
  const gateway = request.gateway
    ? addressIn(subnet, { text: request.gateway, what: `gateway ${shown(request.gateway)}` }, faults)
    : null;
  return {
    family: familyOf(subnet),
    subnet,
    ...(range === null ? {} : { range }),
    ...(gateway === null ? {} : { gateway }),
    auxiliary: auxiliaryOf(request, subnet, faults),
  };
}

/** Ranges that no interface can have an address in. IANA's special-purpose registries. */
const UNFIT: readonly { readonly prefix: Prefix; readonly why: string }[] = [
  { prefix: '0.0.0.0/8' as Prefix, why: 'addresses of 0.0.0.0/8 mean "this network"' },
  { prefix: '127.0.0.0/8' as Prefix, why: 'addresses of 127.0.0.0/8 do not leave a host' },
  { prefix: '224.0.0.0/4' as Prefix, why: 'addresses of 224.0.0.0/4 are multicast' },
  { prefix: '::1/128' as Prefix, why: '::1 does not leave a host' },
  { prefix: '::ffff:0.0.0.0/96' as Prefix, why: 'it is made of IPv4-mapped addresses' },
  { prefix: 'ff00::/8' as Prefix, why: 'addresses of ff00::/8 are multicast' },
];

const unfitFor = (subnet: Prefix): string | null => UNFIT.find(({ prefix }) => prefixesOverlap(prefix, subnet))?.why ?? null;

function rangeOf(text: string, subnet: Prefix, faults: string[]): Prefix | null {
  const range = parsed(text, parseIfAddress);
  const fault = (why: string): void => void faults.push(`invalid ip-range ${shown(text)}: ${why}`);
  if (range === null) {
    fault('invalid CIDR block notation');
    return null;
  }
  if (familyOf(range) !== familyOf(subnet)) {
    fault(`parent subnet is an IPv${familyOf(subnet)} block`);
    return null;
  }
  const masked = prefixOf(range);
  if (lengthOf(range) < lengthOf(subnet)) fault(`CIDR block is bigger than its parent subnet ${subnet}`);
  if (range !== (masked as string)) fault(`it should be ${masked}`);
  if (!prefixesOverlap(subnet, masked)) fault(`parent subnet ${subnet} doesn't contain ip-range`);
  return masked;
}

function auxiliaryOf(request: PoolRequest, subnet: Prefix, faults: string[]): Readonly<Record<string, IpAddress>> {
  const taken = new Map<IpAddress, string>();
  const gateway = request.gateway ? parsed(request.gateway, parseIp) : null;
  if (gateway !== null) taken.set(gateway, 'the gateway');
  const auxiliary: [string, IpAddress][] = [];
  for (const [name, text] of Object.entries(request.auxiliary ?? {})) {
    const what = `auxiliary address ${shown(name)}`;
    const address = addressIn(subnet, { text, what }, faults);
    if (address === null) continue;
    const other = taken.get(address);
    if (other) faults.push(`invalid ${what}: ${address} is ${other} already`);
    taken.set(address, `the auxiliary address ${shown(name)}`);
    auxiliary.push([name, address]);
  }
  return Object.fromEntries(auxiliary);
}

/** @param wanted its text, and what it is in the words of an error. */
function addressIn(subnet: Prefix, wanted: { readonly text: string; readonly what: string }, faults: string[]): IpAddress | null {
  const address = parsed(wanted.text, parseIp);
  const fault = (why: string): null => {
    faults.push(`invalid ${wanted.what}: ${why}`);
    return null;
  };
  if (address === null) return fault('invalid address');
  if (familyOf(address) !== familyOf(subnet)) return fault(`parent subnet is an IPv${familyOf(subnet)} block`);
  if (!prefixContains(subnet, address)) return fault(`parent subnet ${subnet} doesn't contain this address`);
  const reserved = reservedFor(subnet, address);
  return reserved ? fault(`${address} is ${reserved}`) : address;
}

/** Two pools of one network that cannot both be. */
function clash(plan: CheckedPool, others: readonly CheckedPool[]): readonly string[] {
  const { family, subnet } = plan;
  if (subnet === undefined) {
    const twice = others.some((other) => other.family === family && other.subnet === undefined);
    return twice ? [`invalid subnet: any free IPv${family} subnet can be asked for only once`] : [];
  }
  const other = others.find((candidate) => candidate.subnet !== undefined && prefixesOverlap(candidate.subnet, subnet));
  return other
    ? [`invalid subnet ${subnet}: Pool overlaps with other one on this address space: ${other.subnet} of this network`]
    : [];
}

function parsed<T>(text: string, parse: (text: string) => T): T | null {
  try {
    return parse(text);
  } catch (error) {
    if (error instanceof MoorError && error.kind === 'invalid') return null;
    throw error;
  }
}
