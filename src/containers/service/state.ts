/** Changes of a container's state, in memory and on disk. */
import type { ContainerState } from '../../model/container.ts';
import type { Context } from './context.ts';
import { putContainer } from './records.ts';
import type { Live } from './registry.ts';

/** Docker's zero time. */
export const NEVER = '0001-01-01T00:00:00Z';

export const CREATED: ContainerState = {
  status: 'created',
  process: null,
  exitCode: 0,
  error: '',
  oomKilled: false,
  startedAt: NEVER,
  finishedAt: NEVER,
  health: null,
};

export const isoNow = (ctx: Pick<Context, 'clock'>): string => new Date(ctx.clock.now()).toISOString();

/** In memory only: what the next save writes. */
export function setState(live: Live, state: Partial<ContainerState>): void {
  live.container = { ...live.container, state: { ...live.container.state, ...state } };
}

/** @throws when the store does not take it */
export async function save(ctx: Context, live: Live): Promise<void> {
  await ctx.store.commit([putContainer(live.container)]);
}

/** For what has happened whether the disk takes it or not. */
export async function saveIfPossible(ctx: Context, live: Live): Promise<void> {
  try {
    await save(ctx, live);
  } catch (error) {
    ctx.logger.error({ err: error, container: live.container.id }, `could not store the state of ${live.container.name}`);
  }
}
