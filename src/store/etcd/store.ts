/**
 * The store of many hosts: etcd (v3 API, tried with 3.4). Nothing is kept here but connections and leases; reads are linearizable, so
 * whoever reads after somebody has written sees it, on any node.
 */
import type { Logger, SteadyClock } from '../../base/clock.ts';
import { invalid, MoorError } from '../../base/errors.ts';
import type { Entry, Lease, Listing, Revision, Store, StoreEvent, Write } from '../../contracts/store.ts';
import type { Endpoint } from '../address.ts';
import { HeldLease } from '../held-lease.ts';
import { closedError, Running } from '../running.ts';
import { readTls, type TlsFiles } from '../tls.ts';
import { checkKey, checkPrefix, checkWrites } from '../writes.ts';
import { LEASE_GRANT, RANGE, type RangeResult, TXN } from './api.ts';
import { Auth, type Credentials } from './auth.ts';
import { Client } from './client.ts';
import { refusal, transaction } from './commit.ts';
import { isCompacted, isLeaseMissing } from './faults.ts';
import { Keys, valueText } from './keys.ts';
import { leaseName, leaseNumber, leaseWire } from './lease.ts';
import { Sessions } from './sessions.ts';
import { watch, type WatchDeps } from './watch.ts';

export interface EtcdStoreOptions {
  /** Tried in turn; one of them is used at a time. */
  readonly endpoints: readonly Endpoint[];
  readonly tls?: TlsFiles;
  readonly auth?: Credentials;
  /** All keys lie below it: `/moorline`. A slash in front, none behind; `` for all of etcd. */
  readonly prefix: string;
  readonly logger: Logger;
  readonly clock: SteadyClock;
  /** Milliseconds for a call with all its tries. */
  readonly timeoutMs?: number;
  /** 0 to 1: which server is first, and how long to wait. For tests. */
  readonly random?: () => number;
}

/** An election takes etcd 1 to 2 s, a connection to the next server up to 1.5 s. */
const TIMEOUT_MS = 5_000;
/** Entries asked for at a time: at 2 KB each a message of 1 MB. */
const PAGE_ENTRIES = 500;
/** A listing that takes so long that its revision is compacted meanwhile is begun again. */
const LIST_TRIES = 3;

/**
 * Reads the TLS files, and does not wait for a server: a daemon has to start while the store is away.
 * @throws invalid for options that can never work, naming the file
 */
export async function openEtcdStore(options: EtcdStoreOptions): Promise<Store> {
  if (options.endpoints.length === 0) throw invalid('invalid etcd store: no endpoint');
  await readTls('etcd', options.tls);
  return new EtcdStore(options);
}

class EtcdStore implements Store {
  readonly #sessions: Sessions;
  readonly #client: Client;
  readonly #keys: Keys;
  readonly #clock: SteadyClock;
  readonly #logger: Logger;
  readonly #watchDeps: WatchDeps;
  readonly #leases = new Map<string, HeldLease>();
  readonly #running = new Running();

  constructor({ endpoints, tls, auth, prefix, logger, clock, timeoutMs = TIMEOUT_MS, random = Math.random }: EtcdStoreOptions) {
    this.#sessions = new Sessions({ endpoints, tls: () => readTls('etcd', tls), clock, logger, random });
    this.#client = new Client({ sessions: this.#sessions, auth: new Auth(auth ?? null, logger), clock, timeoutMs, random });
    this.#keys = new Keys(prefix, logger);
    this.#clock = clock;
    this.#logger = logger;
    this.#watchDeps = { client: this.#client, keys: this.#keys, clock, random };
  }

