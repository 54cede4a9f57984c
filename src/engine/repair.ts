/** One pass of repair: snapshot, compare, apply the difference, tell. The world lock is held exclusively. */
import type { Id } from '../base/ids.ts';
import { type Change, HOST, type Netns } from '../contracts/change.ts';
import type { Applied, HostFacts, NetnsState, SnapshotPart } from '../contracts/kernel.ts';
import type { NftTableRef } from '../nft/types.ts';
import type { Sandbox } from '../model/sandbox.ts';
import type { Context } from './context.ts';
import { type Desired, desiredOf, desiredRules, everything, namespacesOf, partsOf, type Scope, tablesOf } from './desired.ts';
import { Actual, type FoundTable, type Repair } from './diff/actual.ts';
import { missing } from './diff/missing.ts';
import { serveAgain } from './names.ts';
import { namespaceChanges, netnsOf, sandboxRemoval } from './plans.ts';
import { staleFlows } from './port-flows.ts';
import { dropSandbox } from './sandboxes.ts';
import { subject } from './subject.ts';

/** One thing that was put right. */
export interface Repaired {
  readonly owner: string;
  /** Name of the owner. */
  readonly where: string;
  readonly what: string;
  readonly why: string;
}

/** A change that could not be put right. */
export interface Unrepaired extends Repaired {
  readonly error: string;
}

export interface PassResult {
  readonly repaired: readonly Repaired[];
  readonly failed: readonly Unrepaired[];
  /** What the pass saw and wanted, for the sweep. */
  readonly desired: readonly Desired[];
  readonly host: NetnsState | null;
  /** Of the host and of the sandboxes that were looked at; null: there was no such namespace. */
  readonly states: readonly (NetnsState | null)[];
  readonly tables: readonly (FoundTable | null)[];
}

export interface PassOptions {
  /** Compare the nftables part of everybody, not only of those in scope. */
  readonly nft: boolean;
  /** Also what no snapshot shows (files, sysctls). */
  readonly unseen: boolean;
}

export async function repairPass(ctx: Context, scope: Scope, options: PassOptions): Promise<PassResult> {
  const facts = await ctx.facts.get();
  const desired = desiredOf(ctx, scope, facts);
  if (options.nft) desired.push(...nftOfOthers(ctx, { scope, have: desired, facts }));
  const parts = partsOf(desired);
  // The sweep that follows finds those that no plan has.
  if (options.unseen && !parts.includes('rules')) parts.push('rules');
  const found = await look(ctx, { desired, scope, parts });
  const bare = lostSegments(ctx, scope, found);
  if (bare.length > 0) return repairPass(ctx, { ...scope, networks: [...scope.networks, ...bare] }, options);
  const lost = lostSandboxes(ctx, scope, found);
  if (lost.length > 0) {
    const repaired = await reviveNamespaces(ctx, lost);
    const left = scope.sandboxes.filter((id) => ctx.registry.sandboxes.has(id) && !repaired.hopeless.has(id));
    const rest = await repairPass(ctx, { ...scope, sandboxes: left }, options);
    // Their sockets stayed behind in the namespaces that are gone.
    await serveAgain(
      ctx,
      lost.filter(({ id }) => left.includes(id)),
      facts,
    );
    return { ...rest, repaired: [...repaired.repaired, ...rest.repaired], failed: [...repaired.failed, ...rest.failed] };
  }
  const actual = new Actual(found.states, found.tables, await ctx.facts.actual());
  const repairs = desired.map((one) => ({ one, repairs: missing(one.changes, actual, options) }));
  // A bridge that is made anew has lost its ports, which may not be in scope.
  const ports = portsOfNewLinks(ctx, repairs, scope);
  if (ports.length > 0) return repairPass(ctx, { ...scope, sandboxes: [...scope.sandboxes, ...ports] }, options);
  const list = repairs.flatMap(({ one, repairs: some }) => some.map((repair) => ({ one, repair })));
  const applied =
    list.length === 0
      ? []
      : await ctx.kernel.apply([...list.map(({ repair }) => repair.change), ...flowsMeanwhile(ctx, list, facts)], {
          keepGoing: true,
        });
  ctx.watcher.observe(
    list.flatMap(({ repair: { change } }) => (change.kind === 'netns' && change.op === 'add' ? [change.path] : [])),
  );
  return { ...summarise(list, applied), desired, ...found };
}

