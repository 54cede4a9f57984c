/** From the rows and the processes that an earlier daemon left to a running service. */
import type { Id } from '../../base/ids.ts';
import type { ExitStatus } from '../../contracts/containers.ts';
import type { Context } from './context.ts';
import { attachmentsOf, sandboxOf } from './attachments.ts';
import { resumeHealth } from './health.ts';
import { networkMode } from './network-mode.ts';
import { type ContainerRow, loadRows } from './records.ts';
import { isUp, type Live, newLive } from './registry.ts';
import { dispose, forgetRuns } from './remove.ts';
import { shouldStartWithDaemon } from './restart-policy.ts';
import { launch, newRun } from './start.ts';
import { isoNow, saveIfPossible, setState } from './state.ts';
import { attempt } from './undo.ts';
import { watchExit } from './watch.ts';

const SIGKILL = 9;
/** Docker's exit code of a container whose end nobody saw: the machine went down. */
const LOST = 255;

/** @returns containers that are to be started now that everything else is in order */
export async function restore(ctx: Context): Promise<readonly Live[]> {
  const { containers, volumes, unreadable } = await loadRows(ctx.store);
  for (const { key, error } of unreadable) {
    ctx.logger.error({ key, error }, `cannot read ${key}: it is left alone: ${error.message}`);
  }
  for (const volume of volumes) ctx.volumes.add(volume);
  for (const { container } of containers) {
    const { release } = ctx.engine.sandboxes.reserveName(container.name, container.id);
    ctx.registry.add(newLive(container, release));
    ctx.volumes.use(container);
  }
  const rows = new Map(containers.map((row) => [row.container.id, row]));
  const known = new Set(await ctx.runtime.known());
  // What nobody is responsible for goes first: a name or an address may be needed.
  await sweep(ctx, known, new Set(unreadable.map(({ key }) => key.slice(key.indexOf('/') + 1))));
  await Promise.all(ctx.registry.all().map((live) => settle(ctx, live, { known, row: rows.get(live.container.id) })));
  return ctx.registry.all().filter(({ container, pause }) => pause === null && !isUp(container.state) && wants(container));
}

const wants = (container: Live['container']): boolean =>
  container.state.status !== 'removing' && shouldStartWithDaemon(container);

/** Processes and sandboxes of containers that are not there. Unreadable rows still own theirs. */
async function sweep(ctx: Context, known: ReadonlySet<Id>, unreadable: ReadonlySet<string>): Promise<void> {
  const ours = (id: Id): boolean => ctx.registry.get(id) !== undefined || unreadable.has(id);
  const stacks = ctx.engine.sandboxes.list().filter(({ managed, id }) => managed === true && !ours(id));
  const lost = new Set([...[...known].filter((id) => !ours(id)), ...stacks.map(({ id }) => id)]);
  for (const id of lost) {
    ctx.logger.warn({ container: id }, 'removing what is left of a container that is not known');
    await attempt(ctx.logger, 'clear away an unknown container', () => clear(ctx, id));
  }
}

async function clear(ctx: Context, id: Id): Promise<void> {
  if ((await ctx.runtime.known()).includes(id)) await ctx.runtime.kill(id, SIGKILL).catch(() => {});
  await forgetRuns(ctx, id);
  await ctx.rootFiles.remove(id);
}

interface Found {
  readonly known: ReadonlySet<Id>;
  readonly row: ContainerRow | undefined;
}

/** Makes one container's record and its processes agree. A failure is logged: the others must be served. */
async function settle(ctx: Context, live: Live, { known, row }: Found): Promise<void> {
  const { id, name } = live.container;
  await attempt(ctx.logger, `restore container ${name}`, async () => {
    const found = { known: known.has(id), withVolumes: row?.withVolumes === true };
    if (row?.making === true) await takeBack(ctx, live, found.known);
    else if (live.container.state.status === 'removing') await finishRemoval(ctx, live, found);
    else if (isUp(live.container.state)) await takeUp(ctx, live);
    else await forgetHalfStarted(ctx, live, found.known);
  });
}

/** Its creation was not finished, and nobody was told of it. */
async function takeBack(ctx: Context, live: Live, known: boolean): Promise<void> {
  ctx.logger.warn({ container: live.container.id }, `taking back the creation of container ${live.container.name}`);
  await finishRemoval(ctx, live, { known, withVolumes: true });
}

async function finishRemoval(
  ctx: Context,
  live: Live,
  { known, withVolumes }: { readonly known: boolean; readonly withVolumes: boolean },
): Promise<void> {
  if (known) await ctx.runtime.kill(live.container.id, SIGKILL).catch(() => {});
  using _lock = await ctx.locks.hold(live.container.id);
  await dispose(ctx, live, withVolumes);
}

/** The process goes on, or its end is caught up with. */
async function takeUp(ctx: Context, live: Live): Promise<void> {
  const { id, name, state } = live.container;
  const run = { ...newRun(ctx), started: Date.parse(state.startedAt) };
  live.run = run;
  ctx.roots.adopt(id);
  if (state.process !== null && ctx.processes.alive(state.process)) {
    live.container = { ...live.container, networks: attachmentsOf(ctx, live.container) };
    if (networkMode(live.container.hostConfig.NetworkMode).type !== 'container' && !hasStack(ctx, id)) {
      ctx.logger.error({ container: id }, `container ${name} runs without its network: restart it`);
    }
    resumeHealth(ctx, live, run);
    watchExit(ctx, live, run);
    return;
  }
  const status = await lastStatus(ctx, id);
  ctx.logger.info({ container: id, exitCode: status.code }, `container ${name} has ended while the daemon was away`);
  await ctx.ended(live, { run, status });
}

const hasStack = (ctx: Context, id: Id): boolean => sandboxOf(ctx, id) !== undefined;

/** As the monitor wrote it; after a reboot there is nothing to read. */
async function lastStatus(ctx: Context, id: Id): Promise<ExitStatus> {
  try {
    return await ctx.runtime.exited(id, AbortSignal.timeout(ctx.times.lostStatus));
  } catch {
    return { code: LOST, oomKilled: false, finishedAt: isoNow(ctx) };
  }
}

/** A start that a crash cut short: nobody was told that it runs, so it does not. */
async function forgetHalfStarted(ctx: Context, live: Live, known: boolean): Promise<void> {
  const { id, hostConfig, state } = live.container;
  if (known) await ctx.runtime.kill(id, SIGKILL).catch(() => {});
  if (known || hasStack(ctx, id)) await forgetRuns(ctx, id);
  await ctx.rootFiles.unmount(id);
  if (state.status === 'restarting') {
    setState(live, { status: 'exited' });
    await saveIfPossible(ctx, live);
  }
  if (!hostConfig.AutoRemove) return;
  using _lock = await ctx.locks.hold(id);
  await dispose(ctx, live, true);
}

/** Starts what restart policies want, those that join another container's network last. */
export async function startWanted(ctx: Context, wanted: readonly Live[]): Promise<void> {
  const joins = (live: Live): boolean => networkMode(live.container.hostConfig.NetworkMode).type === 'container';
  for (const group of [wanted.filter((live) => !joins(live)), wanted.filter(joins)]) {
    await Promise.all(group.map((live) => startOne(ctx, live)));
  }
}

async function startOne(ctx: Context, live: Live): Promise<void> {
  using _lock = await ctx.locks.hold(live.container.id);
  if (ctx.stopping.aborted || live.removing || live.pause !== null || isUp(live.container.state)) return;
  live.container = { ...live.container, stoppedByUser: false };
  await attempt(ctx.logger, `start container ${live.container.name}`, () => launch(ctx, live));
}
