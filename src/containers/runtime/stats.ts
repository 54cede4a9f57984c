/** cgroup counters in the shape of Docker's stats, both versions. The numbers are the kernel's: cgroup-v1/*.rst, cgroup-v2.rst. */
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { readFileSync } from 'node:fs';
import { readIfThere } from './state.ts';

export interface StatsPlace {
  readonly version: 1 | 2;
  /** Directory of a controller's cgroup (version 2: the same for all). */
  readonly directory: (controller: string) => string;
}

type Counters = Readonly<Record<string, number>>;
type Shape = Readonly<Record<string, unknown>>;

interface BlockEntry {
  readonly major: number;
  readonly minor: number;
  readonly op: string;
  readonly value: number;
}

const NANO = 1e9;
const MICRO = 1000; // ns
/** USER_HZ, in which /proc/stat counts; 100 on every architecture that we run on */
const TICKS = 100;

/** Docker's stats without networks and without what only a second reading gives. */
export function readStats(place: StatsPlace): Shape {
  const parts = place.version === 1 ? version1(place.directory) : version2(place.directory('memory'));
  const cpu = { ...parts.cpu, system_cpu_usage: systemUsage(readFileSync('/proc/stat', 'utf8')), online_cpus: cpus().length };
  return { ...parts.rest, num_procs: 0, storage_stats: {}, cpu_stats: cpu };
}

function version1(directory: StatsPlace['directory']): { readonly cpu: Shape; readonly rest: Shape } {
  const number = (controller: string, file: string): number => numberIn(join(directory(controller), file));
  const throttling = pairs(readIfThere(join(directory('cpu'), 'cpu.stat')) ?? '');
  const usage = pairs(readIfThere(join(directory('cpuacct'), 'cpuacct.stat')) ?? '');
  const perCpu = (readIfThere(join(directory('cpuacct'), 'cpuacct.usage_percpu')) ?? '')
    .trim()
    .split(/\s+/)
    .filter(Boolean)
    .map(Number);
  const blocks = ['blkio.throttle.io_service_bytes_recursive', 'blkio.throttle.io_serviced_recursive'].map((file) =>
    blockLines(readIfThere(join(directory('blkio'), file)) ?? ''),
  );
  return {
    cpu: {
      cpu_usage: {
        total_usage: number('cpuacct', 'cpuacct.usage'),
        percpu_usage: perCpu,
        usage_in_kernelmode: ((usage['system'] ?? 0) * NANO) / TICKS,
        usage_in_usermode: ((usage['user'] ?? 0) * NANO) / TICKS,
      },
      throttling_data: {
        periods: throttling['nr_periods'] ?? 0,
        throttled_periods: throttling['nr_throttled'] ?? 0,
        throttled_time: throttling['throttled_time'] ?? 0,
      },
    },
    rest: {
      pids_stats: pidsStats(directory('pids')),
      memory_stats: {
        usage: number('memory', 'memory.usage_in_bytes'),
        max_usage: number('memory', 'memory.max_usage_in_bytes'),
        stats: pairs(readIfThere(join(directory('memory'), 'memory.stat')) ?? ''),
        failcnt: number('memory', 'memory.failcnt'),
        limit: memoryLimit(number('memory', 'memory.limit_in_bytes')),
      },
      blkio_stats: blockStats(blocks[0] ?? [], blocks[1] ?? []),
    },
  };
}

function version2(directory: string): { readonly cpu: Shape; readonly rest: Shape } {
  const cpu = pairs(readIfThere(join(directory, 'cpu.stat')) ?? '');
  const { bytes, operations } = ioStat(readIfThere(join(directory, 'io.stat')) ?? '');
  const stats = pairs(readIfThere(join(directory, 'memory.stat')) ?? '');
  return {
    cpu: {
      cpu_usage: {
        total_usage: (cpu['usage_usec'] ?? 0) * MICRO,
        usage_in_kernelmode: (cpu['system_usec'] ?? 0) * MICRO,
        usage_in_usermode: (cpu['user_usec'] ?? 0) * MICRO,
      },
      throttling_data: {
        periods: cpu['nr_periods'] ?? 0,
        throttled_periods: cpu['nr_throttled'] ?? 0,
        throttled_time: (cpu['throttled_usec'] ?? 0) * MICRO,
      },
    },
    rest: {
      pids_stats: pidsStats(directory),
      memory_stats: {
        usage: numberIn(join(directory, 'memory.current')),
        stats,
        limit: memoryLimit(numberIn(join(directory, 'memory.max'))),
      },
      blkio_stats: blockStats(bytes, operations),
    },
  };
}

function pidsStats(directory: string): Shape {
  const limit = numberIn(join(directory, 'pids.max'));
  return { current: numberIn(join(directory, 'pids.current')), ...(Number.isFinite(limit) && limit > 0 ? { limit } : {}) };
}

/** No limit is a huge number (version 1) or `max`: then the machine is the limit. */
const memoryLimit = (limit: number): number => (limit > 0 && limit < totalmem() ? limit : totalmem());

function blockStats(bytes: readonly BlockEntry[], operations: readonly BlockEntry[]): Shape {
  return {
    io_service_bytes_recursive: bytes,
    io_serviced_recursive: operations,
    io_queue_recursive: [],
    io_service_time_recursive: [],
    io_wait_time_recursive: [],
    io_merged_recursive: [],
    io_time_recursive: [],
    sectors_recursive: [],
  };
}

/** `8:0 Read 4096` per line, and a total without a device. */
function blockLines(text: string): readonly BlockEntry[] {
  return [...text.matchAll(/^(\d+):(\d+) (\w+) (\d+)$/gm)].map(([, major, minor, op = '', value]) => ({
    major: Number(major),
    minor: Number(minor),
    op: op.toLowerCase(),
    value: Number(value),
  }));
}

/** `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0` per device. */
function ioStat(text: string): { readonly bytes: readonly BlockEntry[]; readonly operations: readonly BlockEntry[] } {
  const bytes: BlockEntry[] = [];
  const operations: BlockEntry[] = [];
  for (const [, major, minor, rest = ''] of text.matchAll(/^(\d+):(\d+) (.*)$/gm)) {
    const device = { major: Number(major), minor: Number(minor) };
    for (const [, key = '', value] of rest.matchAll(/(\w+)=(\d+)/g)) {
      const op = key.startsWith('r') ? 'read' : key.startsWith('w') ? 'write' : null;
      if (op === null) continue;
      (key.endsWith('bytes') ? bytes : operations).push({ ...device, op, value: Number(value) });
    }
  }
  return { bytes, operations };
}

/** ns that all processors together have been counted for: the first line of /proc/stat without guest time, which is in user time. */
function systemUsage(text: string): number {
  const fields = (text.split('\n')[0] ?? '').trim().split(/\s+/).slice(1, 9).map(Number);
  return (fields.reduce((sum, ticks) => sum + ticks, 0) * NANO) / TICKS;
}

/** `key value` per line. */
function pairs(text: string): Counters {
  return Object.fromEntries([...text.matchAll(/^(\S+) (\d+)$/gm)].map(([, key = '', value]) => [key, Number(value)]));
}

/** 0 when it is not there, Infinity for `max`. */
function numberIn(path: string): number {
  const text = (readIfThere(path) ?? '').trim();
  return text === 'max' ? Infinity : Number(text);
}
