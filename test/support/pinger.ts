/** A ping that runs on, and tells afterwards whether every single packet was answered. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { TestDaemon } from './daemon.ts';

export interface Pinger {
  /** Waits for one more answer and checks that none is missing up to there. @returns how many there were */
  readonly finish: () => Promise<number>;
}

/** Milliseconds to wait for one more answer. */
const PATIENCE_MS = 10_000;

/** @param pin namespace to ping from. Resolves with the first answer. */
export async function ping(daemon: TestDaemon, pin: string, address: string): Promise<Pinger> {
  // -i: seconds between packets; -n: no names.
  const child = daemon.spawnInside('nsenter', `--net=${pin}`, 'ping', '-n', '-i', '0.05', address);
  const answered = new Set<number>();
  const other: string[] = [];
  const lines = createInterface({ input: child.stdout ?? assert.fail() });
  const errors = createInterface({ input: child.stderr ?? assert.fail() });
  errors.on('line', (line) => other.push(line));
  lines.on('line', (line) => {
    const sequence = /icmp_seq=(\d+) ttl=/.exec(line)?.[1];
    if (sequence !== undefined) answered.add(Number(sequence));
    else if (!line.startsWith('PING ')) other.push(line);
  });
  const nextAnswer = async (): Promise<number> => {
    const before = answered.size;
    while (answered.size === before) await once(lines, 'line', { signal: AbortSignal.timeout(PATIENCE_MS) });
    return Math.max(...answered);
  };
  await nextAnswer();
  return {
    finish: async () => {
      const last = await nextAnswer();
      child.kill('SIGKILL');
      const missing = Array.from({ length: last }, (_, i) => i + 1).filter((sequence) => !answered.has(sequence));
      assert.deepEqual({ missing, other }, { missing: [], other: [] }, `ping from ${pin} to ${address}`);
      return last;
    },
  };
}
