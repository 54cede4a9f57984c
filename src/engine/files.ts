/** The three files a sandbox finds under /etc: what Docker writes there. Pure. */
import type { Id } from '../base/ids.ts';
import { addressOf } from '../base/ip.ts';
import type { Change } from '../contracts/change.ts';
import type { HostFacts } from '../contracts/kernel.ts';
import type { Instance } from '../model/instance.ts';
import type { Network } from '../model/network.ts';
import { mergeDns, resolvConf } from '../model/resolv-conf.ts';
import type { Sandbox, SandboxDns } from '../model/sandbox.ts';
import { askedFor } from '../model/way-out.ts';
import type { Context } from './context.ts';
import { isNamed } from './names.ts';

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

/** What the files depend on beside the sandbox. */
export interface FileWorld {
  readonly facts: Pick<HostFacts, 'resolvConf' | 'resolvedConf'>;
  readonly networks: ReadonlyMap<Id, Network>;
  readonly daemonDns: SandboxDns | undefined;
}

const fileWorld = (ctx: Context, facts: HostFacts): FileWorld => ({
  facts,
  networks: ctx.registry.networks,
  daemonDns: ctx.config.dns,
});

/** Contents by target path. */
function fileContents(sandbox: Sandbox, { facts, networks, daemonDns }: FileWorld): Record<string, string> {
  if (sandbox.netns.type === 'host') return {};
  const named = isNamed(networks, sandbox);
  return {
    '/etc/hosts': hostsFile(sandbox),
    '/etc/resolv.conf': resolvConf(named ? facts.resolvConf : (facts.resolvedConf ?? facts.resolvConf), {
      kind: named ? 'named' : 'plain',
      ipv6: sandbox.endpoints.some((endpoint) => endpoint.ipv6 !== null),
      own: mergeDns(sandbox.dns, daemonDns),
    }),
    '/etc/hostname': `${sandbox.hostname}\n`,
  };
}

/** The changes from one state of a sandbox to another while the world stays as it is; `null`: it does not exist. */
export function sandboxFiles(
  ctx: Context,
  { before, after }: { readonly before: Sandbox | null; readonly after: Sandbox | null },
  facts: HostFacts,
): Change[] {
  const world = fileWorld(ctx, facts);
  return fileChanges(ctx.config.instance, { sandbox: before, world }, { sandbox: after, world });
}

/** A sandbox and its world at one time; `sandbox: null`: it does not exist. */
interface Moment {
  readonly sandbox: Sandbox | null;
  readonly world: FileWorld;
}

/** The changes from one state of a sandbox to another. Files that stay as they are make none. */
export function fileChanges(instance: Instance, before: Moment, after: Moment): Change[] {
  const some = after.sandbox ?? before.sandbox;
  if (some === null) return [];
  const old = before.sandbox === null ? {} : fileContents(before.sandbox, before.world);
  const wanted = after.sandbox === null ? {} : fileContents(after.sandbox, after.world);
  const changes: Change[] = [];
  for (const [target, path] of Object.entries(fileTargets(instance, some))) {
    const change = { path, value: wanted[target] ?? null, old: old[target] ?? null };
    if (change.value === change.old) continue;
    // A program that runs has it mounted by itself: another file in its place would not be seen.
    const inPlace = some.managed === true || (change.value !== null && change.old !== null);
    // As Docker does with this file alone.
    const unlessEdited = target === '/etc/resolv.conf' && change.value !== null && change.old !== null;
    changes.push({
      kind: 'file',
      ...change,
      mode: 0o644,
      ...(inPlace ? { inPlace } : {}),
      ...(unlessEdited ? { unlessEdited } : {}),
    });
  }
  return changes;
}

export function hostsFile(sandbox: Sandbox): string {
  const { hostname, domainname = '' } = sandbox;
  const names = [...new Set([...(domainname === '' ? [] : [`${hostname}.${domainname}`]), hostname, sandbox.name])].join(' ');
  const extra = (sandbox.extraHosts ?? []).map(({ name, address }) => `${address}\t${name}`);
  const own = askedFor(sandbox).flatMap((endpoint) =>
    [endpoint.ipv4, endpoint.ipv6].flatMap((address) => (address === null ? [] : [`${addressOf(address)}\t${names}`])),
  );
  return `${[...LOCALHOST, ...extra, ...own].join('\n')}\n`;
}
