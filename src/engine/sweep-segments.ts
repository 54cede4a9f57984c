/** What is in networks' own namespaces without an owner: namespaces nobody needs, devices of endpoints that are gone, entries for others' endpoints. */
import { type Change, HOST, type Netns } from '../contracts/change.ts';
import type { NetnsState } from '../contracts/kernel.ts';
import { parseOwnerAlias } from '../model/names.ts';
import type { Context } from './context.ts';
import type { PassResult } from './repair.ts';
import { isWanted } from './segments.ts';

/** Whether a namespace is one that a network needs, or may need: a row that cannot be read may be an endpoint of it. */
export function isKept(ctx: Context, path: Netns): boolean {
  const network = ctx.registry.segmentOwner(path);
  return network !== undefined && (isWanted(ctx, network) || ctx.unreadable.length > 0);
}

/** Devices whose socket is elsewhere go before their namespace, which dies some time later: until then their VNI would be taken. */
export async function orphanSegments(ctx: Context, paths: readonly Netns[]): Promise<Change[]> {
  const states = await ctx.kernel.snapshot(paths, ['links']);
  return paths.flatMap((path, i): Change[] => [
    ...(states[i]?.links ?? []).flatMap((link): Change[] =>
      link.type === 'vxlan'
        ? [{ kind: 'link', op: 'remove', netns: path, link: { name: link.name, kind: { type: 'dummy' }, up: link.up } }]
        : [],
    ),
    { kind: 'netns', op: 'remove', path },
  ]);
}

/** Inside of those that are needed. `seen` covers all networks. */
export function orphansInside(ctx: Context, { states, desired }: PassResult): Change[] {
  if (ctx.unreadable.length > 0) return [];
  const wanted = new Set<string>();
  for (const { changes } of desired) {
    for (const change of changes) {
      const key = keyOf(change);
      if (key !== null) wanted.add(key);
    }
  }
  return states.flatMap((state): Change[] => {
    if (state === null || state.netns === HOST) return [];
    const network = ctx.registry.segmentOwner(state.netns);
    if (network === undefined || !isWanted(ctx, network)) return [];
    // While the store is away, what an entry leads to may be there, and not be known of since a start.
    const entries = ctx.cluster?.status().store.reachable === true ? entriesOf(state) : [];
    return [...orphanDevices(ctx, state), ...entries.filter((change) => !wanted.has(keyOf(change) ?? ''))];
  });
}

function orphanDevices(ctx: Context, { netns, links }: NetnsState): Change[] {
  return links.flatMap((link): Change[] => {
    const owner = parseOwnerAlias(link.alias);
    if (owner === null || owner.instance !== ctx.config.instance.id || ctx.registry.knows(owner.owner)) return [];
    return [{ kind: 'link', op: 'remove', netns, link: { name: link.name, kind: { type: 'dummy' }, up: link.up } }];
  });
}

/** Entries of ours, as removals: permanent ones on the device that leads to other hosts, in an order in which nothing leads nowhere. */
function entriesOf({ netns, links, neighbours, fdb }: NetnsState): Change[] {
  const tunnels = new Set(links.flatMap(({ type, name }) => (type === 'vxlan' ? [name] : [])));
  return [
    ...neighbours
      .filter(({ device, state }) => tunnels.has(device) && state === 'permanent')
      .map((neighbour): Change => ({ kind: 'neighbour', op: 'remove', netns, neighbour })),
    ...fdb.filter(({ device }) => tunnels.has(device)).map((entry): Change => ({ kind: 'fdb', op: 'remove', netns, entry })),
  ];
}

function keyOf(change: Change): string | null {
  switch (change.kind) {
    case 'neighbour':
      return `${change.netns} ${change.neighbour.device} ${change.neighbour.address}`;
    case 'fdb':
      return `${change.netns} ${change.entry.device} ${change.entry.mac} ${change.entry.destination ?? ''}`;
    default:
      return null;
  }
}
