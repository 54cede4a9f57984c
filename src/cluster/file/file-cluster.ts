/** The cluster over a file of peers: who is there is what the file says; networks are made on each host. */
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Logger } from '../../base/clock.ts';
import { conflict, errorData, invalid, MoorError, notFound, unsupported } from '../../base/errors.ts';
import { type Id, isId } from '../../base/ids.ts';
import { lengthOf, type Prefix, addressOf, prefixContains } from '../../base/ip.ts';
import type { Cluster, ClusterAddresses, ClusterEvent, ClusterNetwork, ClusterStatus } from '../../contracts/cluster.ts';
import type { Network } from '../../model/network.ts';
import type { ClusterNode, Peer, RemoteEndpoint } from '../../model/node.ts';
import { fieldsOf, listOf, parseFields, textOf } from '../fields.ts';
import { poolOf } from '../leasing.ts';
import { realSleep, type Sleep } from '../time.ts';
import { networkText, reachedAt, readNetwork } from '../values.ts';
import { type FilePeer, readPeers } from './peers.ts';
import { watchText } from './watch.ts';

export interface FileClusterOptions {
  readonly file: string;
  /** Its entry in the file is found by its name. */
  readonly node: ClusterNode;
  readonly logger: Logger;
  /** What `keep` was last given, also by an earlier life: the networks of this host. */
  readonly kept: string | null;
  readonly keep: (text: string) => Promise<void>;
  readonly sleep?: Sleep;
}

/** @throws invalid for a file that cannot be read, `peers.yaml:7: ...`, or one without an entry for this node */
export async function createFileCluster(options: FileClusterOptions): Promise<Cluster> {
  const { file, node, kept, logger } = options;
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw invalid(`cannot read ${file}: ${errorData(error).message}`);
  });
  const peers = await readPeers(text, basename(file));
  ownOf(peers, options);
  const cluster = new FileCluster(options, peers, readNetworks(kept, logger));
  cluster.start(text);
  logger.info({ file, peers: peers.length, node: node.name }, 'cluster: peers out of a file');
  return cluster;
}

function ownOf(peers: readonly FilePeer[], { file, node }: FileClusterOptions): FilePeer {
  const own = peers.find(({ name }) => name === node.name);
  if (own) return own;
  const names = peers.map(({ name }) => name).join(', ');
  throw invalid(`${basename(file)}: no entry is named ${node.name}, as this node is (there are: ${names || 'none'})`);
}

/** Options that say how hosts share a range, which the file does here. */
const SHARING = ['subnet-len', 'subnet-min', 'subnet-max', 'subnet-len6', 'subnet-min6', 'subnet-max6'] as const;

/** @throws invalid, unsupported for what would do nothing */
function checkOptions({ options }: Network, told: string): void {
  const useless = SHARING.find((name) => options[name] !== undefined);
  if (useless !== undefined) throw invalid(`invalid option ${useless}=${options[useless]}: ${told}`);
  const prefix = options['flannel-prefix'];
  if (prefix !== undefined) throw unsupported(`cannot join ${prefix}: option flannel-prefix needs a cluster store on etcd`);
}

const NONE: ReadonlyMap<Id, RemoteEndpoint> = new Map();
const NEEDS_STORE = 'that takes a store that all hosts share: start moord with --cluster-store instead of --peers';

class FileCluster implements Cluster {
  readonly #options: FileClusterOptions;
  /** This node, as it is now. */
  #self: ClusterNode;
  readonly #networks: Map<Id, Network>;
  readonly #listeners = new Set<(event: ClusterEvent) => void>();
  readonly #stop = new AbortController();
  #watching: Promise<void> = Promise.resolve();
  #file: readonly FilePeer[];
  /** What follows from the file for each network, until one of them changes. */
  readonly #known = new Map<Id, ClusterNetwork>();
  #error = '';
  #writing: Promise<void> = Promise.resolve();

