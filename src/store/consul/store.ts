/**
 * The store of many hosts over Consul (HTTP API, tried with 1.8). Reads are consistent, so whoever reads after somebody has written sees
 * it, on any node. What it cannot do as etcd does, because Consul keeps no history, is in the contract and in README.md.
 */
import type { Logger, SteadyClock } from '../../base/clock.ts';
import { forbidden, invalid, MoorError } from '../../base/errors.ts';
import {
  CompactedError,
  type Entry,
  type Lease,
  type Listing,
  type Revision,
  type Store,
  type StoreEvent,
  type Write,
} from '../../contracts/store.ts';
import { HeldLease } from '../held-lease.ts';
import { closedError, Running } from '../running.ts';
import { readTls } from '../tls.ts';
import { checkKey, checkPrefix, checkWrites } from '../writes.ts';
import { readTxn, type TxnAnswer } from './answers.ts';
import { Client } from './client.ts';
import { COMMIT_WRITES, isLeaseMissing, refusal, type Transaction, transaction } from './commit.ts';
import { Follower, type FollowerDeps } from './follower.ts';
import { Http } from './http.ts';
import { Keys, scopeOf } from './keys.ts';
import { createSession, sessionWire } from './lease.ts';
import { Seen } from './seen.ts';
import type { ConsulAddress } from './url.ts';

export interface ConsulStoreOptions extends ConsulAddress {
  readonly logger: Logger;
  readonly clock: SteadyClock;
  /** Milliseconds for a call with all its tries. */
  readonly timeoutMs?: number;
  /** 0 to 1: which server is first, and how long to wait. For tests. */
  readonly random?: () => number;
}

/** An election takes Consul 1 to 5 s with its default timing; a connection to the next server up to 1.5 s. */
const TIMEOUT_MS = 5_000;
/** Scopes that nobody watches, of which the keys are kept for a watch that begins where a listing was. */
const SCOPES_KEPT = 64;

/**
 * Reads the TLS files, and does not wait for a server: a daemon has to start while the store is away.
 * @throws invalid for options that can never work, naming the file
 */
export async function openConsulStore(options: ConsulStoreOptions): Promise<Store> {
  if (options.endpoints.length === 0) throw invalid('invalid Consul store: no endpoint');
  await readTls('Consul', options.tls);
  return new ConsulStore(options);
}

class ConsulStore implements Store {
  readonly commitWrites = COMMIT_WRITES;
  readonly #http: Http;
  readonly #client: Client;
  readonly #keys: Keys;
  readonly #deps: FollowerDeps;
  readonly #logger: Logger;
  readonly #followers = new Map<string, Follower>();
  readonly #leases = new Map<string, HeldLease>();
  readonly #running = new Running();

  constructor({
    endpoints,
    tls,
    token,
    prefix,
    logger,
    clock,
    timeoutMs = TIMEOUT_MS,
    random = Math.random,
  }: ConsulStoreOptions) {
    this.#http = new Http(() => readTls('Consul', tls), token ?? null);
    this.#client = new Client({ http: this.#http, endpoints, clock, logger, timeoutMs, random });
    this.#keys = new Keys(prefix, logger);
    this.#logger = logger;
    const seen = new Seen(clock);
    this.#deps = { client: this.#client, keys: this.#keys, clock, seen, random, closing: this.#running.closing };
  }

