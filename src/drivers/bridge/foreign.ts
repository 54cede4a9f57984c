/** Living beside firewalls that are not ours: what we may add there, and what we can only tell the administrator. */
import type { Change, Op } from '../../contracts/change.ts';
import type { ForeignForward, HostFacts } from '../../contracts/kernel.ts';
import type { NftFamily } from '../../nft/types.ts';
import { MARKED } from './table.ts';

/**
 * One rule per chain that its tool documents for the administrator: DOCKER-USER in `ip filter`, and in `ip6 filter` when Docker has
 * made one there. It is of use where a policy of drop follows.
 * @param which.owner name of our table: two instances on one host each have their rule.
 * @param which.policy of the chains that are looked at
 */
export function foreignRules(
  facts: HostFacts,
  { owner, policy, op }: { readonly owner: string; readonly policy: ForeignForward['policy']; readonly op: Op },
): Change[] {
  const changes: Change[] = [];
  for (const { family, table, chain, policy: has, userChain } of facts.foreignForward) {
    if (has !== policy || userChain === null || userChain === chain || !isFamily(family)) continue;
    const rule = { expr: `${MARKED} accept`, comment: `${owner}: forwarded by Moorline` };
    changes.push({ kind: 'nft-rule', op, family, table, chain: userChain, rule });
  }
  return changes;
}

/** Sentences for the administrator, one for each chain that will drop what we forward. Empty when all is well. */
export function forwardWarnings(facts: HostFacts): string[] {
  const warnings: string[] = [];
  for (const foreign of facts.foreignForward) {
    const why = obstacle(foreign);
    if (why === null) continue;
    const lost =
      facts.bridgeNf === true
        ? 'packets to and from sandboxes, also inside one network (bridge-nf-call-iptables is 1)'
        : foreign.table === 'firewalld'
          ? 'packets from sandboxes to other hosts (what is published is let pass)'
          : 'packets between sandboxes and other hosts';
    warnings.push(
      `chain ${foreign.chain} of nftables table ${foreign.family} ${foreign.table} ${why}: ${lost} are lost; ${remedy(foreign)}`,
    );
  }
  return warnings;
}

function obstacle({ table, policy, userChain }: ForeignForward): string | null {
  if (policy === 'drop') return userChain === null ? 'drops what it does not know (policy drop)' : null;
  // firewalld's chain has policy accept and ends in a reject rule.
  return table === 'firewalld' ? 'rejects what no zone or policy allows' : null;
}

function remedy({ family, table, chain }: ForeignForward): string {
  if (table === 'firewalld') {
    return 'allow it with firewalld: firewall-cmd --permanent --zone=trusted --add-interface=BRIDGE for each bridge, then firewall-cmd --reload';
  }
  return `allow what Moorline has let pass with: nft insert rule ${family} ${table} ${chain} '${MARKED} accept' (with ufw: ufw default allow routed)`;
}

const FAMILIES: readonly string[] = ['inet', 'ip', 'ip6'] satisfies NftFamily[];
const isFamily = (family: string): family is NftFamily => FAMILIES.includes(family);