  readonly get = (key: string): Promise<Entry | null> =>
    this.#running.run(async () => {
      checkKey(key);
      const request = { key: this.#keys.full(key) };
      const { kvs } = await this.#client.call(RANGE, request, { action: `read ${key}`, repeatable: true });
      return this.#entries(kvs)[0] ?? null;
    });

  readonly list = (prefix: string): Promise<Listing> =>
    this.#running.run(async () => {
      checkPrefix(prefix);
      for (let tries = 1; ; tries++) {
        try {
          return await this.#pages(prefix);
        } catch (error) {
          if (tries === LIST_TRIES || !(error instanceof MoorError && isCompacted(error.cause))) throw error;
        }
      }
    });

  readonly commit = (writes: readonly Write[]): Promise<Revision> =>
    this.#running.run(async () => {
      checkWrites(writes);
      const request = transaction(writes, this.#keys, (write) => this.#leaseOf(write));
      const action = writes[0] ? `write ${writes[0].key}` : 'commit nothing';
      const answer = await this.#client.call(TXN, request, { action, repeatable: false }).catch((error: unknown) => {
        throw isLeaseMissing(error instanceof MoorError ? error.cause : error) ? this.#leaseGone(writes) : error;
      });
      if (!answer.succeeded) throw refusal(writes, answer);
      return answer.header?.revision ?? 0;
    });

  readonly watch = (prefix: string, from: Revision, signal: AbortSignal): AsyncIterable<readonly StoreEvent[]> => {
    checkPrefix(prefix);
    return this.#watch(prefix, from, signal);
  };

  readonly lease = (ttlMs: number): Promise<Lease> =>
    this.#running.run(async () => {
      if (!(Number.isFinite(ttlMs) && ttlMs > 0)) throw invalid(`invalid lease: a time to live of ${ttlMs} ms`);
      const askedAt = this.#clock.elapsed();
      // A grant that was lost on its way back runs out with nothing under it.
      const options = { action: 'take a lease', repeatable: true };
      const { id, ttl } = await this.#client.call(LEASE_GRANT, { ttl: Math.ceil(ttlMs / 1000) }, options);
      // Under id 0 entries would stay for ever; two leases of one id would be taken for one.
      if (id === 0n || ttl <= 0 || this.#leases.has(leaseName(id)))
        throw new MoorError('internal', 'cannot take a lease: etcd gave none');
      const grant = { id: leaseName(id), ttlMs: ttl * 1000, askedAt };
      const wire = leaseWire(this.#client, id);
      const lease = new HeldLease(grant, { store: 'etcd', wire, clock: this.#clock, logger: this.#logger });
      this.#leases.set(lease.id, lease);
      lease.lost.addEventListener('abort', () => this.#leases.delete(lease.id), { once: true });
      return lease;
    });

  [Symbol.asyncDispose](): Promise<void> {
    return this.#running.close(() => {
      for (const lease of this.#leases.values()) lease.lose(closedError());
      this.#sessions.close();
    });
  }

  async *#watch(prefix: string, from: Revision, signal: AbortSignal): AsyncGenerator<readonly StoreEvent[], void, void> {
    const either = AbortSignal.any([signal, this.#running.closing]);
    yield* watch(this.#watchDeps, { prefix, from }, either);
    if (!signal.aborted) throw new MoorError('unavailable', `cannot watch ${prefix}: the store is closed`);
  }

  /** Every page at the revision of the first. */
  async #pages(prefix: string): Promise<Listing> {
    const { key, rangeEnd } = this.#keys.range(prefix);
    const entries: Entry[] = [];
    let revision = 0;
    let from = key;
    for (;;) {
      const request = { key: from, rangeEnd, limit: PAGE_ENTRIES, revision };
      const { header, kvs, more } = await this.#client.call(RANGE, request, { action: `list ${prefix}`, repeatable: true });
      revision ||= header?.revision ?? 0;
      entries.push(...this.#entries(kvs));
      const last = kvs.at(-1);
      if (!more || !last) return { entries, revision };
      if (last.key.compare(from) < 0)
        throw new MoorError('internal', `cannot list ${prefix}: etcd answers with what was not asked for`);
      // The key right behind it.
      from = Buffer.concat([last.key, Buffer.of(0)]);
    }
  }

  #entries(kvs: RangeResult['kvs']): readonly Entry[] {
    return kvs.flatMap(({ key, value, modRevision, lease }) => {
      const short = this.#keys.short(key);
      return short === null
        ? []
        : { key: short, value: valueText(value), revision: modRevision, ...(lease === 0n ? {} : { leased: true }) };
    });
  }

  #leaseOf(write: Write): bigint {
    if (write.type === 'delete' || !write.lease) return 0n;
    const lease = this.#leases.get(write.lease.id);
    if (!lease || lease.lost.aborted) throw new MoorError('unavailable', `cannot write ${write.key}: its lease is lost`);
    return leaseNumber(lease.id);
  }

  /** The server does not know a lease that we believed to hold: somebody has taken it away. etcd does not say which. */
  #leaseGone(writes: readonly Write[]): MoorError {
    const named = writes.flatMap((write) => (write.type === 'put' && write.lease ? { key: write.key, id: write.lease.id } : []));
    const ids = new Set(named.map(({ id }) => id));
    if (ids.size === 1) {
      for (const id of ids) this.#leases.get(id)?.lose(new MoorError('unavailable', `lease ${id} is gone: it was taken away`));
    }
    return new MoorError('unavailable', `cannot write ${named[0]?.key ?? ''}: its lease is lost`);
  }
}
