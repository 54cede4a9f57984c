import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Container, ContainerState } from '../../model/container.ts';
import { statusText } from './status.ts';

const NOW = Date.UTC(2026, 10, 30, 12);
const STATE: ContainerState = {
  status: 'running',
  process: null,
  exitCode: 0,
  error: '',
  oomKilled: false,
  startedAt: '2026-11-30T11:58:00Z',
  finishedAt: '2026-11-30T11:59:50Z',
  health: null,
};
const health = (status: 'starting' | 'healthy' | 'unhealthy'): ContainerState['health'] => ({
  status,
  failingStreak: 0,
  log: [],
});

const CASES: readonly (readonly [Partial<ContainerState>, string])[] = [
  [{}, 'Up 2 minutes'],
  [{ health: health('starting') }, 'Up 2 minutes (health: starting)'],
  [{ health: health('healthy') }, 'Up 2 minutes (healthy)'],
  [{ health: health('unhealthy') }, 'Up 2 minutes (unhealthy)'],
  [{ status: 'paused' }, 'Up 2 minutes (Paused)'],
  [{ status: 'restarting', exitCode: 1 }, 'Restarting (1) 10 seconds ago'],
  [{ status: 'exited', exitCode: 137 }, 'Exited (137) 10 seconds ago'],
  [{ status: 'exited', startedAt: '0001-01-01T00:00:00Z' }, 'Created'],
  [{ status: 'created' }, 'Created'],
  [{ status: 'dead' }, 'Dead'],
  [{ status: 'removing' }, 'Removal In Progress'],
];

for (const [state, text] of CASES) {
  test(text, () => assert.equal(statusText({ state: { ...STATE, ...state } } as Container, NOW), text));
}
