/** The networks of a cluster that lie in flannel's layout, each below a prefix and with a way to the store of its own. */
import { MoorError, unsupported } from '../../base/errors.ts';
import type { Id } from '../../base/ids.ts';
import type { IpAddress } from '../../base/ip.ts';
import type { Entry, Store } from '../../contracts/store.ts';
import type { Network } from '../../model/network.ts';
import { type FlannelDeps, FlannelNetwork } from './network.ts';

export interface FlannelNetworksDeps extends Omit<FlannelDeps, 'network' | 'prefix' | 'store' | 'onChange'> {
  /** Opens the same store below another prefix; absent: networks of this kind cannot be. */
  readonly openPrefix: ((prefix: string) => Promise<Store>) | null;
  readonly onChange: (network: Id, what: 'network' | 'peers') => void;
}

/** Of a network's options: where flannel's keys are, `/coreos.com/network`. */
const OPTION = 'flannel-prefix';

export const isFlannel = ({ options }: Pick<Network, 'options'>): boolean => options[OPTION] !== undefined;

export class FlannelNetworks {
  readonly #deps: FlannelNetworksDeps;
  /** Of an earlier life, by prefix. */
  readonly #kept: Readonly<Record<string, readonly Entry[]>>;
  readonly #joined = new Map<Id, FlannelNetwork>();
  readonly #prefixes = new Map<Id, string>();
  readonly #opening = new Map<Id, Promise<FlannelNetwork>>();
  #closed = false;

  constructor(deps: FlannelNetworksDeps, kept: Readonly<Record<string, readonly Entry[]>>) {
    this.#deps = deps;
    this.#kept = kept;
  }

  get(id: Id): FlannelNetwork | null {
    return this.#joined.get(id) ?? null;
  }

  /** Begins to follow it, unless that has begun. @throws unsupported where the store has no prefixes */
  of(network: Network): Promise<FlannelNetwork> {
    const { id } = network;
    const opening = this.#opening.get(id) ?? this.#open(network);
    this.#opening.set(id, opening);
    return opening.catch((error: unknown) => {
      this.#opening.delete(id);
      throw error;
    });
  }

  /** The network is no more: its lease is given back. */
  async drop(id: Id): Promise<void> {
    const joined = this.#joined.get(id);
    this.#joined.delete(id);
    this.#prefixes.delete(id);
    this.#opening.delete(id);
    await joined?.leave();
    await joined?.close();
  }

  nodesChanged(addresses: ReadonlySet<IpAddress>): void {
    for (const joined of this.#joined.values()) joined.nodesChanged(addresses);
  }

  /** This node has other addresses on the underlay. */
  moved(): void {
    for (const joined of this.#joined.values()) joined.moved();
  }

  release(): void {
    for (const joined of this.#joined.values()) joined.release();
  }

  entries(): Readonly<Record<string, readonly Entry[]>> {
    return Object.fromEntries([...this.#joined].map(([id, joined]) => [this.#prefixes.get(id) ?? '', joined.entries()]));
  }

  async leave(): Promise<void> {
    await Promise.all([...this.#joined.values()].map((joined) => joined.leave()));
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#joined.values()].map((joined) => joined.close()));
  }

  async #open(network: Network): Promise<FlannelNetwork> {
    const { openPrefix, onChange, ...deps } = this.#deps;
    const prefix = network.options[OPTION] ?? '';
    if (!openPrefix) throw unsupported(`cannot join ${prefix}: option ${OPTION} needs a cluster store on etcd`);
    const store = await openPrefix(prefix);
    const what = { ...deps, network, prefix, store, onChange: (change: 'network' | 'peers') => onChange(network.id, change) };
    const joined = new FlannelNetwork(what, this.#kept[prefix] ?? []);
    if (this.#closed) {
      await joined.close();
      throw new MoorError('unavailable', `cannot join ${prefix}: the cluster is closed`);
    }
    this.#joined.set(network.id, joined);
    this.#prefixes.set(network.id, prefix);
    joined.start();
    return joined;
  }
}
