// test-timeout: 180 s
/** Published ports on networks that span hosts: from a container on another host, from outside, from the publishing container itself; and who is seen. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { run } from '../support/daemon.ts';
import { NO_ETCD } from '../support/etcd.ts';
import {
  allReach,
  createHosts,
  createNetwork,
  type Host,
  outer,
  type Sandbox,
  sandboxOn,
  startStore,
  STORE_FLAGS,
  until,
} from './lab.ts';

/** Answers with whom it sees. */
const SERVER = `require('node:net').createServer(c=>{c.on('error',()=>{});c.end(c.remoteAddress.replace('::ffff:','')+'\\n')}).listen(80,'::',()=>console.log('up'))`;
const CLIENT = `const n=require('node:net').connect(+process.argv[2],process.argv[1]);n.setTimeout(3000,()=>process.exit(2));n.on('error',()=>process.exit(1));n.pipe(process.stdout)`;

const client = (address: string, port: number): [string, ...string[]] => [process.execPath, '-e', CLIENT, address, String(port)];
const text = ({ code, stdout }: { readonly code: number; readonly stdout: string }): string =>
  code === 0 ? stdout.trim() : `exit ${code}`;

const from = async ({ daemon }: Host, { netns }: Sandbox, to: readonly [address: string, port: number]): Promise<string> =>
  text(await daemon.inside('nsenter', `--net=${netns}`, ...client(...to)));

test('published ports across hosts', { skip: NO_ETCD }, async (t) => {
  await using world = await createHosts(2, () => STORE_FLAGS);
  await using store = await startStore();
  const { hosts } = world;
  const [h1, h2] = hosts;
  assert.ok(store && h1 && h2);
  await Promise.all(hosts.map(({ daemon }) => daemon.start()));
  for (const backend of ['host-gw', 'vxlan', 'udp'] as const) {
    await t.test(backend, async () => {
      await createNetwork(h1, 'pods', backend);
      for (const { daemon } of hosts)
        await until('the network is there', async () => (await daemon.request('GET', '/networks/pods')).status === 200);
      const [web, near] = [await sandboxOn(h1, 'pods'), await sandboxOn(h2, 'pods')];
      await allReach(hosts, [web, near]);
      const published = await h1.daemon.moor('port', 'add', web.name, '8080:80');
      assert.equal(published.code, 0, published.stderr);
      const server = h1.daemon.spawnInside('nsenter', `--net=${web.netns}`, process.execPath, '-e', SERVER);
      try {
        assert.ok(server.stdout);
        await once(server.stdout, 'data');
        // Straight to it, without the port: whoever asks is seen.
        assert.equal(await from(h2, near, [web.address, 80]), near.address);
        // A container on another host, by the publishing host's address: it leaves its host with that one's address.
        assert.equal(await from(h2, near, [outer(1), 8080]), outer(2));
        // The other host itself, and somebody outside.
        assert.equal(text(await h2.daemon.inside(...client(outer(1), 8080))), outer(2));
        const [file, ...args] = client(outer(1), 8080);
        assert.equal(text(await run(file, args)), '10.9.0.254');
        // Nobody publishes there.
        assert.match(text(await h1.daemon.inside(...client(outer(2), 8080))), /^exit/);
        // The container itself, by the host's address, sees its gateway; so does the host, by its own.
        const gateway = web.address.replace(/\d+$/, '1');
        assert.equal(await from(h1, web, [outer(1), 8080]), gateway);
        assert.match(text(await h1.daemon.inside(...client(outer(1), 8080))), new RegExp(`^(${outer(1)}|${gateway})$`));
        // The other host by the container's own address: as it is in the network.
        assert.equal(
          text(await h2.daemon.inside(...client(web.address, 80))),
          near.address.replace(/\d+$/, backend === 'host-gw' ? '1' : '0'),
        );
        // Outside the network nobody reaches a container but by its ports.
        await run('ip', ['route', 'replace', web.address.replace(/\d+$/, '0/24'), 'via', outer(1)]);
        const [direct, ...more] = client(web.address, 80);
        assert.match(text(await run(direct, more)), /^exit/);
      } finally {
        server.kill('SIGKILL');
        await run('ip', ['route', 'del', web.address.replace(/\d+$/, '0/24')]);
      }
      for (const [host, sandbox] of [
        [h1, web],
        [h2, near],
      ] as const)
        await host.daemon.request('DELETE', `/moor/sandboxes/${sandbox.name}`);
      await until('it can be removed', async () => (await h1.daemon.request('DELETE', '/networks/pods')).status === 204);
    });
  }
});
