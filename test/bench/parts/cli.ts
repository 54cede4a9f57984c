/** How long a command line takes from its start to its end. */
import { spawnSync } from 'node:child_process';
import { PEER_ENV, PROGRAMS, ROOT } from '../peers.ts';
import { interleave, type Turn } from '../rounds.ts';
import type { Part } from '../world.ts';

type Steps = 'version' | 'list';

export const cli: Part = async ({ sizes, moorline, docker }) => {
  const turn =
    (program: string, host: string): Turn<Steps> =>
    async () => ({
      version: [timed(program, ['-H', host, 'version'])],
      list: [timed(program, ['-H', host, 'network', 'ls'])],
    });
  const turns = {
    moorline: turn(`${ROOT}/bin/moor`, (await moorline()).daemon.host),
    docker: turn(PROGRAMS.docker, (await docker()).host),
  };
  const { version, list } = await interleave(turns, { ...sizes, steps: ['version', 'list'] });
  return [
    { part: 'cli', what: 'moor version / docker version', unit: 'ms', budget: 60, values: version },
    { part: 'cli', what: 'moor network ls / docker network ls', unit: 'ms', budget: 60, values: list },
  ];
};

/** @returns milliseconds @throws Error with what it printed unless it exits with 0 */
function timed(program: string, args: readonly string[]): number {
  const started = performance.now();
  const { status, stderr } = spawnSync(program, args, { env: PEER_ENV, encoding: 'utf8' });
  const ms = performance.now() - started;
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} exited with ${String(status)}: ${stderr.trim()}`);
  return ms;
}
