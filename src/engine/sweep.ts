/** Finds what carries our mark and belongs to nobody: what a crash, or a removal that half failed, left behind. */
import { type Id, shortId } from '../base/ids.ts';
import { type Change, HOST, type LinkKind } from '../contracts/change.ts';
import type { LinkState } from '../contracts/kernel.ts';
import { netnsDirectory, segmentPin } from '../model/instance.ts';
import { parseOwnerAlias } from '../model/names.ts';
import type { Context } from './context.ts';
import type { Desired } from './desired.ts';
import { sameRule } from './diff/routes.ts';
import { filesDirectory } from './files.ts';
import { staleHostChanges } from './plans.ts';
import type { PassResult } from './repair.ts';
import { isSourceRoute, isSourceRule } from './source-routes.ts';
import { isKept, orphanSegments, orphansInside } from './sweep-segments.ts';

const FILES = ['hosts', 'resolv.conf', 'hostname'];
/** Where the kernel layer writes a file before it renames it. */
const CUT_OFF = FILES.map((file) => `${file}.new`);

/** The changes that remove orphans; the world lock is held exclusively and `seen` covers everything. */
export async function orphans(ctx: Context, seen: PassResult): Promise<Change[]> {
  return [
    ...orphanElements(ctx, seen),
    ...staleHostChanges(ctx, await ctx.facts.get()),
    ...orphanLinks(ctx, seen),
    ...orphanRoutes(ctx, seen),
    ...orphansInside(ctx, seen),
    ...(await orphanPins(ctx)),
    ...(await orphanFiles(ctx)),
  ];
}

/** Rows that cannot be read still own their kernel state: their ids are in their keys. */
const unreadableIds = (ctx: Context): string[] => ctx.unreadable.map(({ key }) => key.slice(key.indexOf('/') + 1));

function orphanLinks(ctx: Context, { host, desired }: PassResult): Change[] {
  const unreadable = unreadableIds(ctx);
  const names = wantedNames(desired);
  return (host?.links ?? []).flatMap((link): Change[] => {
    const owner = parseOwnerAlias(link.alias);
    if (owner === null || owner.instance !== ctx.config.instance.id) return [];
    const known = ctx.registry.knows(owner.owner) || unreadable.includes(owner.owner);
    // Somebody gave it another name, and it was made anew: the two would have one address.
    const renamed = names.get(link.alias)?.includes(link.name) === false;
    if (known && !renamed) return [];
    return [
      { kind: 'link', op: 'remove', netns: HOST, link: { name: link.name, kind: kindOf(link), up: link.up, alias: link.alias } },
    ];
  });
}

/** What routes by source carries no mark, but is told by its numbers. Not with unreadable rows: an endpoint of theirs may need it. */
function orphanRoutes(ctx: Context, { states, desired }: PassResult): Change[] {
  if (ctx.unreadable.length > 0) return [];
  const wanted = Map.groupBy(
    desired.flatMap(({ changes }) => changes.filter((change) => change.kind === 'rule' || change.kind === 'route')),
    ({ netns }) => netns,
  );
  return states.flatMap((state): Change[] => {
    if (state === null || state.netns === HOST) return [];
    const { netns } = state;
    const kept = wanted.get(netns) ?? [];
    const rules = state.rules.filter(
      (rule) => isSourceRule(rule) && !kept.some((change) => change.kind === 'rule' && sameRule(change.rule, rule)),
    );
    const routes = state.routes.filter(
      (route) => isSourceRoute(route) && !kept.some((change) => change.kind === 'route' && change.route.table === route.table),
    );
    return [
      ...rules.map((rule): Change => ({ kind: 'rule', op: 'remove', netns, rule })),
      ...routes.map((route): Change => ({ kind: 'route', op: 'remove', netns, route })),
    ];
  });
}

/** Names on the host by mark, of those links that were looked at. A network that spans hosts has two devices, or more. */
function wantedNames(desired: readonly Desired[]): ReadonlyMap<string, readonly string[]> {
  const out = new Map<string, string[]>();
  for (const { changes } of desired) {
    for (const change of changes) {
      if (change.kind !== 'link' || change.op !== 'add' || change.netns !== HOST || change.link.alias === undefined) continue;
      const names = out.get(change.link.alias);
      if (names === undefined) out.set(change.link.alias, [change.link.name]);
      else names.push(change.link.name);
    }
  }
  return out;
}