  constructor(options: FileClusterOptions, file: readonly FilePeer[], networks: readonly Network[]) {
    this.#options = options;
    this.#self = options.node;
    this.#file = file;
    this.#networks = new Map(networks.map((network) => [network.id, network]));
  }

  start(text: string): void {
    const { file, sleep = realSleep } = this.#options;
    const onText = (next: string): Promise<void> => this.#changed(next);
    const onError = (error: unknown): void => this.#failed(`cannot read ${file}: ${errorData(error).message}`);
    this.#compare();
    this.#watching = watchText(file, { last: text, sleep, onText, onError }, this.#stop.signal);
  }

  readonly status = (): ClusterStatus => {
    const node = this.#self;
    const { file } = this.#options;
    const nodes = this.#file.map(
      ({ name, addresses }): ClusterNode =>
        name === node.name ? node : { name, addresses, mtu: 0, version: '', features: [], started: '' },
    );
    return {
      self: node,
      nodes: nodes.sort((a, b) => (a.name < b.name ? -1 : 1)),
      store: { url: `file://${file}`, reachable: this.#error === '', error: this.#error },
    };
  };

  readonly networks = (): readonly ClusterNetwork[] => [...this.#networks.values()].map((network) => this.#network(network));

  readonly subscribe = (listener: (event: ClusterEvent) => void): (() => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  readonly create = async (network: Network): Promise<ClusterNetwork> => {
    const ranges = network.ranges ?? [];
    if (ranges.length === 0) throw invalid('invalid range: a network that spans hosts needs a --subnet');
    for (const { name } of this.#networks.values())
      if (name === network.name) throw conflict(`network with name ${name} already exists in the cluster`);
    const own = ownOf(this.#file, this.#options);
    checkOptions(network, `${basename(this.#options.file)}:${own.line} gives ${own.name} ${own.subnets.join(', ')}`);
    if (within(own.subnets, ranges).length === 0) {
      const { file } = this.#options;
      throw invalid(
        `invalid range ${ranges.join(', ')}: ${basename(file)}:${own.line} gives ${own.name} ${own.subnets.join(', ')}`,
      );
    }
    this.#networks.set(network.id, { ...network, pools: [] });
    await this.#keep();
    this.#emit({ type: 'network', network: network.id });
    return this.#network(network);
  };

  readonly remove = async (id: Id): Promise<void> => {
    if (!this.#networks.delete(id)) throw notFound(`network ${id} not found in the cluster`);
    this.#known.delete(id);
    await this.#keep();
    this.#emit({ type: 'removed', network: id });
  };

  /** What the others have to know of this node stands in their files. */
  readonly refresh = (): void => {};

  /** What the others know of it stands in their files, and is for people to change. */
  readonly move = ({ addresses, mtu }: Pick<ClusterNode, 'addresses' | 'mtu'>): void => {
    if (this.#self.mtu === mtu && this.#self.addresses.join() === addresses.join()) return;
    const before = this.networks();
    this.#self = { ...this.#self, addresses, mtu };
    this.#compare();
    this.#tellDifferences(before);
  };

  /** Where this host is, with what the file says of it: the others go by theirs. */
  #compare(): void {
    const { name, addresses } = this.#self;
    const told = this.#file.find((peer) => peer.name === name)?.addresses ?? [];
    if (told.some((address) => addresses.includes(address))) return;
    this.#options.logger.warn(
      { node: name, addresses },
      `cluster: this host is at ${addresses.join(', ')}, and ${basename(this.#options.file)} says ${told.join(', ')}: unless that is translated on the way, others do not reach it until their files say so`,
    );
  }

  /** A file tells of hosts, not of what they have at the moment: names do not leave a host, and nobody is asked for addresses. */
  readonly tell = (): void => {};
  readonly untell = (): void => {};
  readonly lookUp = async (): Promise<ReadonlyMap<Id, RemoteEndpoint>> => NONE;
  readonly complete = async (): Promise<void> => {};
  readonly addresses: ClusterAddresses = {
    claim: async (_, { subnet }) => {
      throw unsupported(`cannot claim an address of ${subnet}: ${NEEDS_STORE}`);
    },
    hold: () => {},
    release: async () => {},
  };

  readonly leave = (): Promise<void> => this[Symbol.asyncDispose]();

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#watching;
    await this.#writing;
  }

  #network(network: Network): ClusterNetwork {
    const known = this.#known.get(network.id);
    if (known) return known;
    const self = this.#self;
    const ranges = network.ranges ?? [];
    const own = this.#file.find(({ name }) => name === self.name);
    const peers = this.#file.flatMap((peer) => peerOf(peer, { self, ranges }) ?? []).sort((a, b) => (a.node < b.node ? -1 : 1));
    const pools = within(own?.subnets ?? [], ranges).map(poolOf);
    const made: ClusterNetwork = { network: { ...network, pools }, peers, endpoints: NONE };
    this.#known.set(network.id, made);
    return made;
  }

  async #changed(text: string): Promise<void> {
    const { file, logger } = this.#options;
    let next: readonly FilePeer[];
    try {
      next = await readPeers(text, basename(file));
      ownOf(next, this.#options);
    } catch (error) {
      return this.#failed(errorData(error).message);
    }
    logger.info({ file, peers: next.length }, 'cluster: the file of peers has changed');
    const before = this.networks();
    this.#file = next;
    this.#ok();
    this.#compare();
    this.#tellDifferences(before);
  }

  #tellDifferences(before: readonly ClusterNetwork[]): void {
    this.#known.clear();
    for (const { network, peers } of before) {
      const now = this.#network(network);
      if (JSON.stringify(now.network.pools) !== JSON.stringify(network.pools))
        this.#emit({ type: 'network', network: network.id });
      if (JSON.stringify(now.peers) !== JSON.stringify(peers)) this.#emit({ type: 'peers', network: network.id });
    }
    this.#emit({ type: 'nodes' });
  }

  /** The file is as good as away: what it said last stays. */
  #failed(error: string): void {
    this.#options.logger.error({ reason: error }, 'cluster: the file of peers cannot be used, everything stays as it is');
    const before = this.#error;
    this.#error = error;
    if (before === '') this.#emit({ type: 'store', reachable: false });
  }

