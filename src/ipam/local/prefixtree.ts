/**
 * Disjoint prefixes of one family in a binary tree, one level a bit. Every node knows the largest free block below it, so
 * the lowest free block of any length is found by one walk down, however many prefixes are in use: O(bits), not O(networks).
 */
import { addressOf, bitsOf, type Family, formatIp, ipValue, lengthOf, type Prefix, prefixRange } from '../../base/ip.ts';

interface Node {
  zero: Node | null;
  one: Node | null;
  /** A prefix that is in use ends here; then there is nothing below. */
  used: Prefix | null;
  /** Length of the largest free block in here; FULL when there is none. */
  free: number;
}

interface Place {
  readonly prefix: Prefix;
  readonly value: bigint;
  readonly length: number;
}

const placeOf = (prefix: Prefix): Place => ({ prefix, value: ipValue(addressOf(prefix)), length: lengthOf(prefix) });

/** Longer than any prefix. */
const FULL = 129;

export class PrefixTree {
  readonly #family: Family;
  readonly #bits: number;
  #root: Node | null = null;

  constructor(family: Family) {
    this.#family = family;
    this.#bits = bitsOf(family);
  }

  /** Precondition: it overlaps nothing that is in here. */
  insert(prefix: Prefix): void {
    this.#root = this.#insert(this.#root, 0, placeOf(prefix));
  }

  /** Removes exactly this prefix; nothing happens when it is not there. */
  remove(prefix: Prefix): void {
    this.#root = this.#remove(this.#root, 0, placeOf(prefix));
  }

  /** The first prefix in use that shares an address with this one. */
  overlapping(prefix: Prefix): Prefix | null {
    let node = this.#root;
    const value = ipValue(addressOf(prefix));
    for (let depth = 0; depth < lengthOf(prefix) && node && !node.used; depth++)
      node = this.#bit(value, depth) ? node.one : node.zero;
    while (node && !node.used) node = node.zero ?? node.one;
    return node?.used ?? null;
  }

  /**
   * The lowest free block inside a prefix. @param length of the block, at least the prefix's. @param from lowest first address.
   */
  firstFree(base: Prefix, length: number, from: bigint): Prefix | null {
    const { first } = prefixRange(base);
    let node = this.#root;
    for (let depth = 0; depth < lengthOf(base) && node; depth++) {
      if (node.used) return null;
      node = this.#bit(first, depth) ? node.one : node.zero;
    }
    const value = this.#search(node, { depth: lengthOf(base), first, length, from });
    return value === null ? null : (`${formatIp(this.#family, value)}/${length}` as Prefix);
  }

  #search(
    node: Node | null,
    at: { readonly depth: number; readonly first: bigint; readonly length: number; readonly from: bigint },
  ): bigint | null {
    const { depth, first, length, from } = at;
    const last = first + this.#size(depth) - 1n;
    if (last < from) return null;
    if (node === null) {
      const block = this.#size(length);
      const start = from <= first ? first : ((from + block - 1n) / block) * block;
      return start + block - 1n <= last ? start : null;
    }
    // A node's free blocks are longer prefixes than itself, so this also ends the walk at the wanted length.
    if (node.free > length) return null;
    const next = { depth: depth + 1, length, from };
    return (
      this.#search(node.zero, { ...next, first }) ?? this.#search(node.one, { ...next, first: first + this.#size(depth + 1) })
    );
  }

  #insert(node: Node | null, depth: number, place: Place): Node {
    if (depth === place.length) return { zero: null, one: null, used: place.prefix, free: FULL };
    const here = node ?? { zero: null, one: null, used: null, free: depth };
    const side = this.#bit(place.value, depth) ? 'one' : 'zero';
    here[side] = this.#insert(here[side], depth + 1, place);
    return measured(here, depth);
  }

  #remove(node: Node | null, depth: number, place: Place): Node | null {
    if (node === null) return null;
    if (depth === place.length) return node.used === place.prefix ? null : node;
    if (node.used) return node;
    const side = this.#bit(place.value, depth) ? 'one' : 'zero';
    node[side] = this.#remove(node[side], depth + 1, place);
    return node.zero === null && node.one === null ? null : measured(node, depth);
  }

  #bit(value: bigint, depth: number): boolean {
    return ((value >> BigInt(this.#bits - 1 - depth)) & 1n) === 1n;
  }

  /** Addresses in a block of this length. */
  #size(length: number): bigint {
    return 1n << BigInt(this.#bits - length);
  }
}

function measured(node: Node, depth: number): Node {
  node.free = Math.min(node.zero?.free ?? depth + 1, node.one?.free ?? depth + 1);
  return node;
}
