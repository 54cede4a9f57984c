/** A real Docker Engine on the host of a lab, with its default network. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { stranger } from './lab.ts';
import { at, HERE, type Place } from './packets.ts';

const PEERS = resolve(import.meta.dirname, '../../.cache/peers/usr');
/** null: not on this machine. */
export const dockerd: string | null =
  ['/usr/sbin', '/usr/bin', `${PEERS}/sbin`].map((folder) => `${folder}/dockerd`).find((path) => existsSync(path)) ?? null;

/** dockerd needs its own programs and libraries when it lies in a folder of ours. */
const env = {
  ...process.env,
  PATH: `${process.env['PATH']}:${PEERS}/bin:${PEERS}/sbin`,
  LD_LIBRARY_PATH: `${PEERS}/lib/x86_64-linux-gnu`,
};

const FOLDER = '/run/tmp/docker';
const READY_MS = 60_000;
export const CONTAINER = '172.17.0.2';

/** Starts Docker with its default network; ends it with all that it leaves. A container is a namespace on docker0. */
export async function startDocker(stack: AsyncDisposableStack, program: string): Promise<Place> {
  stack.defer(() => writeFileSync('/proc/sys/net/ipv4/ip_forward', '0'));
  mkdirSync(FOLDER, { recursive: true });
  stack.defer(() => rmSync(FOLDER, { recursive: true }));
  const paths = ['--data-root', `${FOLDER}/data`, '--exec-root', `${FOLDER}/exec`, '--pidfile', `${FOLDER}/pid`];
  const child = spawn(program, [...paths, '-H', `unix://${FOLDER}/sock`], { env, stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (log += text));
  stack.defer(async () => {
    const ended = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : null;
    child.kill('SIGTERM');
    await ended;
    for (const command of ['ip link del docker0', 'nft delete table ip filter', 'nft delete table ip nat'])
      await at(HERE, ...command.split(' '));
    await at(
      HERE,
      'sh',
      '-c',
      `for m in $(grep -o '${FOLDER}[^ ]*' /proc/self/mountinfo | sort -r); do umount $m; done; rm -rf /run/docker`,
    );
  });
  const deadline = Date.now() + READY_MS;
  while (!log.includes('API listen on')) {
    if (child.exitCode !== null || Date.now() > deadline) throw new Error(`dockerd does not start:\n${log}`);
    await sleep(20);
  }
  return stranger(stack, 'container', { bridge: 'docker0', address: `${CONTAINER}/16`, gateway: '172.17.0.1' });
}
