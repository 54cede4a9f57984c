/**
 * The store of many hosts over ZooKeeper (3.6 and later, tried with 3.8). Reads come after a sync, so whoever reads after somebody has
 * written sees it, on any node. What it cannot do as etcd does, because ZooKeeper keeps no history, is in the contract and in README.md.
 */
import type { Logger, SteadyClock } from '../../base/clock.ts';
import { invalid, MoorError } from '../../base/errors.ts';
import type { Entry, Lease, Listing, Revision, Store, StoreEvent, Write } from '../../contracts/store.ts';
import { HeldLease } from '../held-lease.ts';
import { closedError, Running } from '../running.ts';
import { pause } from '../pause.ts';
import { readTls } from '../tls.ts';
import { checkKey, checkPrefix, checkWrites } from '../writes.ts';
import { getData, readStat, sync } from './api.ts';
import { commit, oneLease } from './commit.ts';
import type { Connection } from './connection.ts';
import { CODE, isCode, isPassing, isUndone, LostError, storeFault } from './faults.ts';
import { LeaseSession } from './lease.ts';
import { Line, type ServersOptions } from './line.ts';
import { Paths, scopeOf } from './paths.ts';
import { entryOf } from './tree.ts';
import { Trees } from './trees.ts';
import type { ZookeeperAddress } from './url.ts';

export interface ZookeeperStoreOptions extends ZookeeperAddress {
  readonly logger: Logger;
  readonly clock: SteadyClock;
  /** Milliseconds for a call with all its tries. */
  readonly timeoutMs?: number;
  /** 0 to 1: which server is first, and how long to wait. For tests. */
  readonly random?: () => number;
}

/** An election takes ZooKeeper 1 to 2 s, a connection to the next server up to 1.5 s. */
const TIMEOUT_MS = 5_000;
/** Share of the time that one try gets when the call may be tried again. */
const TRY_SHARE = 0.4;
/** Of a session with which nothing goes: it outlives its connection by this, for nothing. In milliseconds. */
const SESSION_MS = 6_000;
/** Before another try, up to twice that by chance. */
const RETRY_MS = 50;

const NEVER = new AbortController().signal;

/**
 * Reads the TLS files, and does not wait for a server: a daemon has to start while the store is away.
 * @throws invalid for options that can never work, naming the file
 */
export async function openZookeeperStore(options: ZookeeperStoreOptions): Promise<Store> {
  if (options.endpoints.length === 0) throw invalid('invalid ZooKeeper store: no endpoint');
  await readTls('ZooKeeper', options.tls);
  return new ZookeeperStore(options);
}

interface Held {
  readonly lease: HeldLease;
  readonly session: LeaseSession;
}

class ZookeeperStore implements Store {
  readonly #servers: ServersOptions;
  readonly #line: Line;
  readonly #paths: Paths;
  readonly #trees: Trees;
  readonly #timeoutMs: number;
  readonly #leases = new Map<string, Held>();
  readonly #running = new Running();

  constructor({
    endpoints,
    tls,
    auth,
    prefix,
    logger,
    clock,
    timeoutMs = TIMEOUT_MS,
    random = Math.random,
  }: ZookeeperStoreOptions) {
    this.#servers = { endpoints, tls: () => readTls('ZooKeeper', tls), auth: auth ?? null, clock, logger, random };
    this.#line = new Line(this.#servers, { sessionMs: SESSION_MS, resume: false });
    this.#paths = new Paths(prefix, logger);
    this.#timeoutMs = timeoutMs;
    this.#trees = new Trees({ line: this.#line, paths: this.#paths, clock, random, timeoutMs, closing: this.#running.closing });
  }

