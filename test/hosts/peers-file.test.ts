// test-timeout: 180 s
/** Two hosts and a file on each, without any store: the two-host VPN. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { allReach, createHosts, createNetwork, outer, pinging, reaches, sandboxOn, until } from './lab.ts';

const entry = (n: number): string => `  - {name: h${n}, address: ${outer(n)}, subnet: 10.244.${n}.0/24}\n`;

test('hosts that know each other by a file', async () => {
  await using world = await createHosts(2, () => ['--cluster-advertise', 'eth1']);
  const { hosts } = world;
  const [h1, h2] = hosts;
  assert.ok(h1 && h2);
  const files = hosts.map(({ daemon }) => `${daemon.directory}/peers.yaml`);
  for (const file of files) writeFileSync(file, `peers:\n${entry(1)}${entry(2)}`);
  for (const [i, { daemon }] of hosts.entries()) await daemon.start('--peers', files[i] ?? '');
  for (const host of hosts) await createNetwork(host, 'vpn', 'udp');
  const sandboxes = await Promise.all(hosts.map((host) => sandboxOn(host, 'vpn')));
  assert.deepEqual(
    sandboxes.map(({ address }) => address),
    ['10.244.1.2', '10.244.2.2'],
  );
  await allReach(hosts, sandboxes);
  const [s1, s2] = sandboxes;
  assert.ok(s1 && s2);

  const going = await pinging(h1, s1, s2);
  await h2.daemon.stop('SIGKILL');
  await h2.daemon.start('--peers', files[1] ?? '');
  const { lost, sent } = await going.finish();
  assert.deepEqual({ lost, sent }, { lost: 0, sent });

  const { stdout } = await h1.daemon.moor('status');
  assert.match(
    stdout,
    /Network vpn \(udp, here 10\.244\.1\.0\/24, MTU 1472\)\nPEER +ADDRESS +SUBNETS +SENT +RECEIVED +SPOOFED +PATH +STATE\n/,
  );
  assert.match(stdout, /\nh2 +10\.9\.0\.2 +10\.244\.2\.0\/24 +\d+ \(\d+ k?B\) +\d+ \(\d+ k?B\) +0 +(1472 ok)? +reached\n/);

  // One is taken out of the file, and put in again.
  writeFileSync(files[0] ?? '', `peers:\n${entry(1)}`);
  await until('the route is gone', async () => !(await h1.daemon.inside('ip', 'route')).stdout.includes('10.244.2.0/24'));
  assert.equal(await reaches(h1, s1, s2), false);
  writeFileSync(files[0] ?? '', `peers:\n${entry(1)}${entry(2)}`);
  await allReach(hosts, sandboxes);

  // What cannot be is refused with what to do.
  const create = ['network', 'create', '-d', 'routed', '-o', 'backend=host-gw'] as const;
  const outside = await h1.daemon.moor(...create, '--subnet', '10.99.0.0/16', 'other');
  assert.notEqual(outside.code, 0);
  assert.match(outside.stderr, /peers\.yaml:2 gives h1 10\.244\.1\.0\/24/);
  const tried = await h1.daemon.moor(...create, '--dry-run', '--subnet', '10.99.0.0/16', 'other');
  assert.match(tried.stdout, /unreachable 10\.99\.0\.0\/16/, tried.stderr);
});

test('a host in no cluster refuses, and says what to do', async () => {
  await using world = await createHosts(1, () => []);
  const [host] = world.hosts;
  assert.ok(host);
  await assert.rejects(host.daemon.start(), /invalid node-name: this host is in no cluster/);
});
