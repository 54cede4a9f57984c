/** The state of a container in the words of `docker ps`. */
import type { Container, ContainerState } from '../../model/container.ts';
import { humanDuration } from './duration.ts';

/** Go's zero time: it never was. */
export const NEVER = '0001-01-01T00:00:00Z';

export function statusText({ state }: Container, now: number): string {
  const since = (time: string): string => humanDuration(now - Date.parse(time));
  switch (state.status) {
    case 'created':
      return 'Created';
    case 'running':
      return `Up ${since(state.startedAt)}${healthText(state)}`;
    case 'paused':
      return `Up ${since(state.startedAt)} (Paused)`;
    case 'restarting':
      return `Restarting (${state.exitCode}) ${since(state.finishedAt)} ago`;
    case 'exited':
      // A start that failed leaves the container as it was made.
      return isNever(state.startedAt) ? 'Created' : `Exited (${state.exitCode}) ${since(state.finishedAt)} ago`;
    case 'dead':
      return 'Dead';
    case 'removing':
      return 'Removal In Progress';
    default:
      return state.status satisfies never;
  }
}

function healthText({ health }: ContainerState): string {
  if (health === null) return '';
  return health.status === 'starting' ? ' (health: starting)' : ` (${health.status})`;
}

const isNever = (time: string): boolean => time === '' || time.startsWith('0001-');

/** Docker's `State`. */
export function stateShape({ state }: Container): Readonly<Record<string, unknown>> {
  const { status, health } = state;
  const running = status === 'running' || status === 'paused' || status === 'restarting';
  return {
    Status: status,
    Running: running,
    Paused: status === 'paused',
    Restarting: status === 'restarting',
    OOMKilled: state.oomKilled,
    Dead: status === 'dead',
    Pid: state.process?.pid ?? 0,
    ExitCode: state.exitCode,
    Error: state.error,
    StartedAt: state.startedAt === '' ? NEVER : state.startedAt,
    FinishedAt: state.finishedAt === '' ? NEVER : state.finishedAt,
    ...(health === null
      ? {}
      : {
          Health: {
            Status: health.status,
            FailingStreak: health.failingStreak,
            Log: health.log.map(({ start, end, exitCode, output }) => ({
              Start: start,
              End: end,
              ExitCode: exitCode,
              Output: output,
            })),
          },
        }),
  };
}