  readonly get = (key: string): Promise<Entry | null> =>
    this.#running.run(() => {
      checkKey(key);
      return this.#tries(`read ${key}`, { repeatable: true }, async (connection, timeoutMs) => {
        const synced = connection.call(sync(this.#paths.root), timeoutMs);
        const reading = connection.call(getData(this.#paths.entry(key)), timeoutMs).catch((error: unknown) => {
          if (isCode(error, CODE.NO_NODE)) return null;
          throw error;
        });
        const [answer] = await Promise.all([reading, synced]);
        return answer && entryOf(key, answer.from.buffer(), readStat(answer.from));
      });
    });

  readonly list = (prefix: string): Promise<Listing> =>
    this.#running.run(() => {
      checkPrefix(prefix);
      const tree = this.#trees.of(scopeOf(prefix));
      return this.#tries(`list ${prefix}`, { repeatable: true }, async (connection) => {
        const { entries, revision } = await tree.list(connection);
        const found = entries.filter(({ key }) => key.startsWith(prefix));
        return { entries: found.sort((one, two) => (one.key < two.key ? -1 : 1)), revision };
      });
    });

  readonly commit = (writes: readonly Write[]): Promise<Revision> =>
    this.#running.run(() => {
      checkWrites(writes);
      const refused = oneLease(writes);
      if (refused) throw refused;
      const under = writes.find((write) => write.type === 'put' && write.lease);
      const held = under && this.#heldBy(under);
      const action = writes[0] ? `write ${writes[0].key}` : 'commit nothing';
      const connect = held
        ? (until: number): Promise<Connection> => this.#leaseConnection(held, { until, key: under.key })
        : undefined;
      return this.#tries(action, { repeatable: false, ...(connect ? { connect } : {}) }, (connection, timeoutMs) => {
        const until = this.#servers.clock.elapsed() + timeoutMs;
        return commit(writes, {
          connection,
          paths: this.#paths,
          lease: held ? connection.session.id : 0n,
          leased: (write) => write.type === 'put' && write.lease !== undefined,
          left: () => Math.max(1, until - this.#servers.clock.elapsed()),
        });
      });
    });

  readonly watch = (prefix: string, from: Revision, signal: AbortSignal): AsyncIterable<readonly StoreEvent[]> => {
    checkPrefix(prefix);
    return this.#watch(prefix, from, signal);
  };

  readonly lease = (ttlMs: number): Promise<Lease> =>
    this.#running.run(async () => {
      if (!(Number.isFinite(ttlMs) && ttlMs > 0)) throw invalid(`invalid lease: a time to live of ${ttlMs} ms`);
      const { grant, session } = await LeaseSession.begin(this.#servers, { ttlMs, timeoutMs: this.#timeoutMs });
      const { clock, logger } = this.#servers;
      const lease = new HeldLease(grant, { store: 'zookeeper', wire: session, clock, logger });
      this.#leases.set(lease.id, { lease, session });
      const gone = (): void => {
        this.#leases.delete(lease.id);
        // Ended by its holder, it closes when the server has been told.
        if (!(lease.lost.reason instanceof MoorError && lease.lost.reason.kind === 'cancelled')) session.close();
      };
      lease.lost.addEventListener('abort', gone, { once: true });
      return lease;
    });

  [Symbol.asyncDispose](): Promise<void> {
    return this.#running.close(() => {
      for (const { lease } of this.#leases.values()) lease.lose(closedError());
      this.#line.close();
    });
  }

  async *#watch(prefix: string, from: Revision, signal: AbortSignal): AsyncGenerator<readonly StoreEvent[], void, void> {
    if (!this.#running.closing.aborted) yield* this.#trees.watch(prefix, from, signal);
    if (!signal.aborted) throw new MoorError('unavailable', `cannot watch ${prefix}: the store is closed`);
  }

  #heldBy(write: Write): Held {
    const held = write.type === 'put' && write.lease ? this.#leases.get(write.lease.id) : undefined;
    if (!held || held.lease.lost.aborted) throw leaseLost(write.key);
    return held;
  }

  async #leaseConnection(
    { lease, session }: Held,
    { until, key }: { readonly until: number; readonly key: string },
  ): Promise<Connection> {
    const connection = await session.connection(until);
    if (connection !== null && !lease.lost.aborted) return connection;
    lease.lose(new MoorError('unavailable', `lease ${lease.id} is gone: it ran out or was taken away`));
    throw leaseLost(key);
  }

  /**
   * @param body tried again where that is safe: when it is repeatable, or says that nothing was done
   * @throws MoorError
   */
  async #tries<T>(
    action: string,
    { repeatable, connect }: { readonly repeatable: boolean; readonly connect?: (until: number) => Promise<Connection> },
    body: (connection: Connection, timeoutMs: number) => Promise<T>,
  ): Promise<T> {
    const { clock, random } = this.#servers;
    const until = clock.elapsed() + this.#timeoutMs;
    for (;;) {
      try {
        const connection = await (connect ? connect(until) : this.#line.get(until, NEVER));
        const left = Math.max(1, until - clock.elapsed());
        return await inTime(body(connection, repeatable ? Math.min(left, this.#timeoutMs * TRY_SHARE) : left), left);
      } catch (error) {
        const again = isPassing(error) && (repeatable || isUndone(error));
        if (!again || clock.elapsed() + RETRY_MS >= until) throw storeFault(action, error);
        await pause(RETRY_MS * (1 + random()), NEVER);
      }
    }
  }
}

const leaseLost = (key: string): MoorError => new MoorError('unavailable', `cannot write ${key}: its lease is lost`);

/** A first reading is of many calls, and may never come to an end while very much changes. */
async function inTime<T>(promise: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, fail) => {
    timer = setTimeout(() => fail(new LostError('no answer in time', { reached: true, timeout: true })), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
