/** The cluster of the daemon's configuration. What only a host in one needs in memory is loaded here, late. */
import { hostname } from 'node:os';
import { type Logger, systemClock } from '../../base/clock.ts';
import { invalid } from '../../base/errors.ts';
import type { Id } from '../../base/ids.ts';
import { addressOf, familyOf, type IpAddress, isIp, parseIp } from '../../base/ip.ts';
import { HOST } from '../../contracts/change.ts';
import type { Cluster } from '../../contracts/cluster.ts';
import type { NetworkDriver } from '../../contracts/driver.ts';
import type { Kernel } from '../../contracts/kernel.ts';
import type { Paths } from '../../contracts/paths.ts';
import type { Store } from '../../contracts/store.ts';
import { CLUSTER_KEY, PATHS_KEY, UNDERLAY_KEY } from '../../engine/records.ts';
import type { Network } from '../../model/network.ts';
import type { ClusterNode, NodePart, Underlay } from '../../model/node.ts';
import { openClusterStore, shownStoreUrl } from './cluster-store.ts';
import type { DaemonConfig } from './config.ts';
import { rowOf } from './underlay.ts';

export interface ClusterDeps {
  readonly config: DaemonConfig;
  readonly version: string;
  readonly store: Store;
  readonly kernel: Kernel;
  readonly drivers: readonly NetworkDriver[];
  readonly logger: Logger;
}

/** Disposing it does not leave the cluster. */
export interface ClusterLink extends AsyncDisposable {
  readonly cluster: Cluster;
  readonly underlay: () => Promise<Underlay>;
  /** What the ways to the others take. */
  readonly paths: Paths;
  /** Until it is told, a network counts as in use. */
  readonly useBy: (inUse: (network: Id) => boolean) => void;
}

/**
 * @returns null for a host that is in none
 * @throws invalid for what can never work: no such device, a peers file that cannot be read
 */
