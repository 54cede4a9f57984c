/** When a container is started again. Docker's rules (its restartmanager). Pure. */
import type { Container } from '../../model/container.ts';
import type { ServiceTimes } from './context.ts';

/** After an end that happened while the daemon was there. */
export function shouldRestart(
  { hostConfig: { RestartPolicy: policy }, stoppedByUser, restartCount }: Container,
  code: number,
): boolean {
  if (stoppedByUser) return false;
  switch (policy.Name) {
    case '':
    case 'no':
      return false;
    case 'always':
    case 'unless-stopped':
      return true;
    case 'on-failure':
      return code !== 0 && (policy.MaximumRetryCount === 0 || restartCount < policy.MaximumRetryCount);
  }
}

/** At the daemon's start: `always` is started although the user had stopped it, `unless-stopped` is not; what never ran is left alone. */
export function shouldStartWithDaemon(container: Container): boolean {
  const { hostConfig, stoppedByUser, state } = container;
  if (state.status === 'created') return false;
  if (hostConfig.RestartPolicy.Name === 'always') return true;
  return !stoppedByUser && shouldRestart(container, state.exitCode);
}

/** @param last the wait before, 0: none @param lasted how long the run was, in milliseconds @returns milliseconds */
export function nextDelay(last: number, lasted: number, times: ServiceTimes): number {
  if (last === 0 || lasted > times.restartReset) return times.restartFirst;
  return Math.min(last * 2, times.restartLongest);
}
