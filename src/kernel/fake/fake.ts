/** The `Kernel` contract in memory: engine tests run without root in milliseconds. It passes the same conformance suite. */
import { type ErrorData, MoorError, errorFrom } from '../../base/errors.ts';
import type { IfAddress } from '../../base/ip.ts';
import { type Change, HOST, type Netns } from '../../contracts/change.ts';
import type { Applied, HostFacts, Kernel, KernelEvent } from '../../contracts/kernel.ts';
import { ALREADY, CHANGED, SKIPPED, failed } from '../failure.ts';
import { applyOne } from './apply.ts';
import { createFakeHostPorts, type FakeHostPorts } from './host-ports.ts';
import { FakeNetns, FakeSpaces } from './state.ts';
import { type FakeTable, type NftMember, applyNft, copyTables, isInner, isNft, tableKey, tableState } from './tables.ts';

/** The kernel, and what only a test may do to it. */
export interface FakeKernel extends Kernel {
  readonly spaces: FakeSpaces;
  readonly tables: Map<string, FakeTable>;
  readonly files: Map<string, string>;
  readonly hostPorts: FakeHostPorts;
  /** Every change that was ever given to `apply`, in order. */
  readonly log: readonly Change[];
  /**
   * Makes changes fail: asked before each one. @param nth counts from 0 since this was set. Undefined lets all pass again.
   */
  failWhen: ((change: Change, nth: number) => boolean) | undefined;
  /** Makes a namespace at a path, as a container runtime would. */
  readonly adopt: (path: string) => void;
  /** What somebody else might do; watchers hear of it. */
  readonly foreign: {
    readonly removeLink: (netns: Netns, name: string) => void;
    readonly removeAddress: (netns: Netns, device: string, address: IfAddress) => void;
    readonly flushRoutes: (netns: Netns, device: string) => void;
    readonly flushRuleset: (netns?: Netns) => void;
    readonly removeNetns: (path: string) => void;
  };
  readonly emit: (event: KernelEvent) => void;
}

export interface FakeOptions {
  readonly facts?: Partial<HostFacts>;
  /** What a failing change says; default EPERM. */
  readonly error?: ErrorData;
}

