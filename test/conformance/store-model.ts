/** Random operations on a store and on the one in memory, which is small enough to be right by reading: both must say the same. */
import assert from 'node:assert/strict';
import { MoorError } from '../../src/base/errors.ts';
import type { Entry, Expect, Lease, Revision, Store, StoreEvent, Write } from '../../src/contracts/store.ts';
import type { Random } from '../support/random.ts';

const KEYS = ['a', 'a/b', 'a/b/c', 'b', 'b/1', 'b/10', 'b/2', 'c/~', 'c/-', 'd'] as const;
const PREFIXES = ['', 'a', 'a/', 'b/1', 'c/', 'zz'] as const;
const LEASE_MS = 60_000;

/** Revisions of different stores differ; their order, and which are equal, does not. */
class Numbers {
  readonly #known = new Map<Revision, string>();

  name(revision: Revision): string {
    const known = this.#known.get(revision) ?? `r${this.#known.size}`;
    this.#known.set(revision, known);
    return known;
  }
}

class Side {
  readonly store: Store;
  readonly numbers = new Numbers();
  /** Whether a commit that changes nothing has the revision of the last that did. */
  readonly history: boolean;
  readonly leases: Lease[] = [];
  /** Every revision that a commit has returned, in order. */
  readonly revisions: Revision[] = [];
  start: Revision = 0;

  constructor(store: Store, history: boolean) {
    this.store = store;
    this.history = history;
  }
}

type Operation =
  | { readonly type: 'get'; readonly key: string }
  | { readonly type: 'list'; readonly prefix: string }
  | { readonly type: 'commit'; readonly writes: readonly Planned[] }
  | { readonly type: 'lease' }
  | { readonly type: 'drop'; readonly lease: number };

/** A write that names leases and revisions by their place, so that it means the same on both sides. */
interface Planned {
  readonly type: 'put' | 'delete';
  readonly key: string;
  readonly value: string;
  readonly lease: number | null;
  readonly expect: { readonly type: 'none' | 'absent' | 'present' } | { readonly type: 'old'; readonly place: number };
}

function plan(random: Random, { at, oneLease }: { readonly at: number; readonly oneLease: boolean }): Operation {
  const shared = random.below(1000);
  const write = (key: string, index: number): Planned => ({
    type: random.chance(0.7) ? 'put' : 'delete',
    key,
    value: random.chance(0.1) ? '' : `value ${at}.${index} ü🦊`,
    lease: random.chance(0.2) ? (oneLease ? shared : random.below(1000)) : null,
    expect: random.chance(0.5)
      ? { type: 'none' }
      : random.pick([
          { type: 'absent' },
          { type: 'present' },
          { type: 'present' },
          { type: 'old', place: random.below(1000) },
        ] as const),
  });
  const choice = random.below(20);
  if (choice < 3) return { type: 'get', key: random.pick(KEYS) };
  if (choice < 6) return { type: 'list', prefix: random.pick(PREFIXES) };
  if (choice < 7) return { type: 'lease' };
  if (choice < 8) return { type: 'drop', lease: random.below(1000) };
  const keys = KEYS.filter(() => random.chance(0.25));
  return { type: 'commit', writes: keys.map(write) };
}

/** One operation on one side, and what it said, in words that do not depend on the side. */
async function run(side: Side, operation: Operation): Promise<unknown> {
  const { store, numbers } = side;
  const shown = (entry: Entry): readonly string[] => [entry.key, entry.value, numbers.name(entry.revision)];
  switch (operation.type) {
    case 'get': {
      const entry = await store.get(operation.key);
      return entry ? shown(entry) : null;
    }
    case 'list':
      return (await store.list(operation.prefix)).entries.map(shown);
    case 'lease':
      side.leases.push(await store.lease(LEASE_MS));
      return side.leases.length;
    case 'drop': {
      const lease = side.leases[operation.lease % Math.max(1, side.leases.length)];
      await lease?.[Symbol.asyncDispose]();
      return lease?.lost.aborted;
    }
    case 'commit': {
      const writes = await Promise.all(operation.writes.map((planned) => write(side, planned)));
      const nothing = !side.history && (await changesNothing(store, writes));
      try {
        const revision = await store.commit(writes);
        if (nothing) return 'nothing';
        side.revisions.push(revision);
        return numbers.name(revision);
      } catch (error) {
        assert.ok(error instanceof MoorError, String(error));
        // A lost lease is found before a failed expectation here, after it there: either refusal is right.
        return error.kind === 'unavailable' ? error.message : ['conflict', error.message.split(':')[0]];
      }
    }
  }
}

