/**
 * Addresses of networks that are one segment on all nodes: each an entry that only one node can make, under its lease of a day, so that a
 * node that is cut off keeps what its containers have. A claim is one compare-and-swap; nobody follows what the others claim.
 */
import { conflict, MoorError, notFound } from '../base/errors.ts';
import type { Id } from '../base/ids.ts';
import type { IpAddress, Prefix } from '../base/ip.ts';
import type { AddressClaim, ClusterAddresses } from '../contracts/cluster.ts';
import type { Entry, Lease, Revision, Store, Write } from '../contracts/store.ts';
import { commitSize } from './commit-size.ts';
import { type AddressValue, addressText, isRole, readAddress } from './address-values.ts';
import { FreeAddresses } from './free-addresses.ts';
import { addressesFolder, addressKey } from './keys.ts';

export interface AddressesDeps {
  readonly store: Store;
  readonly node: string;
  /** Of a day. */
  readonly lease: () => Promise<Lease>;
  /** Whether an endpoint of another node is known to have it. */
  readonly known: (network: Id, address: IpAddress) => boolean;
  readonly exists: (network: Id) => boolean;
  readonly reachable: () => boolean;
  /** 0 to 1. */
  readonly random: () => number;
  /** @throws unavailable, forbidden */
  readonly assertActive: (action: string) => void;
  readonly complain: (key: string, why: string) => void;
  /** What is contested has changed. */
  readonly onContest: () => void;
  /** There is something to write. */
  readonly onDirty: () => void;
}

interface Mine {
  readonly network: Id;
  readonly subnet: Prefix;
  readonly address: IpAddress;
  readonly owner: string;
  /** Of the entry, and the lease that it is under; null: it is not certain that there is one. */
  readonly sure: { readonly revision: Revision; readonly lease: string } | null;
}

/** Unsure addresses that are made certain one by one. */
const FEW = 4;
/** Tries at an entry that others write as well. */
const TRIES = 50;

export class Addresses implements ClusterAddresses {
  readonly #deps: AddressesDeps;
  readonly #mine = new Map<string, Mine>();
  /** Keys of `#mine`, by network, subnet and owner. */
  readonly #byOwner = new Map<string, string>();
  /** Keys of claims that wait for the store: whether they are ours is theirs to find out. */
  readonly #claiming = new Set<string>();
  /** Keys to be given back. */
  readonly #giving = new Set<string>();
  /** Held here, and another node's in the store. */
  readonly #contested = new Set<string>();
  readonly #free: FreeAddresses;

  constructor(deps: AddressesDeps) {
    this.#deps = deps;
    const isOurs = (network: Id, address: IpAddress): boolean => this.#mine.has(addressKey(network, address));
    const isTaken = (network: Id, address: IpAddress): boolean => deps.known(network, address) || isOurs(network, address);
    this.#free = new FreeAddresses({ store: deps.store, random: deps.random, complain: deps.complain, isTaken });
  }