export async function openCluster({ config, version, store, kernel, drivers, logger }: ClusterDeps): Promise<ClusterLink | null> {
  const { clusterStore, peersFile } = config;
  if (clusterStore === null && peersFile === null) return null;
  await using stack = new AsyncDisposableStack();
  const name = config.nodeName ?? hostname();
  const { uplink } = await kernel.facts();
  const wanted = config.clusterAdvertise ?? uplink;
  if (wanted === '')
    throw invalid(
      'invalid cluster-advertise: this host has no default route, so name the device or address: --cluster-advertise eth1',
    );
  const first = await underlayOf(kernel, { node: name, wanted });
  if (first === null)
    throw invalid(
      `invalid cluster-advertise ${wanted}: this host has no such device or address, or none by which others reach it`,
    );
  let last = first;
  const { openPaths } = await import('../../paths/paths.ts');
  const paths = stack.use(openPaths({ logger, ...(await rowOf(store, PATHS_KEY)) }));
  let move: Cluster['move'] = () => {};
  const row = await rowOf(store, UNDERLAY_KEY);
  let remembered = row.kept;
  const remember = (now: Underlay): void => {
    const text = JSON.stringify(now);
    if (text === remembered) return;
    remembered = text;
    row.keep(text).catch((error: unknown) => logger.error({ err: error }, 'could not keep where this host meets the others'));
  };
  const underlay = async (): Promise<Underlay> => {
    last = (await underlayOf(kernel, { node: name, wanted })) ?? last;
    remember(last);
    // Whoever asks for facts has been told that something changed: the others hear of it at once.
    move({ addresses: last.addresses.map(addressOf), mtu: last.mtu });
    return withPaths(last, paths);
  };
  const features = await kernel.features();
  const node: ClusterNode = {
    name,
    addresses: first.addresses.map(addressOf),
    mtu: first.mtu,
    version,
    features: features.filter(({ state }) => state === 'yes').map((feature) => feature.name),
    started: new Date(systemClock.now()).toISOString(),
  };
  const { openKept } = await import('../../cluster/kept-store.ts');
  const { kept, keep } = await openKept(store, CLUSTER_KEY);
  const facts = await kernel.facts();
  let inUse: (network: Id) => boolean = () => true;
  const part = (network: Network): NodePart => ({
    ...drivers.find(({ type }) => type === network.driver)?.peerData?.(network, { ...facts, underlay: last }),
    inUse: inUse(network.id),
  });
  let cluster: Cluster;
  if (clusterStore === null) {
    const { createFileCluster } = await import('../../cluster/file/file-cluster.ts');
    cluster = stack.use(await createFileCluster({ file: peersFile ?? '', node, logger, kept, keep }));
  } else {
    const [{ createStoreCluster }, opened] = await Promise.all([
      import('../../cluster/store-cluster.ts'),
      openClusterStore(clusterStore, logger),
    ]);
    const { openPrefix, store: shared } = opened;
    stack.use(shared);
    cluster = await createStoreCluster({
      store: shared,
      url: shownStoreUrl(clusterStore),
      node,
      clock: systemClock,
      logger,
      part,
      kept,
      keep,
      ...(config.nodeTtlMs === null ? {} : { nodeTtlMs: config.nodeTtlMs }),
      ...(config.clusterPools === null
        ? {}
        : { segmentPools: config.clusterPools.map(({ base, size }) => ({ base, length: size })) }),
      ...(config.subnetTtlMs === null ? {} : { subnetTtlMs: config.subnetTtlMs }),
      // flannel's keys lie beside ours. The cluster closes what it opens.
      ...(openPrefix ? { openPrefix } : {}),
    });
    const joined = cluster;
    // At once: what asks a store that is away would be waited for, and nobody waits for the answer any more.
    stack.defer(async () => void (await Promise.all([joined[Symbol.asyncDispose](), shared[Symbol.asyncDispose]()])));
  }
  move = cluster.move;
  const owned = stack.move();
  return {
    cluster,
    underlay,
    paths,
    useBy: (told) => void (inUse = told),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** With what takes less than the device. */
function withPaths(underlay: Underlay, paths: Paths): Underlay {
  const narrow = paths
    .reports()
    .flatMap(([address, { mtu }]) => (mtu !== null && mtu < underlay.mtu ? [[address, mtu] as const] : []));
  return {
    ...underlay,
    ...(narrow.length === 0 ? {} : { paths: Object.fromEntries(narrow) as Record<IpAddress, number> }),
    ...(paths.broken() ? { brokenChecksums: true } : {}),
  };
}

/** Addresses that lead no other host here: of a link alone, and of this host alone. Those of `lo` that are routed are as good as any. */
const OF_NO_USE = /^(fe80:|169\.254\.|127\.|::1\/)/;

/** @param wanted a device, or an address of one, whose family is then preferred. @returns null when there is no such one */
async function underlayOf(
  kernel: Kernel,
  { node, wanted }: { readonly node: string; readonly wanted: string },
): Promise<Underlay | null> {
  const [host] = await kernel.snapshot([HOST], ['links', 'addresses']);
  const address = isIp(wanted) ? parseIp(wanted) : null;
  const device = address === null ? wanted : (host?.addresses.find((one) => addressOf(one.address) === address)?.device ?? '');
  const link = host?.links.find(({ name }) => name === device);
  const all = (host?.addresses ?? []).filter((one) => one.device === device && !OF_NO_USE.test(one.address));
  const preferred = address === null ? [] : all.filter((one) => addressOf(one.address) === address);
  const found = ([4, 6] as const).flatMap((family) => {
    const own = [...preferred, ...all].find((one) => familyOf(one.address) === family);
    return own === undefined ? [] : [own.address];
  });
  if (link === undefined || found.length === 0) return null;
  const addresses = address !== null && familyOf(address) === 6 ? found.toReversed() : found;
  return { node, device, mtu: link.mtu, addresses };
}
