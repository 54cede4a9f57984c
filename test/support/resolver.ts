/** A name service that answers nobody, and remembers what it was told. */
import type { Id } from '../../src/base/ids.ts';
import type { Netns } from '../../src/contracts/change.ts';
import type { NameRecord, Resolver, ResolverClient } from '../../src/contracts/resolver.ts';

export interface FakeResolver extends Resolver {
  readonly clients: Map<Id, ResolverClient>;
  readonly records: Map<Id, NameRecord>;
  /** What was called, in order: `serve web`, `stop …`, by sandbox and endpoint ids. */
  readonly calls: string[];
  /** Makes `serve` fail. */
  failure: Error | undefined;
}

export function createFakeResolver(): FakeResolver {
  const clients = new Map<Id, ResolverClient>();
  const records = new Map<Id, NameRecord>();
  const calls: string[] = [];
  const resolver: FakeResolver = {
    clients,
    records,
    calls,
    failure: undefined,
    planClient: (netns: Netns) => [{ kind: 'nft-table', op: 'add', table: TABLE, netns }],
    async serve(list) {
      calls.push(`serve ${list.map(({ sandbox }) => sandbox).join(' ')}`);
      if (resolver.failure !== undefined) throw resolver.failure;
      for (const client of list) clients.set(client.sandbox, client);
    },
    async stop(sandboxes) {
      calls.push(`stop ${sandboxes.join(' ')}`);
      for (const id of sandboxes) clients.delete(id);
    },
    put(list) {
      calls.push(`put ${list.map(({ endpoint }) => endpoint).join(' ')}`);
      for (const record of list) records.set(record.endpoint, record);
    },
    remove(endpoints) {
      calls.push(`remove ${endpoints.join(' ')}`);
      for (const id of endpoints) records.delete(id);
    },
    status: async () => ({ clients: clients.size, records: records.size, queries: 0, forwarded: 0, dropped: 0 }),
    async [Symbol.asyncDispose]() {
      clients.clear();
    },
  };
  return resolver;
}

const TABLE = {
  family: 'ip',
  name: 'moor_names',
  sets: [],
  chains: [
    {
      name: 'queries',
      hook: { type: 'filter', hook: 'output', priority: '-310', policy: 'accept' },
      rules: [{ expr: 'ip daddr 127.0.0.11 udp dport 53 udp dport set 14', comment: 'udp' }],
    },
  ],
} as const;
