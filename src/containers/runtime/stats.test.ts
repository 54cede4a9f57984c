/** Counters of cgroup version 2, from files as the kernel writes them; version 1 is looked at on the real thing. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readStats } from './stats.ts';

test('version 2', () => {
  const directory = mkdtempSync(join(tmpdir(), 'moor-cgroup-'));
  const write = (name: string, text: string): void => writeFileSync(join(directory, name), text);
  try {
    write('cpu.stat', 'usage_usec 1500\nuser_usec 1000\nsystem_usec 500\nnr_periods 4\nnr_throttled 2\nthrottled_usec 30\n');
    write('memory.current', '4096\n');
    write('memory.max', 'max\n');
    write('memory.stat', 'anon 100\nfile 200\ninactive_file 50\n');
    write('pids.current', '3\n');
    write('pids.max', 'max\n');
    write('io.stat', '8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=5 dios=6\n252:0 \n');
    const { cpu_stats: cpu, ...rest } = readStats({ version: 2, directory: () => directory }) as {
      readonly cpu_stats: Readonly<Record<string, unknown>>;
    } & Readonly<Record<string, unknown>>;
    assert.deepEqual(cpu['cpu_usage'], { total_usage: 1_500_000, usage_in_kernelmode: 500_000, usage_in_usermode: 1_000_000 });
    assert.deepEqual(cpu['throttling_data'], { periods: 4, throttled_periods: 2, throttled_time: 30_000 });
    assert.deepEqual(rest['memory_stats'], {
      usage: 4096,
      stats: { anon: 100, file: 200, inactive_file: 50 },
      limit: totalmem(),
    });
    assert.deepEqual(rest['pids_stats'], { current: 3 });
    const { io_service_bytes_recursive: bytes, io_serviced_recursive: operations } = rest['blkio_stats'] as Readonly<
      Record<string, unknown>
    >;
    assert.deepEqual(bytes, [
      { major: 8, minor: 0, op: 'read', value: 10 },
      { major: 8, minor: 0, op: 'write', value: 20 },
    ]);
    assert.deepEqual(operations, [
      { major: 8, minor: 0, op: 'read', value: 1 },
      { major: 8, minor: 0, op: 'write', value: 2 },
    ]);
    write('memory.max', '8192\n');
    write('pids.max', '10\n');
    const limited = readStats({ version: 2, directory: () => directory });
    assert.deepEqual(limited['pids_stats'], { current: 3, limit: 10 });
    assert.equal((limited['memory_stats'] as Readonly<Record<string, unknown>>)['limit'], 8192);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
