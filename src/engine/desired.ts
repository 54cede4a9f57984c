/** What each owner wants of the kernel: the left side of a comparison. */
import type { Id } from '../base/ids.ts';
import { type Change, HOST, type Netns } from '../contracts/change.ts';
import type { HostFacts, SnapshotPart } from '../contracts/kernel.ts';
import type { Network } from '../model/network.ts';
import type { Sandbox } from '../model/sandbox.ts';
import type { NftTableRef } from '../nft/types.ts';
import type { Context } from './context.ts';
import { hostChanges, isHostNft, netnsOf, networkChanges, networkRules, sandboxChanges } from './plans.ts';

export interface Desired {
  /** Unique, and stable over the life of the owner. */
  readonly owner: string;
  /** `network my_net2`, `sandbox web`, `the host` */
  readonly name: string;
  readonly changes: readonly Change[];
}

/** Owners to look at. */
export interface Scope {
  readonly host: boolean;
  readonly networks: readonly Id[];
  readonly sandboxes: readonly Id[];
}

export const everything = (ctx: Context): Scope => ({
  host: true,
  networks: [...ctx.registry.networks.keys()],
  sandboxes: [...ctx.registry.sandboxes.keys()],
});

/** In the order in which it would be made: the host, networks, sandboxes. An owner that cannot be planned is reported and left out. */
export const desiredOf = (ctx: Context, scope: Scope, facts: HostFacts): Desired[] =>
  planned(ctx, scope, {
    host: () => hostChanges(ctx, facts),
    network: (network) => networkChanges(ctx, network, facts),
    sandbox: (sandbox) => sandboxChanges(ctx, sandbox, facts),
  });

/** The same, but of all of it only what stands in the host's nftables. */
export const desiredRules = (ctx: Context, scope: Scope, facts: HostFacts): Desired[] =>
  planned(ctx, scope, {
    host: () => hostChanges(ctx, facts).filter(isHostNft),
    network: (network) => networkRules(ctx, network, facts),
    sandbox: (sandbox) => sandboxChanges(ctx, sandbox, facts).filter(isHostNft),
  });

interface Plans {
  readonly host: () => readonly Change[];
  readonly network: (network: Network) => readonly Change[];
  readonly sandbox: (sandbox: Sandbox) => readonly Change[];
}

function planned(ctx: Context, scope: Scope, plans: Plans): Desired[] {
  const out: Desired[] = [];
  const plan = (owner: string, name: string, changes: () => readonly Change[]): void => {
    try {
      out.push({ owner, name, changes: changes() });
    } catch (error) {
      ctx.logger.error({ err: error, owner }, `cannot plan ${name}`);
    }
  };
  if (scope.host) plan('host', 'the host', plans.host);
  for (const id of scope.networks) {
    const network = ctx.registry.networks.get(id);
    if (network !== undefined) plan(id, `network ${network.name}`, () => plans.network(network));
  }
  for (const id of scope.sandboxes) {
    const sandbox = ctx.registry.sandboxes.get(id);
    if (sandbox !== undefined) plan(id, `sandbox ${sandbox.name}`, () => plans.sandbox(sandbox));
  }
  return out;
}

/** Namespaces that must be dumped to compare a scope; none when only nftables is looked at. */
export function namespacesOf(ctx: Context, scope: Scope, desired: readonly Desired[]): Netns[] {
  if (!scope.host && scope.networks.length === 0 && scope.sandboxes.length === 0) return [];
  const out = new Set<Netns>([HOST]);
  for (const id of scope.sandboxes) {
    const sandbox = ctx.registry.sandboxes.get(id);
    if (sandbox !== undefined) out.add(netnsOf(sandbox));
  }
  // Those that networks have, where endpoints have an end as well.
  for (const { changes } of desired)
    for (const change of changes)
      if (change.kind === 'link' && ctx.registry.segmentOwner(change.netns) !== undefined) out.add(change.netns);
  return [...out];
}

/** Tables that must be listed, and where. */
export function tablesOf(desired: readonly Desired[]): { readonly netns: Netns; readonly table: NftTableRef }[] {
  const out = new Map<string, { readonly netns: Netns; readonly table: NftTableRef }>();
  // Six thousand elements of one table follow each other.
  let last: { readonly netns: Netns; readonly table: NftTableRef } | null = null;
  const add = ({ family, name }: NftTableRef, netns: Netns = HOST): void => {
    if (last?.table.name === name && last.table.family === family && last.netns === netns) return;
    last = { netns, table: { family, name } };
    out.set(`${netns} ${family} ${name}`, last);
  };
  for (const { changes } of desired) {
    for (const change of changes) {
      if (change.kind === 'nft-table') add(change.table, change.netns);
      else if (change.kind === 'nft-element') add(change.table);
      else if (change.kind === 'nft-rule') add({ family: change.family, name: change.table });
    }
  }
  return [...out.values()];
}

const PART_OF: Partial<Record<Change['kind'], SnapshotPart>> = { rule: 'rules', neighbour: 'neighbours', fdb: 'fdb' };

/** Dumps that are needed: links, addresses and routes always, the rarer ones when a plan has such changes. */
export function partsOf(desired: readonly Desired[]): SnapshotPart[] {
  const parts = new Set<SnapshotPart>(['links', 'addresses', 'routes']);
  for (const { changes } of desired) {
    for (const change of changes) {
      const part = PART_OF[change.kind];
      if (part !== undefined) parts.add(part);
    }
  }
  return [...parts];
}
