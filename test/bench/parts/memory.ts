/** Resident memory of the daemons: having done nothing, and with many endpoints. */
import { setTimeout as sleep } from 'node:timers/promises';
import { residentMegabytes } from '../processes.ts';
import { type Row, summarise } from '../result.ts';
import { startMoorline } from '../moorline.ts';
import type { Part } from '../world.ts';

export const memory: Part = async ({ sizes, docker, crowded, fill, say }) => {
  const { pids, shims } = await docker();
  await using fresh = await startMoorline('nothing');
  await sleep(sizes.restMs);
  const idle: Row = {
    part: 'memory',
    what: 'resident memory, idle',
    unit: 'MB',
    budget: 90,
    values: { moorline: one([fresh.daemon.pid()]), docker: one(pids()) },
    note: 'moord is one process, its workers included; Docker is dockerd + containerd',
  };
  const { daemon } = await crowded();
  const most = Math.max(...sizes.points);
  say(`memory: ${most} endpoints`);
  await fill('moorline', most);
  await fill('docker', sizes.peerLimit);
  await sleep(sizes.restMs);
  const busy: Row = {
    part: 'memory',
    what: `resident memory, ${most} endpoints`,
    unit: 'MB',
    budget: 150,
    values: { moorline: one([daemon.pid()]), docker: one(pids()) },
    note:
      `Docker with ${sizes.peerLimit} containers of two endpoints each; ` +
      `their monitors (containerd-shim) take ${Math.round(residentMegabytes(shims()))} MB more, not counted`,
  };
  return [idle, busy];
};

const one = (pids: readonly number[]): ReturnType<typeof summarise> => summarise([residentMegabytes(pids)]);
