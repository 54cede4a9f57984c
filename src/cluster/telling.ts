/**
 * This node's endpoints, told to the others: each an entry under the node's own lease. Nobody waits for it. Level-triggered: what is wanted
 * is compared with what was written under the present lease, in the present generation.
 */
import { MoorError } from '../base/errors.ts';
import type { Id } from '../base/ids.ts';
import type { IpAddress } from '../base/ip.ts';
import type { Entry, Lease, Revision, Store, Write } from '../contracts/store.ts';
import type { LocalEndpoint } from '../model/node.ts';
import { commitSize } from './commit-size.ts';
import { endpointText, readEndpoint } from './endpoint-values.ts';
import { endpointKey, endpointsFolder } from './keys.ts';
import type { Registration } from './registration.ts';

export interface TellingDeps {
  readonly store: Store;
  readonly registration: Registration;
  readonly node: string;
  /** The network is still there: of one that was removed nothing is told. */
  readonly exists: (network: Id) => boolean;
  /** Another node has the address: who has it here as well is not told of, or packets would go to either. */
  readonly contested: (network: Id, address: IpAddress) => boolean;
  readonly complain: (key: string, why: string) => void;
  /** There is something to write. */
  readonly onDirty: () => void;
}

interface Wanted {
  readonly network: Id;
  readonly endpoint: LocalEndpoint;
}

interface Written {
  readonly text: string;
  readonly revision: Revision;
  readonly lease: string;
}

/** Tries at entries that somebody else writes at the same time. */
const TRIES = 5;

export class Telling {
  readonly #deps: TellingDeps;
  readonly #wanted = new Map<string, Wanted>();
  readonly #written = new Map<string, Written>();
  /** Keys that are to be looked at. */
  readonly #dirty = new Set<string>();
  /** Another node's entry is under the key: passed over until ours changes. */
  readonly #foreign = new Set<string>();

  constructor(deps: TellingDeps) {
    this.#deps = deps;
  }

  tell(network: Id, endpoint: LocalEndpoint): void {
    const key = endpointKey(network, endpoint.id);
    const before = this.#wanted.get(key);
    if (before && JSON.stringify(before.endpoint) === JSON.stringify(endpoint)) return;
    this.#wanted.set(key, { network, endpoint });
    this.#foreign.delete(key);
    this.#mark(key);
  }

  untell(network: Id, id: Id): void {
    const key = endpointKey(network, id);
    if (this.#wanted.delete(key)) this.#mark(key);
  }

  /** Somebody may have written under the key. @param held what is there now; null: nothing */
  seen(network: Id, id: Id, held: { readonly revision: Revision } | null): void {
    const key = endpointKey(network, id);
    const written = this.#written.get(key);
    if (written && held !== null && held.revision <= written.revision) return;
    // Whatever it is, it was not written by us, or we have not been told yet that it was.
    if (held !== null) this.#written.set(key, { text: '', revision: held.revision, lease: '' });
    if (!this.#wanted.has(key)) return;
    if (held === null) this.#written.delete(key);
    this.#mark(key);
  }

  /** Entries in this node's name that it does not want: of an earlier life. */
  drop(network: Id, id: Id): void {
    const key = endpointKey(network, id);
    if (!this.#wanted.has(key)) this.#mark(key);
  }

  /** The network has come or gone, the lease or the generation is another one: everything is looked at again. */
  again(): void {
    if (this.#wanted.size === 0) return;
    for (const key of this.#wanted.keys()) this.#dirty.add(key);
    this.#deps.onDirty();
  }

  /** @throws what the store throws: to be tried again. Without a lease nothing is done: `again` comes with the next one. */
  async flush(): Promise<void> {
    for (let tries = 1; this.#dirty.size > 0; ) {
      const lease = this.#deps.registration.lease;
      if (lease === null) return;
      const keys = [...this.#dirty].slice(0, commitSize(this.#deps.store));
      for (const key of keys) this.#dirty.delete(key);
      const steps = keys.flatMap((key) => this.#step(key, lease) ?? []);
      if (steps.length === 0) continue;
      try {
        const revision = await this.#deps.store.commit(steps);
        for (const step of steps) this.#committed(step, lease, revision);
        tries = 1;
      } catch (error) {
        for (const key of keys) this.#dirty.add(key);
        if (!(error instanceof MoorError && error.kind === 'conflict') || tries++ === TRIES) throw error;
        await this.#learn(steps);
      }
    }
  }

  #mark(key: string): void {
    this.#dirty.add(key);
    this.#deps.onDirty();
  }

  #step(key: string, lease: Lease): Write | null {
    const { node, registration, exists } = this.#deps;
    const wanted = this.#wanted.get(key);
    const written = this.#written.get(key);
    if (wanted === undefined || !exists(wanted.network) || this.#contested(wanted))
      return this.#foreign.has(key) ? null : { type: 'delete', key };
    if (this.#foreign.has(key)) return null;
    const text = endpointText({ ...wanted.endpoint, node, generation: registration.generation });
    if (written?.text === text && written.lease === lease.id) return null;
    return { type: 'put', key, value: text, expect: written?.revision ?? 'absent', lease };
  }

  #contested({ network, endpoint }: Wanted): boolean {
    return endpoint.addresses.some((address) => this.#deps.contested(network, address));
  }

  #committed(step: Write, lease: Lease, revision: Revision): void {
    if (step.type === 'put') this.#written.set(step.key, { text: step.value, revision, lease: lease.id });
    else this.#written.delete(step.key);
    if (!this.#wanted.has(step.key)) this.#foreign.delete(step.key);
  }

  /** What is under the keys, where it was not as it was thought to be. */
  async #learn(steps: readonly Write[]): Promise<void> {
    const { store, node, registration, complain } = this.#deps;
    const networks = new Set(steps.map(({ key }) => key.split('/')[1] as Id));
    const found = new Map<string, Entry>();
    for (const network of networks)
      for (const entry of (await store.list(endpointsFolder(network))).entries) found.set(entry.key, entry);
    for (const { key } of steps) {
      const entry = found.get(key);
      if (entry === undefined) {
        this.#written.delete(key);
        continue;
      }
      const owner = ownerOf(key, entry.value);
      if (owner !== null && owner.node !== node) {
        this.#foreign.add(key);
        complain(key, `it is ${owner.node}'s, this node's endpoint cannot be told`);
      } else if (owner !== null && owner.generation > registration.generation) registration.seen(owner.generation);
      this.#written.set(key, { text: entry.value, revision: entry.revision, lease: '' });
    }
  }
}

function ownerOf(key: string, text: string): { readonly node: string; readonly generation: number } | null {
  try {
    return readEndpoint(key.split('/')[2] as Id, text, null);
  } catch {
    return null;
  }
}
