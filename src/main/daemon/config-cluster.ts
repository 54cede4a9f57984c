/** The part of the configuration that says which cluster this host is in, and as what. */
import { resolve } from 'node:path';
import { invalid } from '../../base/errors.ts';
import { isIp } from '../../base/ip.ts';
import type { AddressPool } from '../../ipam/local/defaults.ts';
import { checkHostname } from '../../model/names.ts';
import { checkStoreUrl } from './cluster-store.ts';
import { addressPool, named } from './config-values.ts';
import type { FlagName } from './flags.ts';

export interface ClusterConfig {
  /** `etcd://…`, `consul://…` or `zk://…`, checked; null: this host shares no store. Never beside `peersFile`. */
  readonly clusterStore: string | null;
  readonly peersFile: string | null;
  /** A device or an address; null: the device of the default route. */
  readonly clusterAdvertise: string | null;
  readonly nodeName: string | null;
  /** Milliseconds; null: the cluster's own choice. */
  readonly nodeTtlMs: number | null;
  readonly subnetTtlMs: number | null;
  /** Subnets of networks that are one segment on all hosts; null: the built-in ones. */
  readonly clusterPools: readonly AddressPool[] | null;
}

const HOUR_MS = 3_600_000;
/** etcd gives no lease for less than one and a half of its election time-outs, which is a second. */
const TTL_LEAST_MS = 2_000;

/** @throws invalid */
export function clusterOf(text: (name: FlagName) => string | null, pools: readonly string[] | undefined): ClusterConfig {
  const [clusterStore, peers, advertise, nodeName] = [
    text('cluster-store'),
    text('peers'),
    text('cluster-advertise'),
    text('node-name'),
  ];
  const clusterAdvertise = advertise === null ? null : withoutPort(advertise);
  if (clusterStore !== null) named('cluster-store', () => checkStoreUrl(clusterStore));
  if (clusterStore !== null && peers !== null)
    throw invalid('invalid peers: there is a cluster-store as well, and who is in the cluster is told by one of them');
  if (clusterStore === null && peers === null && (clusterAdvertise ?? nodeName) !== null)
    throw invalid(
      `invalid ${clusterAdvertise === null ? 'node-name' : 'cluster-advertise'}: this host is in no cluster (cluster-store, peers)`,
    );
  // Device names are at most 15 bytes (IFNAMSIZ - 1, <linux/if.h>).
  if (clusterAdvertise !== null && !isIp(clusterAdvertise) && !/^[^\s/:]{1,15}$/.test(clusterAdvertise))
    throw invalid(`invalid cluster-advertise ${JSON.stringify(advertise)}: it is a device or an IP address`);
  if (nodeName !== null) named('node-name', () => checkHostname(nodeName));
  const ttl = (name: 'node-ttl' | 'subnet-ttl', most: number): number | null => {
    const value = text(name);
    if (value !== null && clusterStore === null) throw invalid(`invalid ${name}: this host shares no store (cluster-store)`);
    return value === null ? null : duration(name, value, { least: TTL_LEAST_MS, most });
  };
  if (pools !== undefined && clusterStore === null)
    throw invalid('invalid cluster-address-pool: this host shares no store (cluster-store)');
  return {
    clusterStore,
    // It is read again and again: where the daemon was started, which is where it stays, counts.
    peersFile: peers === null ? null : resolve(peers),
    clusterAdvertise,
    nodeName,
    nodeTtlMs: ttl('node-ttl', HOUR_MS),
    subnetTtlMs: ttl('subnet-ttl', 720 * HOUR_MS),
    clusterPools: pools?.map((one) => addressPool('cluster-address-pool', one)) ?? null,
  };
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: HOUR_MS };

/** @returns milliseconds @throws invalid */
function duration(name: string, text: string, { least, most }: { readonly least: number; readonly most: number }): number {
  const { number = '', unit = '' } = /^(?<number>\d{1,9})(?<unit>ms|s|m|h)$/.exec(text)?.groups ?? {};
  const ms = Number(number || Number.NaN) * (UNIT_MS[unit] ?? Number.NaN);
  if (ms >= least && ms <= most) return ms;
  throw invalid(`invalid ${name} ${JSON.stringify(text)}: it is ${least / 1000}s to ${most / HOUR_MS}h, such as 30s or 24h`);
}

/** Docker's form had the port of its API behind it, `eth1:2376`. Hosts meet in the store here, and networks have ports of their own. */
const withoutPort = (text: string): string => {
  const { v6, other } = /^(?:\[(?<v6>[^\]]+)\]|(?<other>[^:]+)):\d{1,5}$/.exec(text)?.groups ?? {};
  return v6 ?? other ?? text;
};
