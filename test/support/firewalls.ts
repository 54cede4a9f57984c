/**
 * ufw and firewalld, real ones, unpacked by tools/peers.sh and not installed. They look for their files where they would be installed, so
 * each of their programs runs in a mount namespace of its own in which they are; what they write lies in the test's own /run.
 */
import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { end } from '../netns/packets.ts';

const run = promisify(execFile);

const PEERS = resolve(import.meta.dirname, '../../.cache/peers');
const FOLDER = '/run/tmp/firewall';
const BUS = `${FOLDER}/bus`;

/** Whether they are on this machine. */
export const haveFirewalls = existsSync(`${PEERS}/usr/sbin/ufw`) && existsSync(`${PEERS}/usr/sbin/firewalld`);

/** Their files over the machine's, and a copy of /etc; one at a time may write to it (a folder of changes has one overlay). */
const mounts = (writes: boolean): string => `set -e
mount --make-rprivate /
mount -t overlay overlay -o lowerdir=${PEERS}/usr:/usr /usr
mount -t overlay overlay -o lowerdir=${PEERS}/lib:/usr/lib /usr/lib
mount -t overlay overlay -o lowerdir=${PEERS}/etc:/etc${writes ? `,upperdir=${FOLDER}/etc,workdir=${FOLDER}/work` : ''} /etc
export DBUS_SYSTEM_BUS_ADDRESS=unix:path=${BUS} PYTHONDONTWRITEBYTECODE=1
`;

const inside = (script: string, writes: boolean): readonly [string, ...string[]] => [
  '--mount',
  'sh',
  '-c',
  `${mounts(writes)}${script}`,
];

/**
 * Runs a line of shell where the firewalls are installed. Beside firewalld, which keeps its own settings, it only reads.
 * @param enter a command that runs another one on another host: `nsenter ...`
 * @throws with its stderr when it fails
 */
export async function shell(script: string, enter: readonly string[] = []): Promise<string> {
  const [file = '', ...args] = [...enter, 'unshare', ...inside(script, !existsSync(BUS))];
  return (await run(file, args)).stdout;
}

function folders(stack: AsyncDisposableStack): void {
  for (const name of ['etc', 'work']) mkdirSync(`${FOLDER}/${name}`, { recursive: true });
  stack.defer(() => rmSync(FOLDER, { recursive: true, force: true }));
}

/** ufw with the rules that its package brings, switched on. What it leaves behind when it is switched off goes with the stack. */
export async function startUfw(stack: AsyncDisposableStack): Promise<void> {
  await enableUfw(stack);
  // Before its folders go.
  stack.defer(async () => {
    await shell('ufw --force disable');
    for (const family of ['ip', 'ip6']) await run('nft', [`delete table ${family} filter`]);
  });
}

/** The same on a host that takes its rules with it. @param enter as for `shell` */
export async function enableUfw(stack: AsyncDisposableStack, enter: readonly string[] = []): Promise<void> {
  folders(stack);
  stack.defer(() => rmSync('/run/ufw.lock', { force: true }));
  await shell(
    `cp /usr/share/ufw/iptables/*.rules /usr/share/ufw/ufw.conf /usr/share/ufw/*.init /etc/ufw/
chmod 640 /etc/ufw/*.rules
ufw --force enable`,
    enter,
  );
}

/** dbus-daemon(1): everything is allowed, as nobody else is on this bus. */
const BUS_CONFIG = `<busconfig><type>system</type><listen>unix:path=${BUS}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/><allow user="*"/></policy></busconfig>`;

const READY_MS = 60_000;

/** firewalld on a bus of its own, with the zones that its package brings. */
export async function startFirewalld(stack: AsyncDisposableStack): Promise<void> {
  folders(stack);
  writeFileSync(`${FOLDER}/bus.conf`, BUS_CONFIG);
  const start = (script: string, writes: boolean): void => {
    const child = spawn('unshare', inside(`exec ${script}`, writes), { stdio: ['ignore', 'ignore', 'ignore'] });
    stack.defer(() => end(child));
  };
  stack.defer(() => rmSync('/run/firewalld', { recursive: true, force: true }));
  // Its table is nobody's when it is killed.
  stack.defer(async () => void (await run('nft', ['delete table inet firewalld']).catch(() => {})));
  start(`dbus-daemon --config-file=${FOLDER}/bus.conf --nofork --nopidfile`, false);
  const deadline = Date.now() + READY_MS;
  const wait = async (done: () => Promise<boolean>, what: string): Promise<void> => {
    while (!(await done())) {
      if (Date.now() > deadline) throw new Error(`${what} does not start`);
      await sleep(50);
    }
  };
  await wait(async () => existsSync(BUS), 'dbus-daemon');
  start(`/usr/bin/python3 /usr/sbin/firewalld --nofork --nopid --log-file ${FOLDER}/log`, true);
  await wait(
    () =>
      shell('firewall-cmd --state').then(
        () => true,
        () => false,
      ),
    'firewalld',
  );
}
