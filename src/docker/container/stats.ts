/** `GET /containers/ID/stats`: counters of a container, once or every second. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Container } from '../../model/container.ts';
import { queryBoolean, queryText } from '../query.ts';
import type { Call, DockerDeps, DockerRoute } from '../route.ts';
import { stream } from '../stream/response.ts';
import { NEVER } from './status.ts';
import { containerOf, found } from './view.ts';

export const STATS_ROUTES: readonly DockerRoute[] = [
  {
    method: 'GET',
    path: '/containers/:id/stats',
    summary: 'counters of CPU, memory, I/O and interfaces; stream, one-shot',
    handle: stats,
  },
];

/** Milliseconds between samples, as in Docker. */
const INTERVAL_MS = 1000;

type Sample = Readonly<Record<string, unknown>>;

/** `cpu_stats` and `memory_stats` of what does not run: all zero. */
const NO_CPU = {
  cpu_usage: { total_usage: 0, usage_in_kernelmode: 0, usage_in_usermode: 0 },
  throttling_data: { periods: 0, throttled_periods: 0, throttled_time: 0 },
};

async function stats(deps: DockerDeps, call: Call): Promise<unknown> {
  const { query } = call;
  const { id } = containerOf(deps, call.parameter('id'), 'show the counters of');
  const text = queryText(query, 'stream');
  const streaming = text === '' || queryBoolean(query, 'stream');
  if (!streaming && (queryBoolean(query, 'one-shot') || !isLive(deps.containers.get(id)))) return shape(deps, id, null);
  return stream(deps, call, {
    contentType: 'application/json',
    produce: async ({ write, signal }) => {
      let before: Sample | null = null;
      for (;;) {
        const sample: Sample | null = await shape(deps, id, before);
        // Removed meanwhile.
        if (sample === null) return;
        // One sample alone says nothing of the use of the CPU: without a stream the second one is the answer.
        if (streaming || before !== null || !isLive(deps.containers.get(id))) await write(`${JSON.stringify(sample)}\n`);
        if (!streaming && before !== null) return;
        before = sample;
        await sleep(INTERVAL_MS, undefined, { signal });
      }
    },
  });
}

const isLive = ({ state }: Container): boolean => state.status === 'running' || state.status === 'paused';

/** @returns null when there is no such container any more */
async function shape({ containers, clock }: DockerDeps, id: string, before: Sample | null): Promise<Sample | null> {
  const container = found(() => containers.get(id));
  if (container === null) return null;
  const live = isLive(container) ? await containers.stats(id).catch(() => null) : null;
  const head = { name: `/${container.name}`, id: container.id };
  if (live === null) {
    return {
      ...head,
      read: NEVER,
      preread: NEVER,
      pids_stats: {},
      blkio_stats: {},
      num_procs: 0,
      storage_stats: {},
      cpu_stats: NO_CPU,
      precpu_stats: NO_CPU,
      memory_stats: {},
    };
  }
  return {
    ...head,
    read: new Date(clock.now()).toISOString(),
    preread: before?.['read'] ?? NEVER,
    num_procs: 0,
    storage_stats: {},
    ...live,
    precpu_stats: before?.['cpu_stats'] ?? NO_CPU,
  };
}
