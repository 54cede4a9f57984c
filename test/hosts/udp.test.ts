// test-timeout: 240 s
/** The `udp` backend's process: no packet misses a daemon; it is put back when it dies, and goes with its network, whoever is there to see it. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { allReach, createHosts, createNetwork, type Host, outer, pinging, sandboxOn, until, type World } from './lab.ts';

const entry = (n: number): string => `  - {name: h${n}, address: ${outer(n)}, subnet: 10.244.${n}.0/24}\n`;
const file = ({ daemon }: Host): string => `${daemon.directory}/peers.yaml`;
const start = (host: Host, ...args: readonly string[]): Promise<void> => host.daemon.start('--peers', file(host), ...args);

interface Two extends AsyncDisposable {
  readonly hosts: readonly [Host, Host];
  readonly sandboxes: readonly [Sandbox, Sandbox];
}
type Sandbox = Awaited<ReturnType<typeof sandboxOn>>;

/** Two hosts with a network, and a sandbox on each. */
async function two(): Promise<Two> {
  await using stack = new AsyncDisposableStack();
  const { hosts }: World = stack.use(await createHosts(2, () => ['--cluster-advertise', 'eth1']));
  const [h1, h2] = hosts;
  assert.ok(h1 && h2);
  for (const host of hosts) writeFileSync(file(host), `peers:\n${entry(1)}${entry(2)}`);
  for (const host of hosts) await start(host);
  for (const host of hosts) await createNetwork(host, 'vpn', 'udp');
  const sandboxes = [await sandboxOn(h1, 'vpn'), await sandboxOn(h2, 'vpn')] as const;
  await allReach(hosts, sandboxes);
  const owned = stack.move();
  return { hosts: [h1, h2], sandboxes, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Of a host's tunnel processes, as its own namespace counts. */
async function processes({ daemon }: Host): Promise<readonly number[]> {
  const { stdout } = await daemon.inside('pgrep', '-f', `"directory":"${daemon.directory}/exec/tunnels/`);
  return stdout.trim().split('\n').filter(Boolean).map(Number);
}

/** What is there of a tunnel, in words. */
async function remains(host: Host): Promise<string> {
  const { daemon } = host;
  const [links, sockets] = await Promise.all([daemon.inside('ip', '-br', 'link'), daemon.inside('ss', '-Hlnu')]);
  const descriptors = await daemon.inside('sh', '-c', 'ls -l /proc/[0-9]*/fd 2>/dev/null | grep -o /dev/net/tun | uniq');
  const folder = `${daemon.directory}/exec/tunnels`;
  return [
    ...(await processes(host)).map((pid) => `process ${pid}`),
    ...(existsSync(folder) ? readdirSync(folder).map((name) => `folder ${name}`) : []),
    ...(/moor-udp\S*/.exec(links.stdout) ?? []),
    ...(/\S*:8285/.exec(sockets.stdout) ?? []),
    ...descriptors.stdout.split('\n').filter(Boolean),
  ].join(', ');
}

test('nobody misses a daemon that is killed, stopped, or started again; its process is the same one', async () => {
  await using world = await two();
  const [h1, h2] = world.hosts;
  const [s1, s2] = world.sandboxes;
  const before = await processes(h2);
  assert.equal(before.length, 1);
  const going = await pinging(h1, s1, s2);
  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    await h2.daemon.stop(signal);
    await sleep(300);
    await start(h2);
  }
  assert.deepEqual(await processes(h2), before, h2.daemon.log());
  const { stdout } = await h2.daemon.moor('status');
  assert.match(stdout, /\nh1 +10\.9\.0\.1 +10\.244\.1\.0\/24 +\d+ \(\d+ k?B\) +\d+ \(\d+ k?B\) +0 .*reached\n/);
  // Some of 10 ms each, on both sides of two restarts; where the kernel can.
  const [, past = ''] = /\npast the tunnel's process, in the kernel: (\d+) packets sent, \d+ received\n/.exec(stdout) ?? [];
  assert.ok(Number(past) > 50 || stdout.includes(': it takes Linux 6.6 with CONFIG_NET_XGRESS\n'), stdout);
  await h2.daemon.stop('SIGTERM');
  await start(h2, '--tunnel-fastpath=false');
  assert.match(
    (await h2.daemon.moor('status')).stdout,
    /\nall packets go through the tunnel's process: switched off \(tunnel-fastpath\)\n/,
  );
  const { lost, sent } = await going.finish();
  assert.deepEqual({ lost, sent }, { lost: 0, sent });
  assert.deepEqual(await processes(h2), before, h2.daemon.log());
});

test('a process that is killed is replaced; so are both, the daemon and the process', async (t) => {
  await using world = await two();
  const [h1, h2] = world.hosts;
  const [s1, s2] = world.sandboxes;
  const another = async (pid: number | undefined): Promise<boolean> => {
    const [now] = await processes(h2);
    return now !== undefined && now !== pid;
  };
  const kill = async (pid: number | undefined): Promise<void> => void (await h2.daemon.inside('kill', '-9', String(pid)));
  // One that has ended within its first second is not started again at once.
  await sleep(1_100);
  const [first] = await processes(h2);
  const going = await pinging(h1, s1, s2);
  await kill(first);
  await until('there is another one', () => another(first));
  const alone = await going.finish();
  t.diagnostic(`kill -9 of the process: ${alone.lost} of ${alone.sent} packets lost`);
  assert.ok(alone.lost < 100, `${alone.lost} packets of 10 ms were lost`);

  const [second] = await processes(h2);
  const over = await pinging(h1, s1, s2);
  await h2.daemon.stop('SIGKILL');
  await kill(second);
  await start(h2);
  await allReach(world.hosts, world.sandboxes);
  const both = await over.finish();
  t.diagnostic(`kill -9 of daemon and process, and start: ${both.lost} of ${both.sent} packets lost`);
  assert.equal(await another(second), true);
});

test('a network that goes takes its process along: removed, reset, or swept after the daemon was away', async () => {
  await using world = await two();
  const [h1, h2] = world.hosts;
  for (const [i, { daemon }] of world.hosts.entries())
    assert.equal((await daemon.request('DELETE', `/moor/sandboxes/${world.sandboxes[i]?.name}`)).status, 200);
  assert.notEqual(await remains(h1), '');
  assert.equal((await h1.daemon.request('DELETE', '/networks/vpn')).status, 204);
  assert.equal(await remains(h1), '');

  // What its daemon knows nothing of: as after a store that was lost, or a removal that was cut short.
  await createNetwork(h1, 'vpn', 'udp');
  await h1.daemon.stop('SIGKILL');
  const { code, stderr } = await h1.daemon.inside('rm', '-r', `${h1.daemon.directory}/data`);
  assert.equal(code, 0, stderr);
  assert.match(await remains(h1), /process \d+, folder [0-9a-f]{64}, moor-udp0, \S*:8285, \/dev\/net\/tun$/);
  await start(h1);
  assert.equal(await remains(h1), '');

  assert.equal((await h2.daemon.request('POST', '/moor/reset')).status, 200);
  assert.equal(await remains(h2), '');
});
