// test-timeout: 240 s
/** The same walk on each of the other stores: an overlay network made on one host is there on the other, and so are names and addresses. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { NO_CONSUL, startConsul } from '../support/consul.ts';
import { dockerOf, loadBusybox } from '../support/docker.ts';
import { NO_ZOOKEEPER, startZookeeper } from '../support/zookeeper.ts';
import { createHosts, STORE_IP, until } from './lab.ts';

const PORT = 8500;

const STORES = [
  { scheme: 'consul', missing: NO_CONSUL, start: () => startConsul(PORT, { config: { client_addr: '0.0.0.0' } }) },
  { scheme: 'zk', missing: NO_ZOOKEEPER, start: () => startZookeeper(PORT, { lines: ['clientPortAddress=0.0.0.0'] }) },
] as const;

for (const { scheme, missing, start } of STORES) {
  suite(scheme, { skip: missing }, () => {
    test('two hosts, two containers, by name in both directions, and nothing left', async () => {
      const flags = ['--cluster-store', `${scheme}://${STORE_IP}:${PORT}/test`, '--cluster-advertise', 'eth1'];
      await using world = await createHosts(2, () => flags);
      await using store = await start();
      const [h1, h2] = world.hosts;
      assert.ok(h1 && h2);
      await Promise.all(world.hosts.map(({ daemon }) => daemon.start()));
      await Promise.all(world.hosts.map(({ daemon }) => loadBusybox(daemon)));
      const [d1, d2] = [dockerOf(h1.daemon), dockerOf(h2.daemon)];
      const listed = async (): Promise<boolean> =>
        (await d2.ok('network', 'ls', '--format', '{{.Name}} {{.Driver}} {{.Scope}}')).includes('ov_net1 overlay global');

      await d1.ok('network', 'create', '--driver', 'overlay', 'ov_net1');
      await until('h2 lists it', listed);
      await d1.ok(...'run -itd --name bbox1 --network ov_net1 busybox'.split(' '));
      await d2.ok(...'run -itd --name bbox2 --network ov_net1 busybox'.split(' '));
      for (const [host, docker, from, to] of [
        [h1, d1, 'bbox1', 'bbox2'],
        [h2, d2, 'bbox2', 'bbox1'],
      ] as const) {
        await until(`${to} is known`, async () => (await host.daemon.docker('exec', from, 'nslookup', to)).code === 0);
        assert.match(await docker.ok('exec', from, 'ping', '-c', '1', '-w', '20', to), / 0% packet loss/);
      }
      assert.match(await d2.ok('exec', 'bbox2', 'ip', 'r'), /default via .* dev eth1[^]*10\.0\.0\.0\/24 dev eth0/);
      const addresses = await Promise.all(
        [d1, d2].map((docker) =>
          docker.ok('network', 'inspect', '--format', '{{range .Containers}}{{.IPv4Address}}{{end}}', 'ov_net1'),
        ),
      );
      assert.equal(new Set(addresses).size, 2, addresses.join());

      // Silent or gone, the store does not matter to what flows.
      await store.stop('SIGKILL');
      assert.match(await d1.ok('exec', 'bbox1', 'ping', '-c', '3', '-i', '0.2', '-w', '20', 'bbox2'), / 0% packet loss/);
      await store.start();

      await d1.ok('rm', '-f', 'bbox1');
      await d2.ok('rm', '-f', 'bbox2');
      await until('it can be removed', async () => (await h1.daemon.docker('network', 'rm', 'ov_net1')).code === 0);
      await until('h2 lists it no more', async () => !(await listed()));
    });
  });
}
