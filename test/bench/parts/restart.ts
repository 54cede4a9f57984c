/** Restart of the daemon among many endpoints: how long until it answers, and what a flow between two stacks loses. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Attacher } from '../contestant.ts';
import { readAll } from '../moorline.ts';
import { type Row, summarise } from '../result.ts';
import { numbers } from '../rounds.ts';
import { BIG, type Part } from '../world.ts';

/** 100 packets a second. */
const INTERVAL_SECONDS = 0.01;
/** Of pinging before and after. */
const MARGIN_MS = 500;

interface Restart {
  readonly stop: number;
  readonly ready: number;
  readonly sent: number;
  readonly lost: number;
}

export const restart: Part = async ({ sizes, docker, crowded, fill, say }) => {
  const most = Math.max(...sizes.points);
  say(`restart: ${most} endpoints`);
  await fill('moorline', most);
  await fill('docker', sizes.peerLimit);
  const ours = await crowded();
  const theirs = await docker();
  const results: { moorline: Restart[]; docker: Restart[] } = { moorline: [], docker: [] };
  for (const _ of numbers(1, sizes.restarts)) {
    results.moorline.push(await restartOnce(ours, { stop: () => ours.daemon.stop(), start: () => ours.daemon.start() }));
    results.docker.push(await restartOnce(theirs, theirs));
  }
  const row = (what: string, step: keyof Restart, unit: Row['unit']): Row => ({
    part: 'restart',
    what,
    unit,
    values: {
      moorline: summarise(results.moorline.map((one) => one[step])),
      docker: summarise(results.docker.map((one) => one[step])),
    },
  });
  const note = `Docker with ${sizes.peerLimit} containers and --live-restore`;
  return [
    { ...row(`restart with ${most} endpoints: until it has stopped`, 'stop', 'ms'), note },
    { ...row('restart: from its start until it answers', 'ready', 'ms'), note: 'asked every 20 ms' },
    row('restart: packets lost between two stacks', 'lost', 'packets'),
    { ...row('restart: packets sent meanwhile', 'sent', 'packets'), note: 'one each 10 ms' },
  ];
};

async function restartOnce(
  attacher: Attacher,
  { stop, start }: { readonly stop: () => Promise<unknown>; readonly start: () => Promise<void> },
): Promise<Restart> {
  const [command = '', ...line] = await attacher.enter(1);
  const target = await addressOf(attacher, 2);
  const ping = spawn(command, [...line, 'ping', '-n', '-q', '-i', String(INTERVAL_SECONDS), target], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const output = readAll(ping.stdout);
  await sleep(MARGIN_MS);
  const began = performance.now();
  await stop();
  const stopped = performance.now();
  await start();
  const ready = performance.now();
  await sleep(MARGIN_MS);
  const ended = once(ping, 'exit');
  ping.kill('SIGINT');
  await ended;
  const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(await output) ?? [];
  if (sent === undefined || received === undefined || received === '0') throw new Error(`ping says: ${await output}`);
  return { stop: stopped - began, ready: ready - stopped, sent: Number(sent), lost: Number(sent) - Number(received) };
}

/** The address that a stack has on BIG, asked of its namespace. */
async function addressOf(attacher: Attacher, stack: number): Promise<string> {
  const [command = '', ...line] = await attacher.enter(stack);
  const child = spawn(command, [...line, 'ip', '-j', '-4', 'address'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const links = JSON.parse(await readAll(child.stdout)) as readonly {
    readonly addr_info: readonly { readonly local: string }[];
  }[];
  const prefix = BIG.subnet.split('.').slice(0, 2).join('.');
  const found = links.flatMap(({ addr_info }) => addr_info).find(({ local }) => local.startsWith(`${prefix}.`));
  if (found === undefined) throw new Error(`stack ${stack} has no address on ${BIG.name}`);
  return found.local;
}
