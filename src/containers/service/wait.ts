/** `docker wait` */
import { MoorError } from '../../base/errors.ts';
import type { ExitStatus } from '../../contracts/containers.ts';
import type { Context } from './context.ts';
import { isActive, type Live } from './registry.ts';

export type WaitCondition = 'not-running' | 'next-exit' | 'removed';

/** @throws cancelled by the signal */
export function waitContainer(
  ctx: Context,
  reference: string,
  { condition, signal }: { readonly condition: WaitCondition; readonly signal: AbortSignal },
): Promise<ExitStatus> {
  const live = ctx.registry.find(reference);
  if (condition === 'not-running' && !isActive(live.container.state)) return Promise.resolve(lastExit(live));
  const told = condition === 'removed' ? live.removals : live.exits;
  return new Promise((resolve, reject) => {
    const end = (status: ExitStatus): void => {
      signal.removeEventListener('abort', abort);
      resolve(status);
    };
    const abort = (): void => {
      told.delete(end);
      reject(new MoorError('cancelled', `Cannot wait for container ${reference}: cancelled`));
    };
    if (signal.aborted) return abort();
    told.add(end);
    signal.addEventListener('abort', abort, { once: true });
  });
}

const lastExit = ({ container: { state } }: Live): ExitStatus => ({
  code: state.exitCode,
  oomKilled: state.oomKilled,
  finishedAt: state.finishedAt,
});