  #ok(): void {
    if (this.#error === '') return;
    this.#error = '';
    this.#emit({ type: 'store', reachable: true });
  }

  #keep(): Promise<void> {
    const text = JSON.stringify({ networks: [...this.#networks.values()].map(networkText) });
    this.#writing = this.#writing.catch(() => {}).then(() => this.#options.keep(text));
    return this.#writing;
  }

  #emit(event: ClusterEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}

const within = (subnets: readonly Prefix[], ranges: readonly Prefix[]): readonly Prefix[] =>
  subnets.filter((subnet) =>
    ranges.some((range) => lengthOf(range) <= lengthOf(subnet) && prefixContains(range, addressOf(subnet))),
  );

function peerOf(
  { name, addresses, subnets, line: _, ...rest }: FilePeer,
  { self, ranges }: { readonly self: ClusterNode; readonly ranges: readonly Prefix[] },
): Peer | null {
  const address = reachedAt(addresses, self);
  const inside = within(subnets, ranges);
  if (name === self.name || address === null || inside.length === 0) return null;
  return { ...rest, node: name, address, own: true, subnets: inside };
}

function readNetworks(text: string | null, logger: Logger): readonly Network[] {
  if (text === null) return [];
  try {
    return listOf(fieldsOf(parseFields(text), 'kept')['networks'], 'networks', (one, name) => {
      const id = parseFields(textOf(one, name))['id'];
      if (typeof id !== 'string' || !isId(id)) throw new MoorError('invalid', `${name}: no id`);
      return readNetwork(id, textOf(one, name));
    });
  } catch (error) {
    logger.error({ reason: errorData(error).message }, 'cluster: the networks that were kept cannot be read and are passed over');
    return [];
  }
}
