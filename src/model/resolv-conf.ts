/** What a sandbox finds as /etc/resolv.conf. Pure. */
import { familyOf, isIp, parseIp } from '../base/ip.ts';
import type { SandboxDns } from './sandbox.ts';

/** Docker's choice when the host has none that works elsewhere: Google's public resolvers. */
const FALLBACK4 = ['8.8.8.8', '8.8.4.4'];
const FALLBACK6 = ['2001:4860:4860::8888', '2001:4860:4860::8844'];

const NOTHING: SandboxDns = { servers: [], search: [], options: [] };

export interface ResolvConfOptions {
  readonly ipv6: boolean;
  /** The stack is the host's own: its loopback is the one meant. */
  readonly loopback?: boolean;
  readonly own?: SandboxDns;
}

/**
 * The host's resolv.conf as it works inside a sandbox: without resolvers on the loopback, which is another one there, and without
 * those it has no IPv6 for. What the user set takes the place of the host's, kind by kind.
 */
export function resolvConf(host: string, { ipv6, loopback = false, own = NOTHING }: ResolvConfOptions): string {
  const servers: string[] = [];
  const rest: string[] = [];
  for (const line of host.split('\n')) {
    const [word = '', value = ''] = line.trim().split(/\s+/);
    if (word === '' || word.startsWith('#') || word.startsWith(';')) continue;
    if (word !== 'nameserver') rest.push(line.trim());
    else if (isIp(value) && (loopback || reachable(value, ipv6))) servers.push(value);
  }
  if (servers.length === 0) servers.push(...FALLBACK4, ...(ipv6 ? FALLBACK6 : []));
  const { search, options } = own;
  const replaced = [...(search.length > 0 ? ['search', 'domain'] : []), ...(options.length > 0 ? ['options'] : [])];
  const kept = rest.filter((line) => !replaced.includes(line.split(/\s+/)[0] ?? ''));
  const names = search.filter((name) => name !== '.');
  const lines = [
    ...(own.servers.length > 0 ? own.servers : servers).map((server) => `nameserver ${server}`),
    ...kept,
    ...(names.length > 0 ? [`search ${names.join(' ')}`] : []),
    ...(options.length > 0 ? [`options ${options.join(' ')}`] : []),
  ];
  return `${lines.join('\n')}\n`;
}

function reachable(server: string, ipv6: boolean): boolean {
  const address = parseIp(server);
  return familyOf(address) === 4 ? !address.startsWith('127.') : ipv6 && address !== '::1';
}