/** Enough of a kind to name the link for removal. */
function kindOf(link: LinkState): LinkKind {
  switch (link.type) {
    case 'bridge':
      return { type: 'bridge' };
    case 'veth':
      return { type: 'veth', peer: { name: '', netns: HOST } };
    default:
      return { type: 'dummy' };
  }
}

async function orphanPins(ctx: Context): Promise<Change[]> {
  const directory = netnsDirectory(ctx.config.instance);
  const unreadable = unreadableIds(ctx).flatMap((id) => [
    `${directory}/${shortId(id as Id)}`,
    segmentPin(ctx.config.instance, id as Id),
  ]);
  // A kill between the file and the mount on it leaves a file that is no pin.
  const files = (await ctx.listDirectory(directory)).map((name) => `${directory}/${name}`);
  const pins = new Set([...(await ctx.kernel.pins(directory)), ...files]);
  const nobodys = [...pins].filter(
    (path) => ctx.registry.pinOwner(path) === undefined && !isKept(ctx, path) && !unreadable.includes(path),
  );
  return nobodys.length === 0 ? [] : await orphanSegments(ctx, nobodys);
}

/** Elements of our table that no plan wants. Not with unreadable rows: theirs cannot be told apart. */
function orphanElements(ctx: Context, { desired, tables }: PassResult): Change[] {
  if (ctx.unreadable.length > 0) return [];
  const own = ownTables(desired);
  return tables.flatMap((state) => {
    const sets = state === null ? undefined : own.get(`${state.family} ${state.name}`);
    if (state === null || sets === undefined || state.netns !== undefined) return [];
    const table = { family: state.family, name: state.name };
    return Object.entries(state.sets).flatMap(([set, elements]): Change[] => {
      const wanted = sets.get(set);
      if (wanted === undefined) return [];
      return Object.entries(elements)
        .filter(([key]) => !wanted.has(key))
        .map(([key, value]) => ({
          kind: 'nft-element',
          op: 'remove',
          table,
          element: { set, key, ...(value === '' ? {} : { value }) },
        }));
    });
  });
}

/** table -> set -> keys that some plan wants. Sets that the rules fill by themselves are left out. */
function ownTables(desired: readonly Desired[]): Map<string, Map<string, Set<string>>> {
  const own = new Map<string, Map<string, Set<string>>>();
  for (const { changes } of desired) {
    for (const change of changes) {
      if (change.kind !== 'nft-table') continue;
      const fixed = change.table.sets.filter(
        ({ flags }) => !flags?.some((one) => one === 'dynamic' || one === 'constant' || one === 'timeout'),
      );
      own.set(`${change.table.family} ${change.table.name}`, new Map(fixed.map(({ name }) => [name, new Set()])));
    }
  }
  for (const { changes } of desired) {
    for (const change of changes) {
      if (change.kind === 'nft-element')
        own.get(`${change.table.family} ${change.table.name}`)?.get(change.element.set)?.add(change.element.key);
    }
  }
  return own;
}

/** Folders of sandboxes that are gone, and what a write that was cut off left in those of sandboxes that are there. */
async function orphanFiles(ctx: Context): Promise<Change[]> {
  const directory = filesDirectory(ctx.config.instance);
  const remove = (path: string): Change => ({ kind: 'file', path, value: null, old: null });
  const unreadable = unreadableIds(ctx);
  const names = (await ctx.listDirectory(directory)).filter((name) => !unreadable.includes(name));
  const found = await Promise.all(
    names.map(async (name) => {
      const folder = `${directory}/${name}`;
      if (!ctx.registry.sandboxes.has(name as Id)) return FILES.map((file) => remove(`${folder}/${file}`));
      return (await ctx.listDirectory(folder))
        .filter((file) => CUT_OFF.includes(file))
        .map((file) => remove(`${folder}/${file}`));
    }),
  );
  return found.flat();
}