  readonly get = (key: string): Promise<Entry | null> =>
    this.#running.run(async () => {
      checkKey(key);
      const { results, errors } = await this.#transact([{ KV: { Verb: 'get', Key: this.#keys.full(key) } }], `read ${key}`, true);
      const [found] = results;
      // What may not be read is left out; what is not there is an error.
      if (!found && errors.length === 0) throw forbidden(`cannot read ${key}: Consul: permission denied`);
      if (!found) return null;
      if (found.key !== this.#keys.full(key))
        throw new MoorError('internal', `cannot read ${key}: Consul answers with what was not asked for`);
      this.#deps.seen.note(found.modifyIndex);
      return { key, value: found.value, revision: found.modifyIndex, ...(found.session === null ? {} : { leased: true }) };
    });

  readonly list = (prefix: string): Promise<Listing> =>
    this.#running.run(async () => {
      checkPrefix(prefix);
      const { entries, revision } = await this.#follower(scopeOf(prefix)).look(`list ${prefix}`);
      const found = [...entries.values()].filter(({ key }) => key.startsWith(prefix));
      return { entries: found.sort((one, two) => (one.key < two.key ? -1 : 1)), revision };
    });

  readonly commit = (writes: readonly Write[]): Promise<Revision> =>
    this.#running.run(async () => {
      checkWrites(writes);
      const request = transaction(writes, this.#keys, (write) => this.#leaseOf(write));
      const { seen } = this.#deps;
      const known = seen.newest;
      const action = writes[0] ? `write ${writes[0].key}` : 'commit nothing';
      const answer = await this.#transact(request.body, action, false);
      if (answer.errors.length > 0) throw refusal(answer, request) ?? this.#failure(answer, request, writes);
      // Checks come back with the entry as it was.
      const revision = Math.max(0, ...answer.results.map(({ modifyIndex }) => modifyIndex));
      if (revision === 0) throw new MoorError('internal', `cannot ${action}: Consul says neither that it was done nor why not`);
      if (revision <= known) this.#goneBack(revision);
      seen.note(revision);
      for (const write of writes)
        if (write.type === 'put') for (const follower of this.#followers.values()) follower.wrote(write.key, revision);
      return revision;
    });

  readonly watch = (prefix: string, from: Revision, signal: AbortSignal): AsyncIterable<readonly StoreEvent[]> => {
    checkPrefix(prefix);
    return this.#watch(prefix, from, signal);
  };

  readonly lease = (ttlMs: number): Promise<Lease> =>
    this.#running.run(async () => {
      if (!(Number.isFinite(ttlMs) && ttlMs > 0)) throw invalid(`invalid lease: a time to live of ${ttlMs} ms`);
      const askedAt = this.#deps.clock.elapsed();
      const made = await createSession(this.#client, ttlMs);
      const { id } = made;
      const grant = { ...made, askedAt };
      const wire = sessionWire(this.#client, id);
      const lease = new HeldLease(grant, { store: 'consul', wire, clock: this.#deps.clock, logger: this.#logger });
      this.#leases.set(id, lease);
      lease.lost.addEventListener('abort', () => this.#leases.delete(id), { once: true });
      return lease;
    });

  [Symbol.asyncDispose](): Promise<void> {
    return this.#running.close(() => {
      for (const lease of this.#leases.values()) lease.lose(closedError());
      this.#http.close();
    });
  }

  async *#watch(prefix: string, from: Revision, signal: AbortSignal): AsyncGenerator<readonly StoreEvent[], void, void> {
    if (!this.#deps.seen.isRecent(from))
      throw new CompactedError(`cannot watch ${prefix} from revision ${from}: compacted, list again`);
    if (!this.#running.closing.aborted) yield* this.#follower(scopeOf(prefix)).watch(prefix, from, signal);
    if (!signal.aborted) throw new MoorError('unavailable', `cannot watch ${prefix}: the store is closed`);
  }

  async #transact(operations: unknown, action: string, repeatable: boolean): Promise<TxnAnswer> {
    const body = typeof operations === 'string' ? operations : JSON.stringify(operations);
    const path = repeatable ? '/v1/txn?consistent' : '/v1/txn';
    // 409: nothing was done, and the answer says why.
    const { text } = await this.#client.call({ method: 'PUT', path, body }, { action, repeatable, also: [409] });
    return readTxn(text);
  }

  /** Neither an expectation nor a lease that was known to be lost. */
  #failure({ errors }: TxnAnswer, { writeAt }: Transaction, writes: readonly Write[]): MoorError {
    for (const { operation, what } of errors) {
      const write = writeAt(operation);
      if (write?.type !== 'put' || !write.lease || !isLeaseMissing(what)) continue;
      const { id } = write.lease;
      this.#leases.get(id)?.lose(new MoorError('unavailable', `lease ${id} is gone: it was taken away`));
      return new MoorError('unavailable', `cannot write ${write.key}: its lease is lost`);
    }
    const what = errors.map((error) => error.what).join(', ');
    return new MoorError(
      /denied/i.test(what) ? 'forbidden' : 'internal',
      `cannot write ${writes[0]?.key ?? ''}: Consul: ${what}`,
    );
  }

  #leaseOf(write: Write): string {
    if (write.type === 'delete' || !write.lease) return '';
    const lease = this.#leases.get(write.lease.id);
    if (!lease || lease.lost.aborted) throw new MoorError('unavailable', `cannot write ${write.key}: its lease is lost`);
    return lease.id;
  }

  /** A number that was given before is given again: the store was restored from a backup, or set up anew. */
  #goneBack(revision: Revision): void {
    this.#deps.seen.goneBack(revision);
    for (const follower of this.#followers.values()) follower.goneBack(revision);
  }

  #follower(scope: string): Follower {
    const known = this.#followers.get(scope);
    if (known) return known;
    const unwatched = [...this.#followers].filter(([, one]) => !one.watched).sort(([, one], [, two]) => one.usedAt - two.usedAt);
    for (const [name] of unwatched.slice(0, Math.max(0, unwatched.length - SCOPES_KEPT + 1))) this.#followers.delete(name);
    const follower = new Follower(scope, this.#deps);
    this.#followers.set(scope, follower);
    return follower;
  }
}
