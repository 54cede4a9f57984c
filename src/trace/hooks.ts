/** Base chains in the order in which a packet meets them. */
import type { Family } from '../base/ip.ts';
import type { Ruleset, RulesetChain, RulesetTable } from '../nft/ruleset.ts';

export type Hook = 'ingress' | 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting' | 'egress';

export interface BaseChain {
  readonly table: RulesetTable;
  readonly chain: RulesetChain;
  readonly priority: number;
  readonly policy: 'accept' | 'drop';
}

/** What stands between the chains of a hook: the connection is looked up, addresses are translated. */
export type Stage =
  | { readonly type: 'chain'; readonly base: BaseChain }
  | { readonly type: 'conntrack' }
  | { readonly type: 'nat'; readonly chains: readonly BaseChain[] };

/** NF_IP_PRI_CONNTRACK, NF_IP_PRI_NAT_DST, NF_IP_PRI_NAT_SRC, <linux/netfilter_ipv4.h> */
const CONNTRACK = -200;
const NAT: Readonly<Partial<Record<Hook, number>>> = { prerouting: -100, output: -100, input: 100, postrouting: 100 };
/** net/netfilter/nf_nat_core.c registers its hook at these, whatever the priority of a nat chain: that only orders nat chains. */
const TRACKED: readonly Hook[] = ['prerouting', 'output'];

export class Hooks {
  readonly #ruleset: Ruleset;
  readonly #stages = new Map<string, readonly Stage[]>();

  constructor(ruleset: Ruleset) {
    this.#ruleset = ruleset;
  }

  /** @param device of `ingress` and `egress` */
  stages(family: Family, hook: Hook, device = ''): readonly Stage[] {
    const key = `${family} ${hook} ${device}`;
    let stages = this.#stages.get(key);
    if (stages === undefined) {
      stages = this.#arrange(family, hook, device);
      this.#stages.set(key, stages);
    }
    return stages;
  }

  #arrange(family: Family, hook: Hook, device: string): readonly Stage[] {
    const chains = this.#chains(family, hook, device);
    const isNat = ({ chain }: BaseChain): boolean => chain.hook?.type === 'nat';
    const list: { readonly at: number; readonly stage: Stage }[] = chains
      .filter((base) => !isNat(base))
      .map((base) => ({ at: base.priority, stage: { type: 'chain', base } }));
    if (TRACKED.includes(hook)) list.push({ at: CONNTRACK, stage: { type: 'conntrack' } });
    const nat = NAT[hook];
    if (nat !== undefined) list.push({ at: nat, stage: { type: 'nat', chains: chains.filter(isNat) } });
    return list.toSorted((a, b) => a.at - b.at).map(({ stage }) => stage);
  }

  #chains(family: Family, hook: Hook, device: string): readonly BaseChain[] {
    const found: BaseChain[] = [];
    for (const table of this.#ruleset.tables) {
      if (!sees(table.family, family, hook)) continue;
      for (const chain of table.chains.values()) {
        if (chain.hook?.hook !== hook) continue;
        if (device !== '' && chain.hook.devices.length > 0 && !chain.hook.devices.includes(device)) continue;
        found.push({ table, chain, priority: chain.hook.priority, policy: chain.hook.policy });
      }
    }
    // Of two with the same priority the younger one is first (nf_hook_entries_grow()).
    return found.toSorted(
      (a, b) => a.priority - b.priority || b.table.handle - a.table.handle || b.chain.handle - a.chain.handle,
    );
  }
}

/** `ingress` and `egress` are hooks of devices; all others are IP's. */
function sees(table: string, family: Family, hook: Hook): boolean {
  if (hook === 'ingress' || hook === 'egress') return table === 'netdev' || table === 'inet';
  return table === 'inet' || table === (family === 4 ? 'ip' : 'ip6');
}
