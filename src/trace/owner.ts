/** Whose rules a table and a chain are. */
import type { RulesetTable } from '../nft/ruleset.ts';
import type { Decider } from './decider.ts';

export type Owner =
  | 'Moorline'
  | 'Docker'
  | 'ufw'
  | 'firewalld'
  | 'libvirt'
  | 'fail2ban'
  | 'Podman'
  | 'Kubernetes'
  | 'LXD'
  | 'CNI'
  | 'hand-written rules';

/** Chains by which a tool is known, whatever table it put them into. */
const CHAINS: readonly (readonly [RegExp, Owner])[] = [
  [/^DOCKER/, 'Docker'],
  [/^ufw6?-/, 'ufw'],
  [/^LIBVIRT_/, 'libvirt'],
  [/^f2b-/, 'fail2ban'],
  [/^NETAVARK/, 'Podman'],
  [/^(?:KUBE-|cali-|FLANNEL-)/, 'Kubernetes'],
  [/^CNI-/, 'CNI'],
];

const TABLES: readonly (readonly [RegExp, Owner])[] = [
  [/^firewalld$/, 'firewalld'],
  [/^docker-bridges$/, 'Docker'],
  [/^libvirt/, 'libvirt'],
  [/^f2b-/, 'fail2ban'],
  [/^netavark/, 'Podman'],
  [/^(?:kube-proxy|calico|cilium)/, 'Kubernetes'],
  [/^(?:lxd|incus)$/, 'LXD'],
  [/^cni_/, 'CNI'],
];

/** Chains that iptables makes itself: whose they are, what they jump to shows. */
const BUILT_IN: ReadonlySet<string> = new Set(['INPUT', 'OUTPUT', 'FORWARD', 'PREROUTING', 'POSTROUTING']);

const find = (list: readonly (readonly [RegExp, Owner])[], name: string): Owner | undefined =>
  list.find(([pattern]) => pattern.test(name))?.[1];

/**
 * Tables of iptables are shared. A policy of drop is of the tool that sets one, ufw before Docker; a rule in a chain that iptables made, if it
 * jumps nowhere, was written by somebody.
 * @param own name of our table
 */
export function ownerOf({ table, chain, handle }: Decider, from: RulesetTable | undefined, own: string): Owner {
  // A second table of ours keeps connections while rules are flushed.
  if (table === own || table === `${own}_keep`) return 'Moorline';
  const named = find(TABLES, table) ?? find(CHAINS, chain);
  if (named !== undefined) return named;
  if (handle !== null || !BUILT_IN.has(chain) || from === undefined) return 'hand-written rules';
  const present = new Set([...from.chains.keys()].map((name) => find(CHAINS, name)));
  for (const tool of ['ufw', 'Docker', 'libvirt'] as const)
    if (present.has(tool) && (tool !== 'Docker' || chain === 'FORWARD')) return tool;
  return 'hand-written rules';
}