/** While rules were missing, clients of published ports may have reached the host instead. */
function flowsMeanwhile(ctx: Context, list: readonly Pick<Listed, 'repair'>[], facts: HostFacts): Change[] {
  if (!list.some(({ repair: { change } }) => change.kind === 'nft-table' || change.kind === 'nft-element')) return [];
  return [...ctx.registry.sandboxes.values()].flatMap(({ ports = [] }) => staleFlows(ports, facts, false));
}

interface Found {
  readonly namespaces: readonly Netns[];
  readonly states: readonly (NetnsState | null)[];
  readonly host: NetnsState | null;
  readonly tables: readonly (FoundTable | null)[];
}

export async function look(
  ctx: Context,
  {
    desired,
    scope,
    parts,
  }: { readonly desired: readonly Desired[]; readonly scope: Scope; readonly parts: readonly SnapshotPart[] },
): Promise<Found> {
  const namespaces = namespacesOf(ctx, scope, desired);
  const tables = tablesOf(desired);
  const [states, listed] = await Promise.all([
    namespaces.length === 0 ? [] : ctx.kernel.snapshot(namespaces, parts),
    Promise.all(tables.map((one) => findTable(ctx, one))),
  ]);
  return { namespaces, states, host: states.find((state) => state?.netns === HOST) ?? null, tables: listed };
}

async function findTable(
  ctx: Context,
  { netns, table }: { readonly netns: Netns; readonly table: NftTableRef },
): Promise<FoundTable | null> {
  if (netns === HOST) return ctx.kernel.listTable(table);
  const state = await ctx.kernel.listTable(table, netns);
  return state === null ? null : { ...state, netns };
}

/** The part of the host's tables that owners have which are not in scope otherwise. */
function nftOfOthers(
  ctx: Context,
  { scope, have, facts }: { readonly scope: Scope; readonly have: readonly Desired[]; readonly facts: HostFacts },
): Desired[] {
  const owners = new Set(have.map(({ owner }) => owner));
  const all = everything(ctx);
  const others: Scope = {
    host: !scope.host,
    networks: all.networks.filter((id) => !owners.has(id)),
    sandboxes: all.sandboxes.filter((id) => !owners.has(id)),
  };
  return desiredRules(ctx, others, facts);
}

/** Networks whose namespace is gone, with endpoints that are looked at, and that are not looked at themselves. */
function lostSegments(ctx: Context, scope: Scope, { namespaces, states }: Found): Id[] {
  return namespaces.flatMap((netns, i) => {
    const network = states[i] === null ? ctx.registry.segmentOwner(netns) : undefined;
    return network === undefined || scope.networks.includes(network) ? [] : [network];
  });
}

export function lostSandboxes(ctx: Context, scope: Scope, { states }: Found): Sandbox[] {
  const seen = new Set(states.flatMap((state) => (state === null ? [] : [state.netns])));
  return scope.sandboxes.flatMap((id) => {
    const sandbox = ctx.registry.sandboxes.get(id);
    return sandbox === undefined || seen.has(netnsOf(sandbox)) ? [] : [sandbox];
  });
}

interface Revived {
  readonly repaired: readonly Repaired[];
  readonly failed: readonly Unrepaired[];
  /** Sandboxes that have no namespace still: nothing in them can be compared. */
  readonly hopeless: ReadonlySet<Id>;
}

/**
 * Brings back namespaces that are gone: pinned again when a process still lives in it, made anew otherwise. A sandbox that was its
 * process, or an adopted namespace, ends with it.
 */
