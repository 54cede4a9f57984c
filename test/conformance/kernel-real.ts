/** The real kernel under the conformance suite; ip, bridge and nft tell the truth. Runs in namespaces of the test runner's making. */
import '../support/isolated.ts';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '../../src/base/clock.ts';
import { type IfAddress, parsePrefix } from '../../src/base/ip.ts';
import { HOST, type Netns, type Route } from '../../src/contracts/change.ts';
import { createKernel } from '../../src/kernel/kernel.ts';
import { parseTable } from '../../src/nft/parse.ts';
import { render } from '../../src/nft/render.ts';
import type { NftTableRef } from '../../src/nft/types.ts';
import type { KernelUnderTest, NetnsTruth } from './kernel-harness.ts';
import { REF } from './kernel-plans.ts';
import { linkWords, neighbourWords, routeWords, ruleWords, words } from './kernel-words.ts';

export async function openRealKernel(options: { readonly forceNftProgram?: boolean } = {}): Promise<KernelUnderTest> {
  const root = mkdtempSync(join(tmpdir(), 'moor-kernel-'));
  const directory = `${root}/netns`;
  const instance = { id: 'test', dataRoot: `${root}/data`, execRoot: root };
  const kernel = await createKernel({ instance, tableName: REF.name, logger: silentLogger, ...options });
  const holders: (() => void)[] = [];
  const nft = (...args: readonly string[]): string =>
    execFileSync('nft', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  return {
    kernel,
    directory,
    truth: {
      netns: (path) => (path === HOST || existsSync(path) ? truthOf(path) : null),
      table: ({ family, name }: NftTableRef, netns = HOST) => {
        if (!run(netns, 'nft', 'list', 'tables').split('\n').includes(`table ${family} ${name}`)) return null;
        const { chains, sets } = parseTable(run(netns, 'nft', '-j', 'list', 'table', family, name));
        return { chains, sets };
      },
      sysctl: (path, key) => run(path, 'cat', `/proc/sys/${key}`).trim(),
      file: (path) => (existsSync(path) ? { text: readFileSync(path, 'utf8'), mode: statSync(path).mode & 0o7777 } : null),
    },
    foreign: {
      adopt() {
        const holder = spawn('unshare', ['--net', 'sleep', '60'], { stdio: 'ignore' });
        holders.push(() => holder.kill('SIGKILL'));
        const own = readlink(process.pid);
        for (let tries = 0; tries < 1000 && readlink(holder.pid ?? 0) === own; tries++) execFileSync('sleep', ['0.005']);
        return `/proc/${holder.pid}/ns/net`;
      },
      makeTable(table) {
        const file = `${root}/foreign.nft`;
        writeFileSync(file, render(table));
        nft('-f', file);
        rmSync(file);
        holders.push(() => nft('delete', 'table', table.family, table.name));
      },
      removeLink: (path, name) => void run(path, 'ip', 'link', 'del', name),
      removeAddress: (path, device, address: IfAddress) => void run(path, 'ip', 'addr', 'del', address, 'dev', device),
      flushRoutes: (path, device) => void run(path, 'ip', 'route', 'flush', 'dev', device),
      flushRuleset: (netns = HOST) => void run(netns, 'nft', 'flush', 'ruleset'),
      removeNetns(path) {
        // As `ip netns del` does: who has the file open does not hold the mount.
        execFileSync('umount', ['-l', path]);
        rmSync(path);
      },
    },
    async [Symbol.asyncDispose]() {
      await kernel[Symbol.asyncDispose]();
      for (const end of holders) end();
      // Of a test that failed half way: the next one starts afresh. These namespaces are the test's own.
      for (const { ifname } of JSON.parse(run(HOST, 'ip', '-j', 'link')) as readonly IpLink[]) {
        if (ifname !== 'lo' && existsSync(`/sys/class/net/${ifname}`)) run(HOST, 'ip', 'link', 'del', ifname);
      }
      nft('flush', 'ruleset');
      // What a failed test left; the runner reports what lies elsewhere.
      for (const line of readFileSync('/proc/self/mounts', 'utf8').split('\n')) {
        const path = line.split(' ')[1] ?? '';
        if (path.startsWith(`${root}/`)) execFileSync('umount', ['-l', path]);
      }
      rmSync(root, { recursive: true, force: true });
    },
  };
}

const readlink = (pid: number): string => execFileSync('readlink', [`/proc/${pid}/ns/net`], { encoding: 'utf8' });

function run(netns: Netns, ...command: readonly string[]): string {
  const [file = '', ...args] = netns === HOST ? command : ['nsenter', `--net=${netns}`, ...command];
  return execFileSync(file, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Fields of iproute2's JSON; those that are not there are undefined. */
interface IpLink {
  readonly ifname: string;
  readonly flags: readonly string[];
  readonly mtu: number;
  readonly master?: string;
  readonly ifalias?: string;
  readonly linkinfo?: {
    readonly info_kind?: string;
    readonly info_slave_data?: { readonly isolated?: boolean; readonly hairpin?: boolean };
  };
}
interface IpAddr {
  readonly ifname: string;
  readonly addr_info: readonly {
    readonly local: string;
    readonly prefixlen: number;
    readonly scope: string;
    readonly protocol?: string;
  }[];
}
interface IpRoute {
  readonly dst: string;
  readonly type?: string;
  readonly gateway?: string;
  readonly dev?: string;
  readonly prefsrc?: string;
  readonly metric?: number;
  readonly protocol: string;
  readonly table?: string;
  readonly flags: readonly string[];
}
interface IpRule {
  readonly priority: number;
  readonly src: string;
  readonly srclen?: number;
  readonly fwmark?: string;
  readonly iif?: string;
  readonly table: string;
  readonly suppress_prefixlen?: number;
}
interface IpNeigh {
  readonly dst: string;
  readonly dev: string;
  readonly lladdr?: string;
  readonly state: readonly string[];
}
interface BridgeFdb {
  readonly mac: string;
  readonly ifname: string;
  readonly dst?: string;
  readonly state?: string;
  readonly flags: readonly string[];
  readonly master?: string;
}

function truthOf(netns: Netns): NetnsTruth {
  const json = <T>(...command: readonly string[]): readonly T[] => JSON.parse(run(netns, ...command) || '[]') as readonly T[];
  return {
    links: json<IpLink>('ip', '-j', '-d', 'link').map(({ ifname, flags, mtu, master, ifalias, linkinfo }) =>
      linkWords({
        name: ifname,
        type: linkinfo?.info_kind ?? '',
        up: flags.includes('UP'),
        mtu,
        master: master ?? '',
        alias: ifalias ?? '',
        isolated: linkinfo?.info_slave_data?.isolated ?? false,
        hairpin: linkinfo?.info_slave_data?.hairpin ?? false,
      }),
    ),
    addresses: json<IpAddr>('ip', '-j', 'addr').flatMap(({ ifname, addr_info }) =>
      addr_info.filter(({ scope }) => scope === 'global').map(({ local, prefixlen }) => `${ifname} ${local}/${prefixlen}`),
    ),
    routes: ([4, 6] as const).flatMap((family) =>
      json<IpRoute>('ip', `-${family}`, '-j', '-d', 'route', 'show', 'table', 'all')
        .filter(({ protocol, table }) => protocol !== 'kernel' && table !== 'local')
        .map((route) => ipRoute(route, family)),
    ),
    rules: ([4, 6] as const).flatMap((family) =>
      json<IpRule>('ip', `-${family}`, '-j', 'rule')
        .filter(({ priority }) => priority !== 0 && priority < 32766)
        .map(({ priority, src, srclen, fwmark, iif, table, suppress_prefixlen: suppress }) =>
          ruleWords({
            family,
            priority,
            table: Number(table),
            ...(src === 'all' ? {} : { from: parsePrefix(`${src}/${srclen ?? 32}`) }),
            ...(fwmark === undefined ? {} : { fwmark: Number(fwmark) }),
            ...(iif === undefined ? {} : { iif }),
            ...(suppress === undefined ? {} : { suppressPrefixLength: suppress }),
          }),
        ),
    ),
    neighbours: json<IpNeigh>('ip', '-j', 'neigh')
      .filter(({ state }) => state.includes('PERMANENT'))
      .map(({ dst, dev, lladdr }) =>
        neighbourWords({ address: dst, device: dev, mac: lladdr, state: 'permanent' } as Parameters<typeof neighbourWords>[0]),
      ),
    fdb: json<BridgeFdb>('bridge', '-j', 'fdb')
      .filter(({ state, dst }) => state === 'static' || (state === 'permanent' && dst !== undefined))
      .map(({ mac, ifname, dst }) => words(`${mac} dev ${ifname}`, dst !== undefined && `dst ${dst}`)),
  };
}

function ipRoute(route: IpRoute, family: 4 | 6): string {
  const type = route.type ?? 'unicast';
  const destination =
    route.dst === 'default'
      ? family === 4
        ? '0.0.0.0/0'
        : '::/0'
      : route.dst.includes('/')
        ? route.dst
        : `${route.dst}/${family === 4 ? 32 : 128}`;
  // IPv6 shows 1024 where no metric was given.
  const metric = family === 6 && route.metric === 1024 ? undefined : route.metric;
  const { gateway, dev, prefsrc, table, flags } = route;
  return routeWords(
    Object.fromEntries(
      Object.entries({
        destination: parsePrefix(destination),
        type,
        via: gateway,
        device: type === 'unicast' || type === 'local' ? dev : undefined,
        source: prefsrc,
        metric,
        table: table === undefined || table === 'main' ? undefined : Number(table),
        onlink: flags.includes('onlink') || undefined,
      }).filter(([, value]) => value !== undefined),
    ) as unknown as Route,
  );
}
