/** What the tests of clusters share: nodes on one store, each over a line of its own that can be cut. */
import '../support/isolated.ts';
import assert from 'node:assert/strict';
import type { Clock, LogFields, Logger } from '../../src/base/clock.ts';
import { newId } from '../../src/base/ids.ts';
import type { IpAddress, Prefix } from '../../src/base/ip.ts';
import type { StoreClusterOptions } from '../../src/cluster/options.ts';
import { createStoreCluster } from '../../src/cluster/store-cluster.ts';
import type { Sleep } from '../../src/cluster/time.ts';
import type { Cluster, ClusterEvent, ClusterNetwork } from '../../src/contracts/cluster.ts';
import type { Store } from '../../src/contracts/store.ts';
import type { Network } from '../../src/model/network.ts';
import type { ClusterNode, NodePart } from '../../src/model/node.ts';

export interface ClusterLine {
  readonly store: Store;
  readonly cut: () => void;
  readonly mend: () => void;
  /** The process is gone, and has said nothing. */
  readonly kill: () => Promise<void>;
}

export interface ClusterWorld extends AsyncDisposable {
  readonly clock: Clock;
  readonly sleep: Sleep;
  /** Of a node, milliseconds. */
  readonly ttlMs: number;
  /** Nobody else's way to the store. */
  readonly store: Store;
  readonly line: () => Promise<ClusterLine>;
  readonly pass: (ms: number) => Promise<void>;
  readonly compact: () => Promise<void>;
}

/** Those that were started, to be stopped when a test has failed half-way. */
const started = new WeakMap<ClusterWorld, Set<TestNode>>();

export const startedIn = (world: ClusterWorld): Iterable<TestNode> => started.get(world) ?? [];

/** A node as a test drives it. */
export class TestNode {
  readonly name: string;
  readonly world: ClusterWorld;
  cluster!: Cluster;
  line!: ClusterLine;
  kept: string | null = null;
  events: ClusterEvent[] = [];
  readonly warnings: LogFields[] = [];
  part: NodePart = { inUse: false };
  readonly #address: string;

  constructor(world: ClusterWorld, number: number, address = `192.0.2.${number}`) {
    this.world = world;
    this.name = `n${number}`;
    this.#address = address;
  }

  /** A new life of it. */
  async start(
    options: Partial<StoreClusterOptions> & { readonly address?: string; readonly line?: ClusterLine } = {},
  ): Promise<void> {
    const { address = this.#address, line, ...rest } = options;
    this.line = line ?? (await this.world.line());
    const node: ClusterNode = {
      name: this.name,
      addresses: [address as IpAddress],
      mtu: 1500,
      version: '0',
      features: [],
      started: new Date(this.world.clock.now()).toISOString(),
    };
    const log = (fields: LogFields): void => void this.warnings.push(fields);
    const logger: Logger = { debug: () => {}, info: () => {}, warn: log, error: log };
    const starting = createStoreCluster({
      store: this.line.store,
      url: 'test',
      node,
      clock: this.world.clock,
      sleep: this.world.sleep,
      logger,
      part: () => this.part,
      kept: this.kept,
      keep: async (text) => void (this.kept = text),
      nodeTtlMs: this.world.ttlMs,
      ...rest,
    });
    let done = false;
    void starting.finally(() => (done = true)).catch(() => {});
    while (!done) await this.world.pass(100);
    this.cluster = await starting;
    started.set(this.world, (started.get(this.world) ?? new Set<TestNode>()).add(this));
    this.events = [];
    this.cluster.subscribe((event) => this.events.push(event));
  }

  /** As a daemon that is stopped, to be started again. */
  async stop(): Promise<void> {
    await this.cluster[Symbol.asyncDispose]();
    await this.line.kill();
  }

  network(name = 'pods'): ClusterNetwork | undefined {
    return this.cluster.networks().find(({ network }) => network.name === name);
  }

  subnet(name = 'pods'): string | undefined {
    return this.network(name)?.network.pools[0]?.subnet;
  }

  /** `n2 192.0.2.2 10.244.1.0/24` */
  peers(name = 'pods'): readonly string[] {
    return (this.network(name)?.peers ?? []).map(({ node, address, subnets }) => [node, address, ...subnets].join(' '));
  }
}

export const routed = (name = 'pods', range = '10.244.0.0/16', options: Readonly<Record<string, string>> = {}): Network => ({
  id: newId(),
  name,
  created: '2026-01-01T00:00:00.000Z',
  driver: 'routed',
  scope: 'global',
  ipv4: true,
  ipv6: range.includes(':'),
  internal: false,
  attachable: true,
  options: { backend: 'vxlan', ...options },
  labels: {},
  ipamDriver: 'default',
  ipamOptions: {},
  pools: [],
  ranges: range.split(' ') as Prefix[],
  predefined: false,
});

/** Steps of virtual or real time until it is so. */
export async function until(
  world: ClusterWorld,
  condition: () => boolean | Promise<boolean>,
  what: () => unknown = () => '',
): Promise<void> {
  const end = world.clock.now() + Math.max(4 * world.ttlMs, 20_000);
  while (!(await condition())) {
    assert.ok(world.clock.now() < end, `it did not happen: ${JSON.stringify(what())}`);
    await world.pass(50);
  }
}

/** All know the network and have all others as their peers. */
export async function converge(world: ClusterWorld, nodes: readonly TestNode[], name = 'pods'): Promise<void> {
  const want = (node: TestNode): readonly string[] =>
    nodes.flatMap((other) => (other === node ? [] : `${other.name} ${addressOf(other)} ${other.subnet(name)}`)).sort();
  await until(
    world,
    () =>
      nodes.every((node) => node.subnet(name) !== undefined && JSON.stringify(node.peers(name)) === JSON.stringify(want(node))),
    () => nodes.map((node) => [node.name, node.subnet(name), node.peers(name), node.warnings.slice(-3)]),
  );
}

const addressOf = (node: TestNode): string => node.cluster.status().self.addresses[0] ?? '';
