/** `docker stats`: cgroup counters from the runtime, and the interfaces' from the container's own /proc. */
import { readFile } from 'node:fs/promises';
import type { Context } from './context.ts';
import { isUp } from './registry.ts';

export async function containerStats(ctx: Context, reference: string): Promise<Readonly<Record<string, unknown>>> {
  const { id, state } = ctx.registry.find(reference).container;
  if (!isUp(state) || state.process === null) return {};
  const [counters, table] = await Promise.all([
    ctx.runtime.stats(id),
    readFile(`/proc/${state.process.pid}/net/dev`, 'utf8').catch(() => ''),
  ]);
  return { ...counters, networks: interfaceCounters(table) };
}

/** proc_net_dev: eight numbers received, eight sent. Docker leaves the loopback out. */
export function interfaceCounters(table: string): Readonly<Record<string, Readonly<Record<string, number>>>> {
  const rows = table.split('\n').flatMap((line) => {
    const match = /^\s*([^\s:]+):\s*(.*)$/.exec(line);
    if (!match?.[1] || match[1] === 'lo') return [];
    const n = (match[2] ?? '').split(/\s+/).map(Number);
    const [received, sent] = [counters('rx', n.slice(0, 4)), counters('tx', n.slice(8, 12))];
    return [[match[1], { ...received, ...sent }] as const];
  });
  return Object.fromEntries(rows);
}

const counters = (prefix: 'rx' | 'tx', values: readonly number[]): Readonly<Record<string, number>> =>
  Object.fromEntries(['bytes', 'packets', 'errors', 'dropped'].map((name, i) => [`${prefix}_${name}`, values[i] ?? 0]));
