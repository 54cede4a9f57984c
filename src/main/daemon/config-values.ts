/** Values of flags: text -> what it says, or a sentence with the flag's name, the value and the rule. */
import { isAbsolute } from 'node:path';
import { invalid } from '../../base/errors.ts';
import { addressOf, type Family, familyOf, parseIfAddress, parsePrefix, prefixOf } from '../../base/ip.ts';
import { type AddressPool, checkAddressPool } from '../../ipam/local/defaults.ts';
import { reservedFor } from '../../model/subnet.ts';
import type { FlagName } from './flags.ts';

/** @throws invalid */
export function absolute(name: string, path: string): string {
  if (!isAbsolute(path)) throw invalid(`invalid ${name} ${JSON.stringify(path)}: it has to be an absolute path`);
  return path.length > 1 ? path.replace(/\/+$/, '') : path;
}

/** With its prefix length. @throws invalid */
export function address(name: string, text: string | null, family: Family): string | null {
  if (text === null) return null;
  const value = named(name, () => parseIfAddress(text));
  if (familyOf(value) !== family) throw invalid(`invalid ${name} ${text}: it is an IPv${family} address with prefix length`);
  const reserved = reservedFor(prefixOf(value), addressOf(value));
  if (reserved !== null)
    throw invalid(`invalid ${name} ${text}: it is ${reserved}, and has to be an address that a host can have`);
  return value;
}

/** @throws invalid */
export function cidr(name: string, text: string | null, family: Family): string | null {
  if (text === null) return null;
  const value = named(name, () => parsePrefix(text));
  if (familyOf(value) !== family) throw invalid(`invalid ${name} ${text}: it is an IPv${family} subnet`);
  return value;
}

/** What a parser throws, with the flag's name in front. */
export function named<T>(name: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw invalid(`invalid ${name}: ${(error as Error).message}`);
  }
}

/** `base=10.0.0.0/8,size=24`. @throws invalid */
export function addressPool(name: FlagName, text: string): AddressPool {
  const fields = new Map(
    text.split(',').map((part) => part.split('=', 2).map((word) => word.trim()) as [string, string | undefined]),
  );
  const base = fields.get('base');
  const size = fields.get('size');
  if (base === undefined || size === undefined || fields.size !== 2 || !/^\d{1,3}$/.test(size)) {
    throw invalid(`invalid ${name} ${JSON.stringify(text)}: it is base=CIDR,size=BITS`);
  }
  return named(name, () => {
    const pool: AddressPool = { base: parsePrefix(base), size: Number(size) };
    checkAddressPool(pool);
    return pool;
  });
}
