/**
 * Which subnets of a network's range nodes may lease. The rules, names and defaults are flannel's (its Documentation/configuration.md),
 * so that a network means the same to both: the first subnet of the range is left out unless `subnet-min` names it.
 */
import { invalid } from '../base/errors.ts';
import {
  addressOf,
  bitsOf,
  type Family,
  familyOf,
  formatIp,
  ipValue,
  isIp,
  lengthOf,
  parseIp,
  type Prefix,
  prefixOf,
  prefixRange,
} from '../base/ip.ts';

/** The subnets of one family: every `1 << bits` addresses from `min` to `max`, both inclusive, as values of their first addresses. */
export interface SubnetSpace {
  readonly family: Family;
  readonly range: Prefix;
  /** Of each subnet, in bits. */
  readonly length: number;
  readonly min: bigint;
  readonly max: bigint;
}

/** What a range is divided into by itself, bits; a smaller one is divided into four. */
const USUAL_LENGTH = { 4: 24, 6: 64 } as const;
/** A subnet holds at least its own address, a bridge and a container: 4 addresses. */
const SPARE_BITS = 2;
/** The first subnet is left out, so two would leave one. */
const DIVIDE_BITS = 2;
/** IPv4 options have flannel's names; those of IPv6 end in 6. */
const SUFFIX = { 4: '', 6: '6' } as const;

type Options = Readonly<Record<string, string>>;

/**
 * @param ranges one of a family at most
 * @param options of the network: `subnet-len`, `subnet-min`, `subnet-max`, and the same with a 6 behind them for IPv6
 * @throws invalid, naming option and rule
 */
export function subnetSpaces(ranges: readonly Prefix[], options: Options): readonly SubnetSpace[] {
  if (ranges.length === 0)
    throw invalid('invalid range: a network that spans hosts needs a --subnet, of which each host gets a part');
  const spaces = ranges.map((range) => spaceOf(range, options));
  if (new Set(spaces.map(({ family }) => family)).size < spaces.length)
    throw invalid(`invalid range ${ranges.join(', ')}: one --subnet of a family at most`);
  return spaces;
}

function spaceOf(range: Prefix, options: Options): SubnetSpace {
  const family = familyOf(range);
  const suffix = SUFFIX[family];
  const length = lengthIn(range, options[`subnet-len${suffix}`], `subnet-len${suffix}`);
  const size = 1n << BigInt(bitsOf(family) - length);
  const { first, last } = prefixRange(range);
  const bound = (name: string, otherwise: bigint): bigint => {
    const text = options[name];
    if (text === undefined) return otherwise;
    const fail = (why: string): never => {
      throw invalid(`invalid option ${name}=${text}: ${why}`);
    };
    if (!isIp(text) || familyOf(parseIp(text)) !== family) return fail(`not an IPv${family} address`);
    const value = ipValue(parseIp(text));
    if (value < first || value > last) return fail(`it is not in ${range}`);
    return value % size === 0n ? value : fail(`not the first address of a /${length}`);
  };
  const min = bound(`subnet-min${suffix}`, first + size);
  const max = bound(`subnet-max${suffix}`, last + 1n - size);
  if (min > max)
    throw invalid(`invalid option subnet-min${suffix}=${formatIp(family, min)}: it is above ${formatIp(family, max)}`);
  return { family, range, length, min, max };
}

function lengthIn(range: Prefix, text: string | undefined, name: string): number {
  const bits = bitsOf(familyOf(range));
  const outer = lengthOf(range);
  if (outer > bits - SPARE_BITS - DIVIDE_BITS)
    throw invalid(`invalid range ${range}: too small to be divided, at most /${bits - SPARE_BITS - DIVIDE_BITS}`);
  if (text === undefined) return Math.max(USUAL_LENGTH[familyOf(range)], outer + DIVIDE_BITS);
  const length = /^\d{1,3}$/.test(text) ? Number(text) : Number.NaN;
  if (!(length >= outer + DIVIDE_BITS && length <= bits - SPARE_BITS))
    throw invalid(`invalid option ${name}=${text}: ${outer + DIVIDE_BITS} to ${bits - SPARE_BITS} in ${range}`);
  return length;
}

export function inSpace({ family, length, min, max }: SubnetSpace, subnet: Prefix): boolean {
  if (familyOf(subnet) !== family || lengthOf(subnet) !== length) return false;
  const value = ipValue(addressOf(subnet));
  return value >= min && value <= max;
}

/** The lowest free subnets. @param most how many of them */
export function freeSubnets(
  { family, length, min, max }: SubnetSpace,
  taken: (subnet: Prefix) => boolean,
  most: number,
): Prefix[] {
  const size = 1n << BigInt(bitsOf(family) - length);
  const free: Prefix[] = [];
  for (let value = min; value <= max && free.length < most; value += size) {
    const subnet = prefixOf(formatIp(family, value), length);
    if (!taken(subnet)) free.push(subnet);
  }
  return free;
}