  readonly claim = async (network: Id, wish: AddressClaim): Promise<IpAddress> => {
    const held = this.#mine.get(this.#byOwner.get(ownerKey(network, wish)) ?? '');
    if (held && (wish.address === undefined || wish.address === held.address)) return held.address;
    this.#deps.assertActive(`claim an address of ${wish.subnet}`);
    if (wish.address !== undefined) {
      if (await this.#take(network, wish, wish.address)) return wish.address;
      throw conflict('Address already in use');
    }
    return await this.#free.search(network, wish, (address) => this.#take(network, wish, address));
  };

  readonly hold = (network: Id, address: IpAddress, { subnet, owner }: Pick<AddressClaim, 'subnet' | 'owner'>): void => {
    const key = addressKey(network, address);
    this.#giving.delete(key);
    if (this.#mine.get(key)?.owner === owner) return;
    this.#set(key, { network, subnet, address, owner, sure: null });
    this.#deps.onDirty();
  };

  readonly release = async (network: Id, address: IpAddress): Promise<void> => {
    const key = addressKey(network, address);
    if (!this.#mine.has(key)) return;
    this.#forget(key);
    this.#giving.add(key);
    this.#deps.onDirty();
    // Whoever asks for it on another node as soon as this is done gets it.
    if (this.#deps.reachable()) await this.#giveBack(key).catch(() => {});
  };

  /** It is held here, and another node has taken it while this one's lease had run out. */
  contested(network: Id, address: IpAddress): boolean {
    return this.#contested.has(addressKey(network, address));
  }

  /** The lease is another one: everything is put under it. */
  again(): void {
    for (const [key, mine] of this.#mine) this.#mine.set(key, { ...mine, sure: null });
    if (this.#mine.size > 0) this.#deps.onDirty();
  }

  /** What this node has, and has not any more, in the store. @throws what the store throws: to be tried again */
  async flush(): Promise<void> {
    for (const key of [...this.#giving]) await this.#giveBack(key);
    const unsure = [...this.#mine].filter(
      ([key, { sure, network }]) => sure === null && !this.#claiming.has(key) && this.#deps.exists(network),
    );
    if (unsure.length > FEW) await this.#putMany(unsure);
    for (const [key, mine] of unsure) {
      if (this.#mine.get(key)?.sure !== null) continue;
      if (await this.#put(key, mine)) this.#won(key);
      else this.#lost(key, mine);
    }
  }

  /** Those that nobody else has by now, in few commits; of the others, one by one, comes what to do with them. */
  async #putMany(unsure: readonly (readonly [string, Mine])[]): Promise<void> {
    const { store, node } = this.#deps;
    const lease = await this.#deps.lease();
    const own = unsure.filter(([, { owner }]) => !isRole(owner));
    const found = new Map<string, Entry>();
    for (const network of new Set(own.map(([, mine]) => mine.network)))
      for (const entry of (await store.list(addressesFolder(network))).entries) found.set(entry.key, entry);
    const writes = own.flatMap(([key, { owner }]): Write[] => {
      const entry = found.get(key);
      const value = readable(entry?.value ?? '');
      if (entry !== undefined && (value?.node !== node || isRole(value.owner))) return [];
      return [{ type: 'put', key, value: addressText({ node, owner }), expect: entry?.revision ?? 'absent', lease }];
    });
    const size = commitSize(store);
    for (let at = 0; at < writes.length; at += size) {
      const some = writes.slice(at, at + size);
      await this.#unlessConflict(async () => {
        const revision = await store.commit(some);
        for (const { key } of some) {
          this.#sure(key, revision, lease);
          this.#won(key);
        }
      });
    }
  }

  /** Entries in this node's name that it does not hold: of an earlier life. */
  async dropEarlier(): Promise<void> {
    for (const { key, value, revision } of (await this.#deps.store.list('addresses/')).entries) {
      const found = readable(value);
      if (found?.node !== this.#deps.node || isRole(found.owner) || this.#mine.has(key)) continue;
      await this.#unlessConflict(() => this.#deps.store.commit([{ type: 'delete', key, expect: revision }]));
    }
  }

  /**
   * The network is no more: nothing is left of it in the store. What this node has stays in mind, for a store that comes back from a backup has
   * the network again, and containers have their addresses still.
   */
  removed(network: Id): void {
    this.#free.forget(network);
    for (const [key, mine] of this.#mine) {
      if (mine.network !== network) continue;
      this.#mine.set(key, { ...mine, sure: null });
      this.#giving.add(key);
    }
    if (this.#giving.size > 0) this.#deps.onDirty();
  }

  /** @returns whether it is this node's now. */
  async #take(network: Id, wish: AddressClaim, address: IpAddress): Promise<boolean> {
    const key = addressKey(network, address);
    if (this.#mine.has(key)) return false;
    const mine: Mine = { network, subnet: wish.subnet, address, owner: wish.owner, sure: null };
    // From now on: of two that ask at the same time, the second sees it.
    this.#set(key, mine);
    this.#claiming.add(key);
    try {
      if (await this.#put(key, mine)) {
        if (this.#deps.exists(network)) return true;
        throw notFound(`network ${network} not found in the cluster`);
      }
    } catch (error) {
      // It may have been done or not: what was done is undone.
      this.#forget(key);
      this.#giving.add(key);
      this.#deps.onDirty();
      throw error;
    } finally {
      this.#claiming.delete(key);
    }
    this.#forget(key);
    this.#free.met(network, address);
    return false;
  }

  /** @returns whether the entry is ours now; false: it is another's. */
  async #put(key: string, mine: Mine): Promise<boolean> {
    const { store, node } = this.#deps;
    const lease = isRole(mine.owner) ? null : await this.#deps.lease();
    const value = addressText({ node, owner: mine.owner });
    let expect: Revision | 'absent' = 'absent';
    for (let tries = 1; ; tries++) {
      const write: Write = { type: 'put', key, value, expect, ...(lease ? { lease } : {}) };
      try {
        this.#sure(key, await store.commit([write]), lease);
        return true;
      } catch (error) {
        if (!(error instanceof MoorError && error.kind === 'conflict') || tries === TRIES) throw error;
      }
      const entry = await store.get(key);
      if (entry === null) {
        expect = 'absent';
        continue;
      }
      const found = readable(entry.value);
      // A role is nobody's in particular: whoever asks for it first makes the entry, and it stays.
      if (found && isRole(mine.owner) && found.owner === mine.owner) {
        this.#sure(key, entry.revision, null);
        return true;
      }
      // In our name, but not ours: left behind by an earlier life, or a claim whose answer was lost. What cannot be read is somebody's.
      if (found?.node !== node || isRole(found.owner) || isRole(mine.owner)) return false;
      expect = entry.revision;
    }
  }

  async #giveBack(key: string): Promise<void> {
    const { store, node } = this.#deps;
    const entry = await store.get(key);
    const found = entry && readable(entry.value);
    const mine = this.#mine.get(key);
    const kept = mine !== undefined && this.#deps.exists(mine.network);
    if (entry !== null && found?.node === node && !isRole(found.owner) && !kept)
      await this.#unlessConflict(() => store.commit([{ type: 'delete', key, expect: entry.revision }]));
    this.#giving.delete(key);
  }

  async #unlessConflict(work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof MoorError && error.kind === 'conflict')) throw error;
    }
  }

  #sure(key: string, revision: Revision, lease: Lease | null): void {
    const mine = this.#mine.get(key);
    if (mine) this.#mine.set(key, { ...mine, sure: { revision, lease: lease?.id ?? '' } });
  }

  #won(key: string): void {
    if (this.#contested.delete(key)) this.#deps.onContest();
  }

  #lost(key: string, mine: Mine): void {
    // Asked for again with each pulse: whoever has it may go.
    if (this.#contested.has(key)) return;
    this.#contested.add(key);
    this.#deps.onContest();
    this.#deps.complain(key, `it is another node's now, and ${mine.owner}'s here: that one must be connected anew`);
  }

  #set(key: string, mine: Mine): void {
    this.#mine.set(key, mine);
    this.#byOwner.set(ownerKey(mine.network, mine), key);
  }

  #forget(key: string): void {
    const mine = this.#mine.get(key);
    if (!mine) return;
    this.#mine.delete(key);
    if (this.#contested.delete(key)) this.#deps.onContest();
    const owner = ownerKey(mine.network, mine);
    if (this.#byOwner.get(owner) === key) this.#byOwner.delete(owner);
  }
}

const ownerKey = (network: Id, { subnet, owner }: Pick<AddressClaim, 'subnet' | 'owner'>): string =>
  `${network} ${subnet} ${owner}`;

function readable(text: string): AddressValue | null {
  try {
    return readAddress(text);
  } catch {
    return null;
  }
}
