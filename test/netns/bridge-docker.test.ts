/** Beside a real Docker Engine, started before us and after us. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLab, HOST4, stranger, WORLD4 } from './lab.ts';
import { at, HERE, type Place, seenAs, silent } from './packets.ts';

const PEERS = resolve(import.meta.dirname, '../../.cache/peers/usr');
const dockerd = ['/usr/sbin', '/usr/bin', `${PEERS}/sbin`].map((folder) => `${folder}/dockerd`).find((path) => existsSync(path));

/** dockerd needs its own programs and libraries when it lies in a folder of ours. */
const env = {
  ...process.env,
  PATH: `${process.env['PATH']}:${PEERS}/bin:${PEERS}/sbin`,
  LD_LIBRARY_PATH: `${PEERS}/lib/x86_64-linux-gnu`,
};

const FOLDER = '/run/tmp/docker';
const READY_MS = 60_000;
const CONTAINER = '172.17.0.2';

/** Starts Docker with its default network; ends it with all that it leaves. A container is a namespace on docker0. */
async function startDocker(stack: AsyncDisposableStack, program: string): Promise<Place> {
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

function need(t: TestContext): string | null {
  if (dockerd === undefined) t.skip('no dockerd on this machine');
  return dockerd ?? null;
}

const policy = async (): Promise<string> => (await at(HERE, 'iptables', '-S', 'FORWARD')).split('\n')[0] ?? '';

for (const bridgeNf of ['0', '1']) {
  test(`Docker was here first, bridge-nf-call-iptables=${bridgeNf}`, async (t) => {
    const program = need(t);
    if (program === null) return;
    let container: Place = '';
    await using lab = await createLab({
      prepare: async (stack) => {
        container = await startDocker(stack, program);
        writeFileSync('/proc/sys/net/bridge/bridge-nf-call-iptables', bridgeNf);
      },
    });
    assert.equal(await policy(), '-P FORWARD DROP');
    const net = await lab.network('10.1.0.0/24');
    const [a, b] = [await lab.sandbox(net, 2), await lab.sandbox(net, 3)];
    assert.equal(await seenAs(a.place, b.ip), a.ip);
    assert.equal(await seenAs(a.place, WORLD4), HOST4);
    assert.equal(await seenAs(container, WORLD4), HOST4);
    assert.deepEqual(await Promise.all([silent(a.place, CONTAINER), silent(container, a.ip)]), [true, true]);
  });
}

test('Docker comes later', async (t) => {
  const program = need(t);
  if (program === null) return;
  await using lab = await createLab();
  const net = await lab.network('10.1.0.0/24');
  const [a, b] = [await lab.sandbox(net, 2), await lab.sandbox(net, 3)];
  await using stack = new AsyncDisposableStack();
  const container = await startDocker(stack, program);
  // Forwarding was on already, so Docker leaves the policy alone, and we still keep the host from routing for others.
  assert.equal(await policy(), '-P FORWARD ACCEPT');
  assert.equal(readFileSync('/proc/sys/net/ipv4/ip_forward', 'utf8').trim(), '1');
  assert.equal(await seenAs(container, WORLD4), HOST4);
  assert.equal(await seenAs(a.place, WORLD4), HOST4);
  assert.equal(await seenAs(a.place, b.ip), a.ip);
  assert.ok(await silent(container, a.ip));
});
