/** The store that `--cluster-store` names. Each is loaded late: a daemon has one of them, or none. */
import { bootClock } from '../../base/boot-clock.ts';
import type { Logger } from '../../base/clock.ts';
import { invalid } from '../../base/errors.ts';
import { shown } from '../../base/shown.ts';
import type { Store } from '../../contracts/store.ts';
import { parseConsulUrl } from '../../store/consul/url.ts';
import { parseEtcdUrl } from '../../store/etcd/url.ts';
import { parseZookeeperUrl } from '../../store/zookeeper/url.ts';

export interface ClusterStore {
  readonly store: Store;
  /** Another part of the same servers, for what others keep beside us: flannel, which knows etcd only. */
  readonly openPrefix?: (prefix: string) => Promise<Store>;
}

interface Kind {
  readonly check: (url: string) => unknown;
  readonly open: (url: string, logger: Logger) => Promise<ClusterStore>;
}

const etcd: Kind = {
  check: parseEtcdUrl,
  open: async (url, logger) => {
    const { openEtcdStore } = await import('../../store/etcd/store.ts');
    const options = { ...parseEtcdUrl(url), clock: bootClock, logger };
    return { store: await openEtcdStore(options), openPrefix: (prefix) => openEtcdStore({ ...options, prefix }) };
  },
};

const consul: Kind = {
  check: (url) => parseConsulUrl(url),
  open: async (url, logger) => {
    const { openConsulStore } = await import('../../store/consul/store.ts');
    return { store: await openConsulStore({ ...parseConsulUrl(url), clock: bootClock, logger }) };
  },
};

const zookeeper: Kind = {
  check: parseZookeeperUrl,
  open: async (url, logger) => {
    const { openZookeeperStore } = await import('../../store/zookeeper/store.ts');
    return { store: await openZookeeperStore({ ...parseZookeeperUrl(url), clock: bootClock, logger }) };
  },
};

const KINDS: ReadonlyMap<string, Kind> = new Map([
  ['etcd', etcd],
  ['consul', consul],
  ['zk', zookeeper],
  ['zookeeper', zookeeper],
]);

/** @throws invalid, naming the part that is wrong; it repeats no password */
export function checkStoreUrl(url: string): void {
  kindOf(url).check(url);
}

/** Does not wait for a server. @throws invalid for what can never work, such as a certificate that cannot be read */
export const openClusterStore = (url: string, logger: Logger): Promise<ClusterStore> => kindOf(url).open(url, logger);

/** For people: without password or token. */
export const shownStoreUrl = (url: string): string => url.replace(/^([a-z]+:\/\/)[^/?#]*@/, '$1');

function kindOf(url: string): Kind {
  const scheme = /^([^:/?#]*):\/\//.exec(url)?.[1];
  const kind = KINDS.get(scheme ?? '');
  if (kind) return kind;
  const what = scheme === undefined ? '' : ` ${JSON.stringify(`${shown(scheme, 20)}://`)}`;
  throw invalid(`unknown store${what}: it is etcd://HOST:2379/prefix, consul://HOST:8500/prefix or zk://HOST:2181/prefix`);
}
