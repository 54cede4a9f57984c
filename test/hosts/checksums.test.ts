// test-timeout: 120 s
/**
 * A network card that spoils the checksums inside of VXLAN, as some do: found out, worked round, and said. The hosts know each other by a file, which says
 * nothing of VTEPs.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { run } from '../support/daemon.ts';
import { allReach, createHosts, createNetwork, outer, sandboxOn, until } from './lab.ts';

const CARD = resolve(import.meta.dirname, '../support/bad-card.child.ts');

async function ip(...args: readonly string[]): Promise<void> {
  const { code, stderr } = await run('ip', args);
  assert.equal(code, 0, `ip ${args.join(' ')}: ${stderr}`);
}

/** The first host's cable goes through the card. */
async function badCard(): Promise<AsyncDisposable> {
  await ip('link', 'set', 'h1', 'nomaster');
  await ip('link', 'add', 'card', 'type', 'veth', 'peer', 'name', 'socket');
  await ip('link', 'set', 'socket', 'master', 'lan0', 'up');
  await ip('link', 'set', 'card', 'up');
  for (const device of ['h1', 'card', 'socket']) await run('ethtool', ['-K', device, 'tso', 'off', 'gso', 'off', 'gro', 'off']);
  const child = spawn(process.execPath, [CARD, 'h1', 'card'], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  return {
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ip('link', 'del', 'card');
    },
  };
}

test('a card that spoils checksums inside of VXLAN', async () => {
  await using world = await createHosts(2, () => ['--cluster-advertise', 'eth1']);
  const { hosts } = world;
  const [h1, h2] = hosts;
  assert.ok(h1 && h2);
  // Whatever leaves is cut and summed by the device below the VTEP: it says that it can, and cannot.
  for (const { daemon } of hosts) await daemon.inside('ethtool', '-K', 'eth1', 'tso', 'off', 'gso', 'off', 'gro', 'off');
  await using _card = await badCard();
  const entries = [1, 2].map((n) => `  - {name: h${n}, address: ${outer(n)}, subnet: 10.244.${n}.0/24}\n`);
  for (const { daemon } of hosts) writeFileSync(`${daemon.directory}/peers.yaml`, `peers:\n${entries.join('')}`);
  await Promise.all(hosts.map(({ daemon }) => daemon.start('--peers', `${daemon.directory}/peers.yaml`)));
  for (const host of hosts) await createNetwork(host, 'vpn', 'vxlan');
  const sandboxes = await Promise.all(hosts.map((host) => sandboxOn(host, 'vpn')));
  await allReach(hosts, sandboxes);
  const [s1, s2] = sandboxes;
  assert.ok(s1 && s2);

  const offload = async (n: 0 | 1): Promise<string> =>
    /tx-checksumming: (\w+)/.exec((await hosts[n]?.daemon.inside('ethtool', '-k', 'moor-vx1'))?.stdout ?? '')?.[1] ?? '';
  await until('it is found out on both', async () => (await offload(0)) === 'off' && (await offload(1)) === 'off');
  for (const { daemon } of hosts) {
    assert.match(daemon.log(), /arrives with a wrong checksum when that is left to a network card: checksums are made before/);
    assert.match((await daemon.moor('status')).stdout, /checksums inside of VXLAN are made here/);
  }
  // TCP, which no ping tells of.
  const server = h2.daemon.spawnInside(
    'nsenter',
    `--net=${s2.netns}`,
    process.execPath,
    '-e',
    `require('node:net').createServer(c=>c.pipe(c)).listen(7000,'0.0.0.0',()=>console.log('up'))`,
  );
  assert.ok(server.stdout);
  await once(server.stdout, 'data');
  const client = `const n=require('node:net').connect(7000,'${s2.address}');n.pipe(process.stdout);n.end('x'.repeat(100000))`;
  const { stdout } = await h1.daemon.inside('nsenter', `--net=${s1.netns}`, 'timeout', '30', process.execPath, '-e', client);
  server.kill('SIGKILL');
  assert.equal(stdout.length, 100_000);

  // A restart knows, and so does whoever makes the device anew.
  await h1.daemon.stop('SIGKILL');
  await h1.daemon.inside('ip', 'link', 'del', 'moor-vx1');
  await h1.daemon.start('--peers', `${h1.daemon.directory}/peers.yaml`);
  assert.equal(await offload(0), 'off');
  await h1.daemon.inside('ip', 'link', 'del', 'moor-vx1');
  await until('it is made anew', async () => (await offload(0)) === 'off');
  await allReach(hosts, sandboxes);
});
