/** What reconciling would do now, without doing it. */
import type { Change, Plan } from '../contracts/change.ts';
import type { Context } from './context.ts';
import { desiredOf, everything, partsOf } from './desired.ts';
import { Actual } from './diff/actual.ts';
import { missing } from './diff/missing.ts';
import { netnsOf, sandboxRemoval } from './plans.ts';
import { look, lostSandboxes, revival } from './repair.ts';
import { orphans } from './sweep.ts';

/**
 * Everything, orphans included, as far as a snapshot shows it: whether files, and settings inside sandboxes, are as they should be is only found out
 * when they are written. The world lock is held exclusively.
 */
export async function planRepairs(ctx: Context): Promise<Plan> {
  const facts = await ctx.facts.refresh();
  const scope = everything(ctx);
  const all = desiredOf(ctx, scope, facts);
  const found = await look(ctx, { desired: all, scope, parts: [...new Set([...partsOf(all), 'rules' as const])] });
  const lost = lostSandboxes(ctx, scope, found);
  const revived = await Promise.all(lost.map(async (sandbox) => ({ sandbox, change: await revival(ctx, sandbox) })));
  const ended = revived.flatMap(({ sandbox, change }) => (change === null ? [sandbox] : []));
  const gone = new Set<string>(ended.map(({ id }) => id));
  const desired = all.filter(({ owner }) => !gone.has(owner));
  // A namespace in which a process lives is pinned again, not made.
  const back = new Map(revived.map(({ sandbox, change }) => [netnsOf(sandbox), change]));
  const actual = new Actual(found.states, found.tables, await ctx.facts.actual());
  const repairs = desired.flatMap(({ changes }) => missing(changes, actual, { unseen: false })).map(({ change }) => change);
  const changes = repairs.map((change): Change => (change.kind === 'netns' ? (back.get(change.path) ?? change) : change));
  const nobodys = await orphans(ctx, { repaired: [], failed: [], desired, ...found });
  return {
    title: 'reconcile',
    changes: [...ended.flatMap((sandbox) => sandboxRemoval(ctx, sandbox, facts)), ...changes, ...nobodys],
  };
}
