/** The three files a sandbox finds under /etc: what Docker writes there. Pure. */
import { addressOf, familyOf, isIp, parseIp } from '../base/ip.ts';
import type { Change } from '../contracts/change.ts';
import type { HostFacts } from '../contracts/kernel.ts';
import type { Instance } from '../model/instance.ts';
import type { Sandbox, SandboxDns } from '../model/sandbox.ts';

/** What /etc/hosts starts with in a container (libnetwork's etchosts). */
const LOCALHOST = [
  '127.0.0.1\tlocalhost',
  '::1\tlocalhost ip6-localhost ip6-loopback',
  'fe00::\tip6-localnet',
  'ff00::\tip6-mcastprefix',
  'ff02::1\tip6-allnodes',
  'ff02::2\tip6-allrouters',
];

/** Docker's choice when the host has none that works elsewhere: Google's public resolvers. */
const FALLBACK4 = ['8.8.8.8', '8.8.4.4'];
const FALLBACK6 = ['2001:4860:4860::8888', '2001:4860:4860::8844'];

/** Folder of sandbox files. */
export const filesDirectory = (instance: Instance): string => `${instance.execRoot}/sandboxes`;

/** Host path by target path; empty for a sandbox that is the host itself, which keeps the host's files. */
export function fileTargets(instance: Instance, sandbox: Sandbox): Record<string, string> {
  if (sandbox.netns.type === 'host') return {};
  const directory = `${filesDirectory(instance)}/${sandbox.id}`;
  return {
    '/etc/hosts': `${directory}/hosts`,
    '/etc/resolv.conf': `${directory}/resolv.conf`,
    '/etc/hostname': `${directory}/hostname`,
  };
}

/** Contents by target path. */
export function fileContents(sandbox: Sandbox, facts: HostFacts): Record<string, string> {
  if (sandbox.netns.type === 'host') return {};
  return {
    '/etc/hosts': hostsFile(sandbox),
    '/etc/resolv.conf': resolvConf(facts.resolvConf, {
      ipv6: sandbox.endpoints.some((endpoint) => endpoint.ipv6 !== null),
      ...(sandbox.dns === undefined ? {} : { own: sandbox.dns }),
    }),
    '/etc/hostname': `${sandbox.hostname}\n`,
  };
}

/** The changes from one state of a sandbox to another; `null`: it does not exist. Files that stay as they are make none. */
export function fileChanges(
  instance: Instance,
  { before, after }: { readonly before: Sandbox | null; readonly after: Sandbox | null },
  facts: HostFacts,
): Change[] {
  const some = after ?? before;
  if (some === null) return [];
  const old = before === null ? {} : fileContents(before, facts);
  const wanted = after === null ? {} : fileContents(after, facts);
  const changes: Change[] = [];
  for (const [target, path] of Object.entries(fileTargets(instance, some))) {
    const change = { path, value: wanted[target] ?? null, old: old[target] ?? null };
    if (change.value === change.old) continue;
    changes.push({ kind: 'file', ...change, mode: 0o644, ...(some.managed === true ? { inPlace: true } : {}) });
  }
  return changes;
}

export function hostsFile(sandbox: Sandbox): string {
  const { hostname, domainname = '' } = sandbox;
  const names = [...new Set([...(domainname === '' ? [] : [`${hostname}.${domainname}`]), hostname, sandbox.name])].join(' ');
  const extra = (sandbox.extraHosts ?? []).map(({ name, address }) => `${address}\t${name}`);
  const own = sandbox.endpoints.flatMap((endpoint) =>
    [endpoint.ipv4, endpoint.ipv6].flatMap((address) => (address === null ? [] : [`${addressOf(address)}\t${names}`])),
  );
  return `${[...LOCALHOST, ...extra, ...own].join('\n')}\n`;
}

/**
 * The host's resolv.conf as it works inside a sandbox: without resolvers on the loopback, which is another one there, and without
 * those it has no IPv6 for. What the user set takes the place of the host's, kind by kind.
 */
export function resolvConf(host: string, { ipv6, own }: { readonly ipv6: boolean; readonly own?: SandboxDns }): string {
  const servers: string[] = [];
  const rest: string[] = [];
  for (const line of host.split('\n')) {
    const [word = '', value = ''] = line.trim().split(/\s+/);
    if (word === '' || word.startsWith('#') || word.startsWith(';')) continue;
    if (word !== 'nameserver') rest.push(line.trim());
    else if (isIp(value) && reachable(value, ipv6)) servers.push(value);
  }
  if (own !== undefined) return ownResolvConf(own, servers, rest);
  if (servers.length === 0) servers.push(...FALLBACK4, ...(ipv6 ? FALLBACK6 : []));
  return `${[...servers.map((server) => `nameserver ${server}`), ...rest].join('\n')}\n`;
}

function ownResolvConf({ servers, search, options }: SandboxDns, hosts: readonly string[], rest: readonly string[]): string {
  const replaced = [...(search.length > 0 ? ['search', 'domain'] : []), ...(options.length > 0 ? ['options'] : [])];
  const used = servers.length > 0 ? servers : hosts.length > 0 ? hosts : FALLBACK4;
  const kept = rest.filter((line) => !replaced.includes(line.split(/\s+/)[0] ?? ''));
  const names = search.filter((name) => name !== '.');
  const lines = [
    ...used.map((server) => `nameserver ${server}`),
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
