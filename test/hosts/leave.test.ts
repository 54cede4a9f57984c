// test-timeout: 300 s
/** Who is gone is gone from the others, and a restart without the store goes on with what was known. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NO_ETCD } from '../support/etcd.ts';
import { allReach, createHosts, createNetwork, type Host, pinging, sandboxOn, startStore, STORE_FLAGS, until } from './lab.ts';

const kernelOf = async ({ daemon }: Host): Promise<string> => {
  const { stdout } = await daemon.inside('sh', '-c', 'ip -4 route; ip neigh show nud permanent; bridge fdb show dev moor-vx1');
  // Whether the default network has a carrier changes by itself, a second after it is made.
  return stdout.replaceAll(' linkdown', '');
};

test('a restart without the store keeps everything; a node that leaves, or dies, is gone', { skip: NO_ETCD }, async () => {
  await using world = await createHosts(3, () => STORE_FLAGS);
  await using store = await startStore();
  const { hosts } = world;
  const [h1, h2, h3] = hosts;
  assert.ok(h1 && h2 && h3);
  await Promise.all(hosts.map(({ daemon }) => daemon.start()));
  await createNetwork(h1, 'pods', 'vxlan');
  for (const { daemon } of hosts)
    await until('the network is there', async () => (await daemon.request('GET', '/networks/pods')).status === 200);
  const sandboxes = await Promise.all(hosts.map((host) => sandboxOn(host, 'pods')));
  await allReach(hosts, sandboxes);
  const [s1, s2, s3] = sandboxes;
  assert.ok(s1 && s2 && s3);

  const listed = await h1.daemon.moor('node', 'ls', '--format', '{{.Name}} {{.Addresses}} {{.MTU}} {{.State}}');
  assert.equal(listed.stdout, 'h1 10.9.0.1 1500 ready\nh2 10.9.0.2 1500 ready\nh3 10.9.0.3 1500 ready\n', listed.stderr);
  const status = await h1.daemon.moor('status');
  assert.match(
    status.stdout,
    /Cluster\nthis host is h1 \(10\.9\.0\.1\), of 3 hosts\netcd:\/\/10\.9\.0\.254:2379\/test: reached\n/,
  );
  assert.match(status.stdout, /Network pods \(vxlan, here 10\.244\.\d+\.0\/24, MTU 1450\)\n.*\nh2 +10\.9\.0\.2 .* reached\n/);
  const inspected = await h1.daemon.moor('network', 'inspect', 'pods', '--format', '{{.Scope}} {{json .Peers}}');
  assert.equal(inspected.stdout, 'global [{"IP":"10.9.0.2","Name":"h2"},{"IP":"10.9.0.3","Name":"h3"}]\n', inspected.stderr);

  // The store is gone, and the daemon is started again: by what it kept.
  const going = await pinging(h1, s1, s2);
  await store.stop();
  const before = await kernelOf(h1);
  await h1.daemon.stop('SIGKILL');
  await h1.daemon.start();
  assert.equal(await kernelOf(h1), before);
  const unreached = await h1.daemon.request('POST', '/networks/create', {
    Name: 'more',
    Driver: 'routed',
    Options: { vni: '2' },
    IPAM: { Config: [{ Subnet: '10.245.0.0/16' }] },
  });
  assert.equal(unreached.status, 503, unreached.text);
  await store.start();
  const { lost, sent } = await going.finish();
  assert.deepEqual({ lost, sent }, { lost: 0, sent });
  await until('the store is reached again', async () => /test: reached/.test((await h1.daemon.moor('status')).stdout));

  // One leaves for good.
  assert.equal((await h3.daemon.request('POST', '/moor/reset')).status, 200);
  const gone = (subnet: string) => async (): Promise<boolean> => !(await kernelOf(h1)).includes(subnet);
  const subnetOf = (address: string): string => address.replace(/\d+$/, '0');
  await until('h3 is gone from h1', gone(subnetOf(s3.address)));

  // One dies: its lease runs out after 30 s.
  await h2.daemon.stop('SIGKILL');
  await until('h2 is gone from h1', gone(subnetOf(s2.address)));
  assert.doesNotMatch(await kernelOf(h1), /dst 10\.9/);
  assert.match(await kernelOf(h1), /unreachable 10\.244\.0\.0\/16/);
  // And comes back, with the same subnet.
  await h2.daemon.start();
  await allReach([h1, h2], [s1, s2]);
});