export function createFakeKernel(options: FakeOptions = {}): FakeKernel {
  const spaces = new FakeSpaces();
  const tables = new Map<string, FakeTable>();
  const files = new Map<string, string>();
  const log: Change[] = [];
  const listeners = new Set<(event: KernelEvent) => void>();
  const observed = new Set<Netns>([HOST]);
  const denied = new MoorError('forbidden', 'Operation not permitted', { kernel: { operation: '', errno: 1, code: 'EPERM' } });
  const injected = options.error === undefined ? denied : errorFrom(options.error);
  let asked = 0;

  const emit = (event: KernelEvent): void => {
    for (const listener of listeners) listener(event);
  };
  const emitIn = (netns: Netns, event: KernelEvent): void => {
    if (observed.has(netns)) emit(event);
  };

  const one = (change: Change, body: () => Applied): Applied => {
    log.push(change);
    if (kernel.failWhen?.(change, asked++)) return failed(change, injected);
    try {
      return body();
    } catch (error) {
      return failed(change, error);
    }
  };

  const tablesIn = (netns: Netns): Map<string, FakeTable> | undefined =>
    netns === HOST ? tables : spaces.byPath.get(netns)?.tables;

  const applyInner = (change: NftMember & { readonly kind: 'nft-table'; readonly netns: Netns }): Applied => {
    if (change.op === 'remove' && !spaces.byPath.has(change.netns)) return ALREADY;
    return applyNft(spaces.get(change.netns).tables, change);
  };

  /** All or nothing; with `keepGoing`, all that can. */
  const transaction = (members: readonly (readonly [number, NftMember])[], keepGoing: boolean, results: Applied[]): boolean => {
    const copy = copyTables(tables);
    let broken = false;
    for (const [index, change] of members) {
      const result = one(change, () => applyNft(copy, change));
      results[index] = result;
      if (result.state !== 'failed') continue;
      broken = true;
      if (keepGoing) continue;
      for (const [other] of members) if (other !== index) results[other] = SKIPPED;
      return false;
    }
    tables.clear();
    for (const [key, table] of copy) tables.set(key, table);
    return !broken;
  };

  const kernel: FakeKernel = {
    spaces,
    tables,
    files,
    hostPorts: createFakeHostPorts(),
    log,
    failWhen: undefined,
    emit,
    async apply(changes, { keepGoing = false } = {}) {
      const results: Applied[] = changes.map(() => SKIPPED);
      const members = changes.flatMap((change, index) => (isNft(change) ? [[index, change] as const] : []));
      const last = members.at(-1)?.[0];
      for (const [index, change] of changes.entries()) {
        if (change.kind === 'conntrack') continue;
        if (isNft(change)) {
          if (index === last && !transaction(members, keepGoing, results) && !keepGoing) return results;
          continue;
        }
        const result = one(change, () => (isInner(change) ? applyInner(change) : applyOne({ spaces, files, keepGoing }, change)));
        results[index] = result;
        if (result.state === 'failed' && !keepGoing) return results;
      }
      // The real one forgets connections last, when no packet can make the old entry again.
      for (const [index, change] of changes.entries()) {
        if (change.kind === 'conntrack') results[index] = one(change, () => CHANGED);
      }
      return results;
    },
    snapshot: async (netns) => netns.map((path) => spaces.byPath.get(path)?.dump(path) ?? null),
    async listTable(table, netns = HOST) {
      const found = tablesIn(netns)?.get(tableKey(table));
      return found === undefined ? null : tableState(found);
    },
    async facts() {
      const host = spaces.get(HOST).dump(HOST);
      const uplink = host.routes.find((route) => route.destination.endsWith('/0'))?.device ?? '';
      return {
        uplink,
        uplinkMtu: host.links.find((link) => link.name === uplink)?.mtu ?? 1500,
        routes: host.routes.map((route) => route.destination),
        addresses: host.addresses.map((entry) => entry.address),
        bridgeNf: null,
        sysctls: {
          'net/ipv4/ip_forward': '0',
          'net/ipv6/conf/all/forwarding': '0',
          ...Object.fromEntries(spaces.get(HOST).sysctls),
        },
        foreignForward: [],
        resolvConf: 'nameserver 192.0.2.53\n',
        hostname: 'fake',
        ...options.facts,
      };
    },
    tableNames: async () => [...tables.values()].map(({ family, name }) => ({ family, name })),
    features: async () => [{ name: 'fake', state: 'yes', why: 'everything is in memory' }],
    pins: async (directory) =>
      [...spaces.byPath.keys()].filter((path) => path.slice(0, path.lastIndexOf('/')) === directory).sort(),
    async watch(listener) {
      // One wrapper a call, so that the same function may watch twice.
      const entry = (event: KernelEvent): void => listener(event);
      listeners.add(entry);
      return async () => void listeners.delete(entry);
    },
    expect() {},
    async observe(netns) {
      for (const path of netns) observed.add(path);
    },
    async forget(netns) {
      for (const path of netns) observed.delete(path);
    },
    adopt: (path) => void spaces.byPath.set(path, new FakeNetns()),
    foreign: {
      removeLink(netns, name) {
        const { peer } = spaces.get(netns).link(name);
        spaces.get(netns).removeLink(name);
        emitIn(netns, { type: 'link', netns, name, gone: true });
        for (const [path, space] of spaces.byPath) {
          if (space === peer?.space) emitIn(path, { type: 'link', netns: path, name: peer.name, gone: true });
        }
      },
      removeAddress(netns, device, address) {
        spaces.get(netns).removeAddress(device, address);
        emitIn(netns, { type: 'address', netns, device });
      },
      flushRoutes(netns, device) {
        const space = spaces.get(netns);
        space.routes = space.routes.filter((route) => route.device !== device);
        emitIn(netns, { type: 'route', netns, device });
      },
      flushRuleset(netns = HOST) {
        const there = tablesIn(netns);
        for (const { family, name } of there?.values() ?? [])
          emitIn(netns, { type: 'nft', table: { family, name }, ...(netns === HOST ? {} : { netns }) });
        there?.clear();
      },
      removeNetns: (path) => void spaces.unpin(path),
    },
    async [Symbol.asyncDispose]() {
      listeners.clear();
    },
  };
  return kernel;
}