async function changesNothing(store: Store, writes: readonly Write[]): Promise<boolean> {
  if (writes.some(({ type }) => type === 'put')) return false;
  const present = await Promise.all(writes.map(({ key }) => store.get(key)));
  return present.every((one) => one === null);
}

async function write(side: Side, { type, key, value, lease, expect }: Planned): Promise<Write> {
  const wanted: Expect | undefined = await expectation(side, key, expect);
  if (type === 'delete') return { type, key, ...(typeof wanted === 'number' ? { expect: wanted } : {}) };
  const held = lease === null ? undefined : side.leases[lease % Math.max(1, side.leases.length)];
  return { type, key, value, ...(wanted === undefined ? {} : { expect: wanted }), ...(held ? { lease: held } : {}) };
}

async function expectation(side: Side, key: string, expect: Planned['expect']): Promise<Expect | undefined> {
  switch (expect.type) {
    case 'none':
      return undefined;
    case 'absent':
      return 'absent';
    case 'present':
      return (await side.store.get(key))?.revision ?? 'absent';
    case 'old':
      return side.revisions[expect.place % Math.max(1, side.revisions.length)] ?? 'absent';
  }
}

/** What a watch from the start tells, up to the last change. */
async function history(side: Side, last: Revision): Promise<readonly (readonly (string | null)[])[]> {
  const stop = new AbortController();
  const events: StoreEvent[] = [];
  for await (const batch of side.store.watch('', side.start, AbortSignal.any([stop.signal, AbortSignal.timeout(20_000)]))) {
    events.push(...batch);
    if ((events.at(-1)?.revision ?? 0) >= last) stop.abort();
  }
  // The entries of a lease go in one commit, in an order of the store's own.
  events.sort((one, two) => one.revision - two.revision || (one.key < two.key ? -1 : 1));
  const numbers = new Numbers();
  return events.map(({ key, value, revision }) => [key, value, numbers.name(revision)]);
}

/** What a watch from the start leads to. */
async function outcome(side: Side, last: Revision): Promise<readonly (readonly [string, string])[]> {
  const stop = new AbortController();
  const state = new Map<string, string>();
  for await (const batch of side.store.watch('', side.start, AbortSignal.any([stop.signal, AbortSignal.timeout(20_000)]))) {
    for (const { key, value } of batch) {
      if (value === null) state.delete(key);
      else state.set(key, value);
    }
    if ((batch.at(-1)?.revision ?? 0) >= last) stop.abort();
  }
  return [...state].sort(([one], [two]) => (one < two ? -1 : 1));
}

export interface Compared {
  readonly model: Store;
  readonly store: Store;
  /** The store's server keeps none: where a watch leads is compared, not the way there. */
  readonly history?: false;
  /** A commit of the store is under one lease at most. */
  readonly oneLease?: true;
}

/** @param operations how many; the history that `watch` keeps has to hold all of their writes */
export async function compareStores(stores: Compared, random: Random, operations: number): Promise<void> {
  const sides = [new Side(stores.model, stores.history !== false), new Side(stores.store, stores.history !== false)] as const;
  const result = stores.history === false ? outcome : history;
  for (const side of sides) {
    side.start = await side.store.commit([{ type: 'put', key: 'start', value: '' }]);
    if (stores.history === false) side.start = (await side.store.list('')).revision;
  }
  for (let at = 0; at < operations; at++) {
    const operation = plan(random, { at, oneLease: stores.oneLease ?? false });
    const [expected, actual] = await Promise.all(sides.map((side) => run(side, operation)));
    assert.deepEqual(actual, expected, `operation ${at}: ${JSON.stringify(operation)}`);
  }
  const ends = await Promise.all(sides.map((side) => side.store.commit([{ type: 'put', key: 'end', value: '' }])));
  const [expected, actual] = await Promise.all(sides.map((side, index) => result(side, ends[index] ?? 0)));
  if (stores.history !== false) assert.ok((expected?.length ?? 0) > operations / 2, 'too little has changed');
  assert.deepEqual(actual, expected);
}
