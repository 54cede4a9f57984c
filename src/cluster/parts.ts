/** What a cluster over a store is made of, joined. */
import type { Id } from '../base/ids.ts';
import type { IpAddress } from '../base/ip.ts';
import { Addresses } from './addresses.ts';
import { Catalogue } from './catalogue.ts';
import { Complaints } from './complaints.ts';
import { FlannelNetworks, isFlannel } from './flannel/networks.ts';
import type { Kept } from './kept.ts';
import { Leasing } from './leasing.ts';
import type { StoreClusterOptions } from './options.ts';
import { Participation } from './participation.ts';
import { Registration } from './registration.ts';
import { SEGMENT_POOLS, Segments } from './segments.ts';
import { State } from './state.ts';
import { Telling } from './telling.ts';

export interface Parts {
  readonly state: State;
  readonly registration: Registration;
  readonly leasing: Leasing;
  readonly flannel: FlannelNetworks;
  readonly catalogue: Catalogue;
  readonly telling: Telling;
  readonly participation: Participation;
  readonly addresses: Addresses;
}

type PartsOptions = StoreClusterOptions & Required<Pick<StoreClusterOptions, 'nodeTtlMs' | 'sleep' | 'random'>>;

export interface PartsHooks {
  readonly kept: Kept;
  /** See Members. */
  readonly holding: () => boolean;
  readonly onLost: () => void;
  readonly onFailure: (error: unknown) => void;
  /** Endpoints of other nodes on the network have changed. */
  readonly onEndpoints: (network: Id) => void;
  /** This node has endpoints or addresses that are not in the store as they are. */
  readonly onDirty: () => void;
  readonly reachable: () => boolean;
  readonly assertActive: (action: string) => void;
  readonly onFlannelChange: (network: Id, what: 'network' | 'peers') => void;
}

const SUBNET_TTL_MS = 24 * 3_600_000;

export function createParts(options: PartsOptions, hooks: PartsHooks): Parts {
  const { store, node, clock, logger, part, openPrefix, nodeTtlMs, subnetTtlMs = SUBNET_TTL_MS, sleep, random } = options;
  const { kept, holding, onLost, onFailure, onDirty } = hooks;
  const state = new State({ self: node, logger, holding, elsewhere: isFlannel });
  const registration = new Registration({
    store,
    node,
    ttlMs: nodeTtlMs,
    generation: Math.max(clock.now(), kept.generation + 1),
    logger,
    wrote: (key, text, revision) => state.wrote(key, text, revision),
    onLost,
  });
  const complaints = new Complaints(logger);
  const complain = (key: string, why: string): void => complaints.add(key, why);
  const exists = (network: Id): boolean => state.network(network) !== null;
  const onLeaseLost = (): void => {
    addresses.again();
    onLost();
  };
  const leasing = new Leasing({
    ...{ store, state, registration, node: node.name, ttlMs: subnetTtlMs, part, random },
    onLost: onLeaseLost,
  });
  const contested = (network: Id, address: IpAddress): boolean => addresses.contested(network, address);
  const telling = new Telling({ store, registration, node: node.name, exists, contested, complain, onDirty });
  const participation = new Participation(
    {
      ...{ store, telling, logger, sleep, random, nodeTtlMs, holding, complain, onFailure, self: node.name },
      network: (id) => state.network(id),
      node: (name) => state.reached(name),
      onChange: hooks.onEndpoints,
    },
    kept.endpoints,
  );
  const addresses = new Addresses({
    ...{ store, node: node.name, exists, random, complain, onDirty },
    lease: () => leasing.leased(),
    known: (network, address) => participation.hasAddress(network, address),
    onContest: () => telling.again(),
    reachable: hooks.reachable,
    assertActive: hooks.assertActive,
  });
  const flannel = new FlannelNetworks(
    {
      ...{ node, logger, sleep, random, ttlMs: subnetTtlMs, nodeTtlMs, part, holding, onFailure, onLost },
      openPrefix: openPrefix ?? null,
      nodeAt: (address) => state.nodeAt(address),
      onChange: hooks.onFlannelChange,
    },
    kept.elsewhere,
  );
  const segments = new Segments({ store, state, node: node.name, pools: options.segmentPools ?? SEGMENT_POOLS });
  const catalogue = new Catalogue({ store, state, leasing, flannel, segments, node: node.name });
  state.reset({ entries: kept.entries, revision: 0 });
  for (const network of state.networks()) leasing.subnets(network.id);
  state.take();
  return { state, registration, leasing, flannel, catalogue, telling, participation, addresses };
}