async function reviveNamespaces(ctx: Context, lost: readonly Sandbox[]): Promise<Revived> {
  const repaired: Repaired[] = [];
  const failed: Unrepaired[] = [];
  const hopeless = new Set<Id>();
  for (const sandbox of lost) {
    const change = await revival(ctx, sandbox);
    if (change === null) {
      ctx.logger.warn({ sandbox: sandbox.id }, `removing sandbox ${sandbox.name}: its network namespace is gone`);
      const changes = sandboxRemoval(ctx, sandbox, await ctx.facts.get());
      await dropSandbox(ctx, sandbox, { title: `remove sandbox ${sandbox.name}`, changes });
      continue;
    }
    const one = { owner: sandbox.id, name: `sandbox ${sandbox.name}` };
    const told = summarise([{ one, repair: { change, why: 'it was gone' } }], await ctx.kernel.apply([change]));
    repaired.push(...told.repaired);
    failed.push(...told.failed);
    if (told.failed.length > 0) hopeless.add(sandbox.id);
    else ctx.watcher.observe([netnsOf(sandbox)]);
  }
  return { repaired, failed, hopeless };
}

/** The change that brings a sandbox's namespace back; null when the sandbox has ended. */
export async function revival(ctx: Context, sandbox: Sandbox): Promise<Change | null> {
  const { netns, process } = sandbox;
  if (netns.type === 'host') return null;
  if (process !== null && ctx.processes.alive(process)) {
    return { kind: 'netns-pin', op: 'add', path: netns.path, source: `/proc/${process.pid}/ns/net` };
  }
  if (process !== null || sandbox.autoRemove) return null;
  if (netns.type === 'adopted') {
    // The number may be another process's by now, and its namespace is none of ours.
    if (netns.source.startsWith('/proc/')) return null;
    const [source] = await ctx.kernel.snapshot([netns.source], ['links']);
    if (source === null) return null;
  }
  return namespaceChanges(sandbox)[0] ?? null;
}

interface Listed {
  readonly one: Pick<Desired, 'owner' | 'name'>;
  readonly repair: Repair<Change>;
}

/** Sandboxes with a port on a link that is about to be made anew, and that the pass does not look at yet. */
function portsOfNewLinks(
  ctx: Context,
  repairs: readonly { readonly one: Desired; readonly repairs: readonly Repair<Change>[] }[],
  scope: Scope,
): Id[] {
  const have = new Set(scope.sandboxes);
  const out = new Set<Id>();
  for (const { one, repairs: some } of repairs) {
    if (!some.some(({ change }) => change.kind === 'link' && change.op === 'add')) continue;
    for (const { sandbox } of ctx.registry.attachments(one.owner as Id)) if (!have.has(sandbox.id)) out.add(sandbox.id);
  }
  return [...out];
}

/** One line per thing, but one for a whole table: its thousand elements went and came together. */
export function summarise(list: readonly Listed[], applied: readonly Applied[]): { repaired: Repaired[]; failed: Unrepaired[] } {
  const repaired: Repaired[] = [];
  const failed: Unrepaired[] = [];
  const tables = new Set<string>();
  const elements = new Map<string, number>();
  for (const [i, { one, repair }] of list.entries()) {
    const { change, why } = repair;
    const result = applied[i];
    if (change.kind === 'nft-table') tables.add(tableOf(change));
    if ('op' in change && change.op === 'remove' && result?.state !== 'failed') continue;
    const line = { owner: one.owner, where: one.name, what: subject(change), why };
    if (result?.state === 'failed') failed.push({ ...line, error: result.error.message });
    // A table that is there but damaged is mended without being new, so the kernel may say that nothing was added.
    else if (result?.state !== 'changed' && change.kind !== 'nft-table') continue;
    else if (change.kind === 'nft-element' && tables.has(tableOf(change))) count(elements, tableOf(change));
    else repaired.push(line);
  }
  return { repaired: repaired.map((line) => withElements(line, elements)), failed };
}

const tableOf = (change: Extract<Change, { kind: 'nft-table' | 'nft-element' }>): string =>
  `table ${change.table.family} ${change.table.name}`;

const count = (counts: Map<string, number>, key: string): void => void counts.set(key, (counts.get(key) ?? 0) + 1);

function withElements(line: Repaired, elements: ReadonlyMap<string, number>): Repaired {
  const n = elements.get(line.what);
  return n === undefined ? line : { ...line, what: `${line.what} and ${n} element${n === 1 ? '' : 's'}` };
}
