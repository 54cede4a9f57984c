/** What a sandbox finds as /etc/resolv.conf: the host's file, what was asked for instead, and how it works in there. Docker's. Pure. */
import { familyOf, type IpAddress, isIp, parseIp } from '../base/ip.ts';
import type { SandboxDns } from './sandbox.ts';

/** Docker's choice when the host has none that works elsewhere: Google's public resolvers. */
const FALLBACK4 = ['8.8.8.8', '8.8.4.4'];
const FALLBACK6 = ['2001:4860:4860::8888', '2001:4860:4860::8844'];

/** Where the name service answers in a sandbox. */
export const RESOLVER_ADDRESS = '127.0.0.11';

export const NO_DNS: SandboxDns = { servers: [], search: [], options: [] };

/** What a sandbox asked for, and what it left open as the daemon was told. */
export function mergeDns(own: SandboxDns = NO_DNS, daemon: SandboxDns = NO_DNS): SandboxDns {
  const either = (kind: keyof SandboxDns): readonly string[] => (own[kind].length > 0 ? own[kind] : daemon[kind]);
  return { servers: either('servers'), search: either('search'), options: either('options') };
}

/** A resolv.conf(5). */
export interface ResolvConf {
  readonly servers: readonly string[];
  /** Of the last `search` or `domain` line. */
  readonly search: readonly string[];
  readonly options: readonly string[];
  /** Lines that are none of these, such as `sortlist`. */
  readonly other: readonly string[];
}

export function parseResolvConf(text: string): ResolvConf {
  const servers: string[] = [];
  const options: string[] = [];
  const other: string[] = [];
  let search: readonly string[] = [];
  for (const line of text.split('\n')) {
    const [word = '', ...values] = line.trim().split(/\s+/);
    if (word === '' || word.startsWith('#') || word.startsWith(';')) continue;
    const [value] = values;
    if (word === 'nameserver') servers.push(...(value !== undefined && isIp(value) ? [value] : []));
    else if (word === 'search' || word === 'domain') search = value === undefined ? search : values;
    else if (word === 'options') options.push(...values);
    else other.push(line.trim());
  }
  return { servers, search, options, other };
}

export interface ResolvConfOptions {
  /**
   * `named`: our resolver is in there, and asks the servers. `plain`: programs ask them themselves, so that those on the host's loopback and of a
   * family that the sandbox lacks are left out. `host`: the stack is the host's own.
   */
  readonly kind: 'named' | 'plain' | 'host';
  readonly ipv6: boolean;
  /** What takes the place of the host's words, kind by kind. */
  readonly own?: SandboxDns;
}

/** @param host the host's resolv.conf */
export function resolvConf(host: string, { kind, ipv6, own = NO_DNS }: ResolvConfOptions): string {
  const found = parseResolvConf(host);
  const asked = own.servers.length > 0 ? own.servers : found.servers;
  const options = own.options.length > 0 ? own.options : found.options;
  const search = own.search.length > 0 ? own.search.filter((name) => name !== '.') : found.search;
  const servers = kind === 'named' ? [RESOLVER_ADDRESS] : kind === 'host' || own.servers.length > 0 ? asked : usable(asked, ipv6);
  const all = kind === 'named' ? withNdots(options) : options;
  return [
    ...servers.map((server) => `nameserver ${server}`),
    ...(search.length > 0 ? [`search ${search.join(' ')}`] : []),
    ...(all.length > 0 ? [`options ${all.join(' ')}`] : []),
    ...found.other,
    '',
    ...comments({ kind, asked, own, all, found }),
    '',
  ].join('\n');
}

/** Names without a dot are asked for as they are: they are names of ours. Docker keeps a valid `ndots` of the host's as well. */
function withNdots(options: readonly string[]): readonly string[] {
  const kept = options.filter((option) => !isNdots(option) || /^ndots:\d+$/.test(option));
  return kept.some(isNdots) ? kept : [...kept, 'ndots:0'];
}

const isNdots = (option: string): boolean => option.split(':', 1)[0] === 'ndots';

/** Servers that can be asked from inside; Docker's fallback when there are none. */
function usable(servers: readonly string[], ipv6: boolean): readonly string[] {
  const left = servers.filter((server) => !isLoopback(parseIp(server)) && (ipv6 || familyOf(parseIp(server)) === 4));
  return left.length > 0 ? left : [...FALLBACK4, ...(ipv6 ? FALLBACK6 : [])];
}

export const isLoopback = (address: IpAddress): boolean => address.startsWith('127.') || address === '::1';

/** For whoever reads the file and wonders: Docker's words, which tools look for. */
function comments({
  kind,
  asked,
  own,
  all,
  found,
}: {
  readonly kind: ResolvConfOptions['kind'];
  readonly asked: readonly string[];
  readonly own: SandboxDns;
  readonly all: readonly string[];
  readonly found: ResolvConf;
}): string[] {
  const from = { named: ' (internal resolver)', plain: ' (legacy)', host: '' }[kind];
  const external = asked.map((server) => (own.servers.length > 0 ? server : `host(${server})`));
  const overrides = [
    ...(own.servers.length > 0 ? ['nameservers'] : []),
    ...(own.search.length > 0 ? ['search'] : []),
    ...(own.options.length > 0 ? ['options'] : []),
  ];
  const ndots = all.findLast(isNdots);
  const ndotsFrom = own.options.some((one) => one === ndots)
    ? 'override'
    : found.options.some((one) => one === ndots)
      ? 'host'
      : 'internal';
  return [
    `# Based on host file: '/etc/resolv.conf'${from}`,
    ...(kind === 'named'
      ? [external.length > 0 ? `# ExtServers: [${external.join(' ')}]` : '# NO EXTERNAL NAMESERVERS DEFINED']
      : []),
    `# Overrides: [${overrides.join(' ')}]`,
    ...(ndots === undefined ? [] : [`# Option ndots from: ${ndotsFrom}`]),
  ];
}
