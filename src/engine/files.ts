/** The three files a sandbox finds under /etc: what Docker writes there. Pure. */
import { addressOf } from '../base/ip.ts';
import type { Change } from '../contracts/change.ts';
import type { HostFacts } from '../contracts/kernel.ts';
import type { Instance } from '../model/instance.ts';
import { resolvConf } from '../model/resolv-conf.ts';
import type { Sandbox } from '../model/sandbox.ts';

/** What /etc/hosts starts with in a container (libnetwork's etchosts). */
const LOCALHOST = [
  '127.0.0.1\tlocalhost',
  '::1\tlocalhost ip6-localhost ip6-loopback',
  'fe00::\tip6-localnet',
  'ff00::\tip6-mcastprefix',
  'ff02::1\tip6-allnodes',
  'ff02::2\tip6-allrouters',
];

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
