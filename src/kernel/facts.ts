/** What the host is like, for those who plan. */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { familyOf } from '../base/ip.ts';
import type { Route } from '../contracts/change.ts';
import type { HostFacts } from '../contracts/kernel.ts';
import { parseResolvConf } from '../model/resolv-conf.ts';
import { parseChains } from '../nft/parse.ts';
import type { NftTableRef } from '../nft/types.ts';
import { dump } from './dump.ts';
import { foreignOutput } from './foreign-output.ts';
import { type NftRunner, list } from './nft-run.ts';
import { legacyTables } from './ruleset.ts';
import type { Space } from './spaces.ts';
import { readSysctls } from './sysctl.ts';

/** What a plan may change, or decides by. `UPLINK` stands for the device of the default route. */
const SYSCTLS = [
  'net/ipv4/ip_forward',
  'net/ipv6/conf/all/forwarding',
  'net/ipv6/conf/default/forwarding',
  'net/ipv6/conf/all/disable_ipv6',
  'net/ipv4/conf/all/route_localnet',
  'net/ipv4/neigh/default/gc_thresh1',
  'net/ipv4/neigh/default/gc_thresh2',
  'net/ipv4/neigh/default/gc_thresh3',
  'net/ipv6/neigh/default/gc_thresh1',
  'net/ipv6/neigh/default/gc_thresh2',
  'net/ipv6/neigh/default/gc_thresh3',
  'net/core/netdev_max_backlog',
  'net/bridge/bridge-nf-call-iptables',
  'net/bridge/bridge-nf-call-ip6tables',
  'net/ipv6/conf/UPLINK/accept_ra',
] as const;

/** bytes; Ethernet's, when there is no uplink to ask */
const DEFAULT_MTU = 1500;

/** @param own our table: its chains are not foreign */
export function hostFacts(host: Space, nft: NftRunner, own: NftTableRef): HostFacts {
  host.forgetLinks();
  const { links, addresses, routes: all } = dump(host, ['links', 'addresses', 'routes']);
  // A local route leads nowhere else, also one to everything (for a transparent proxy).
  const routes = all.filter(({ type }) => type !== 'local');
  const uplink = defaultRoute(routes)?.device ?? '';
  const sysctls = readSysctls(
    SYSCTLS.filter((key) => uplink !== '' || !key.includes('UPLINK')).map((key) => key.replace('UPLINK', uplink)),
  );
  const bridgeNf = ['net/bridge/bridge-nf-call-iptables', 'net/bridge/bridge-nf-call-ip6tables'].map((key) => sysctls[key]);
  return {
    uplink,
    uplinkMtu: links.find((link) => link.name === uplink)?.mtu ?? DEFAULT_MTU,
    routes: routes.map((route) => route.destination),
    addresses: addresses.map((entry) => entry.address),
    bridgeNf: bridgeNf[0] === undefined ? null : bridgeNf.includes('1'),
    sysctls,
    ...foreignChains(nft, own),
    ...resolvConfs(),
    hostname: hostname(),
  };
}

/** The one that packets take: main table, IPv4 before IPv6, lowest metric. */
function defaultRoute(routes: readonly Route[]): Route | undefined {
  const candidates = routes.filter(
    (route) =>
      route.destination.endsWith('/0') && route.device !== undefined && route.type === undefined && route.table === undefined,
  );
  return candidates.sort((a, b) => familyOf(a.destination) - familyOf(b.destination) || (a.metric ?? 0) - (b.metric ?? 0))[0];
}

/** Base chains that forwarded packets pass, with the chain that iptables users of Docker's put their own rules in; and those that what we send may end at. */
function foreignChains(nft: NftRunner, own: NftTableRef): Pick<HostFacts, 'foreignForward' | 'unseenForward' | 'foreignOutput'> {
  const unseen = legacyTables().some((name) => LEGACY_FORWARD.test(name)) ? ({ unseenForward: true } as const) : {};
  const listing = list(nft, 'list chains');
  if (listing === null) return { foreignForward: [], ...unseen };
  const { base, regular } = parseChains(listing);
  const foreign = base.filter(({ family, table }) => family !== own.family || table !== own.name);
  const output = foreignOutput(nft, foreign);
  return {
    foreignForward: foreign
      .filter(({ hook, type, family }) => hook === 'forward' && type === 'filter' && FORWARDING.has(family))
      .map(({ family, table, chain, policy }) => ({
        family,
        table,
        chain,
        policy,
        userChain: regular.has(`${family} ${table} DOCKER-USER`) ? 'DOCKER-USER' : null,
      })),
    ...unseen,
    ...(output.length === 0 ? {} : { foreignOutput: output }),
  };
}

/** Tables of iptables-legacy with a chain FORWARD. */
const LEGACY_FORWARD = /^ip6? (filter|mangle|security)$/;

/** Families whose forward hook IP packets pass. */
const FORWARDING: ReadonlySet<string> = new Set(['inet', 'ip', 'ip6']);

/** resolv.conf(5), systemd-resolved.service(8) */
function resolvConfs(): Pick<HostFacts, 'resolvConf' | 'resolvedConf'> {
  const resolvConf = text('/etc/resolv.conf');
  const { servers } = parseResolvConf(resolvConf);
  const resolved = servers.length > 0 && servers.every((server) => server === STUB) ? text(RESOLVED) : '';
  return resolved === '' ? { resolvConf } : { resolvConf, resolvedConf: resolved };
}

const STUB = '127.0.0.53';
const RESOLVED = '/run/systemd/resolve/resolv.conf';

function text(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
