/** The thread's state: clients and names, and what is done with both. */
import type { Id } from '../base/ids.ts';
import type { NameRecord, ResolverClient, ResolverStatus } from '../contracts/resolver.ts';
import { Datagrams } from '../sys/datagrams.ts';
import { Question } from '../wire/dns.ts';
import { Client, type Shared } from './client.ts';
import { Forwarder } from './forward.ts';
import type { Loop } from './loop.ts';
import { OwnNames } from './own.ts';
import { UpstreamSets } from './upstreams.ts';
import { Zones } from './zones.ts';

/** Datagrams taken at a time. */
const BATCH = 64;
/** Bytes of the longest datagram, both ways, whatever the client takes: 250 addresses. */
const DATAGRAM = 4096;

export class Service {
  readonly #clients = new Map<Id, Client>();
  readonly #shared: Shared;

  constructor(loop: Loop) {
    this.#shared = {
      loop,
      zones: new Zones(),
      sets: new UpstreamSets(),
      forwarder: new Forwarder(loop, DATAGRAM),
      own: new OwnNames(new Question(), DATAGRAM),
      datagrams: new Datagrams(BATCH, DATAGRAM),
      counts: { queries: 0, dropped: 0, connections: 0 },
    };
  }

  put(records: readonly NameRecord[]): void {
    for (const record of records) this.#shared.zones.put(record);
  }

  remove(endpoints: readonly Id[]): void {
    for (const endpoint of endpoints) this.#shared.zones.remove(endpoint);
  }

  /** @throws the first of what went wrong, after all were tried */
  serve(clients: readonly ResolverClient[]): void {
    const failures: unknown[] = [];
    for (const spec of clients) {
      try {
        this.#serve(spec);
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  #serve(spec: ResolverClient): void {
    const known = this.#clients.get(spec.sandbox);
    if (known?.fits(spec)) return known.change(spec);
    // Of an earlier namespace of this sandbox.
    this.#stop(spec.sandbox);
    this.#clients.set(spec.sandbox, new Client(spec, this.#shared));
  }

  stop(sandboxes: readonly Id[]): void {
    for (const sandbox of sandboxes) this.#stop(sandbox);
  }

  #stop(sandbox: Id): void {
    this.#clients.get(sandbox)?.close();
    this.#clients.delete(sandbox);
  }

  status(): ResolverStatus {
    const { zones, forwarder, counts } = this.#shared;
    return {
      clients: this.#clients.size,
      records: zones.size,
      queries: counts.queries,
      forwarded: forwarder.forwarded,
      dropped: counts.dropped + forwarder.refused,
    };
  }

  close(): void {
    this.#shared.forwarder.close();
    this.stop([...this.#clients.keys()]);
  }
}
