// test-timeout: 240 s
/** A path that takes less than the devices at both ends: it is found out, TCP goes through, and everybody else hears of it. */
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
  type Sandbox,
  sandboxOn,
  startStore,
  STORE_FLAGS,
  until,
} from './lab.ts';

/** What the segment takes, bytes. */
const NARROW = 1400;
const BYTES = 1 << 20;

const SERVER = `require('node:net').createServer(c=>{let n=0;c.on('data',d=>{n+=d.length});c.on('end',()=>c.end(String(n)))}).listen(7000,'0.0.0.0',()=>console.log('up'))`;
const CLIENT = `const n=require('node:net').connect(7000,process.argv[1]);n.on('data',d=>process.stdout.write(d));n.end(Buffer.alloc(${BYTES}))`;

async function nft(text: string): Promise<void> {
  const { code, stderr } = await run('nft', [text]);
  assert.equal(code, 0, stderr);
}

/** A switch that loses larger frames, without a word to anybody. */
async function narrow(): Promise<AsyncDisposable> {
  await nft(`add table bridge narrow; add chain bridge narrow f { type filter hook forward priority 0; };
    add rule bridge narrow f ether type ip meta length > ${NARROW} drop`);
  return { [Symbol.asyncDispose]: () => nft('delete table bridge narrow') };
}

/** Bytes that went from one sandbox to a server in another. @returns also the largest segment that the client's SYN offered, as it got there */
async function transfer(
  [from, s1]: readonly [Host, Sandbox],
  [to, s2]: readonly [Host, Sandbox],
): Promise<{ got: number; mss: number }> {
  const server = to.daemon.spawnInside('nsenter', `--net=${s2.netns}`, process.execPath, '-e', SERVER);
  const dump = to.daemon.spawnInside(
    'nsenter',
    `--net=${s2.netns}`,
    'tcpdump',
    '-ln',
    '-i',
    'eth0',
    'tcp[tcpflags] & tcp-syn != 0 and dst port 7000',
  );
  let seen = '';
  dump.stdout?.on('data', (data: Buffer) => void (seen += data.toString()));
  try {
    assert.ok(server.stdout && dump.stderr);
    await Promise.all([once(server.stdout, 'data'), once(dump.stderr, 'data')]);
    const { stdout } = await from.daemon.inside(
      'nsenter',
      `--net=${s1.netns}`,
      'timeout',
      '40',
      process.execPath,
      '-e',
      CLIENT,
      s2.address,
    );
    await until('the dump has it', async () => /mss \d+/.test(seen));
    return { got: Number(stdout), mss: Number(/mss (\d+)/.exec(seen)?.[1]) };
  } finally {
    server.kill('SIGKILL');
    dump.kill('SIGKILL');
  }
}

const status = async ({ daemon }: Host): Promise<string> => (await daemon.moor('status')).stdout;

test('a path that takes less', { skip: NO_ETCD }, async (t) => {
  await using world = await createHosts(2, () => STORE_FLAGS);
  await using store = await startStore();
  assert.ok(store);
  const [h1, h2] = world.hosts;
  assert.ok(h1 && h2);
  // The segment sees what it would on a wire: a large packet cut to segments before.
  for (const { daemon } of world.hosts)
    await daemon.inside('ethtool', '-K', 'eth1', 'tso', 'off', 'gso', 'off', 'gro', 'off', 'tx-udp-segmentation', 'off');
  {
    await using _narrow = await narrow();
    await Promise.all(world.hosts.map(({ daemon }) => daemon.start()));
    await until('the path is known', async () => {
      const nodes = (await h1.daemon.moor('node', 'ls', '--format', '{{.Name}} {{.Path}}')).stdout;
      return nodes === 'h1 \nh2 1400 only\n';
    });
    for (const [backend, inner] of [
      ['host-gw', NARROW],
      ['vxlan', NARROW - 50],
      ['udp', NARROW - 28],
    ] as const) {
      await t.test(backend, async () => {
        await createNetwork(h1, 'pods', backend);
        for (const { daemon } of world.hosts)
          await until('the network is there', async () => (await daemon.request('GET', '/networks/pods')).status === 200);
        const [s1, s2] = await Promise.all(world.hosts.map((host) => sandboxOn(host, 'pods')));
        assert.ok(s1 && s2);
        await allReach(world.hosts, [s1, s2]);
        const shown = (await h1.daemon.inside('ip', 'route', 'show', `${s2.address.replace(/\d+$/, '0')}/24`)).stdout;
        assert.match(shown, new RegExp(`mtu ${inner}\\b`));
        // TCP is told so, in either direction.
        for (const [from, to] of [
          [
            [h1, s1],
            [h2, s2],
          ],
          [
            [h2, s2],
            [h1, s1],
          ],
        ] as const)
          assert.deepEqual(await transfer(from, to), { got: BYTES, mss: inner - 40 });
        // And so is whoever must not be fragmented.
        const ping = await h1.daemon.inside(
          'nsenter',
          `--net=${s1.netns}`,
          'ping',
          '-n',
          '-M',
          'do',
          '-c',
          '1',
          '-s',
          String(inner - 27),
          s2.address,
        );
        assert.match(ping.stdout, new RegExp(`Frag needed and DF set \\(mtu = ${inner}\\)`));
        const whole = await h1.daemon.inside(
          'nsenter',
          `--net=${s1.netns}`,
          'ping',
          '-n',
          '-M',
          'do',
          '-c',
          '1',
          '-s',
          String(inner - 28),
          s2.address,
        );
        assert.equal(whole.code, 0, whole.stdout);
        assert.match(
          await status(h1),
          /h2 .* 1400 only +reached\nh2: the path takes 1400 bytes only, of the 1500 that the device here has/,
        );
        for (const [host, sandbox] of [
          [h1, s1],
          [h2, s2],
        ] as const)
          await host.daemon.request('DELETE', `/moor/sandboxes/${sandbox.name}`);
        await until('it can be removed', async () => (await h1.daemon.request('DELETE', '/networks/pods')).status === 204);
      });
    }
    // A restart begins with what is known.
    await createNetwork(h1, 'pods', 'vxlan');
    await until('the peer is there', async () => (await h1.daemon.inside('ip', 'route')).stdout.includes('dev moor-vx1'));
    const monitor = h1.daemon.spawnInside('ip', '-o', 'monitor', 'route');
    let told = '';
    monitor.stdout?.on('data', (data: Buffer) => void (told += data.toString()));
    await h1.daemon.stop('SIGKILL');
    await h1.daemon.start();
    await until('the path is known', async () => / 1400 only /.test(await status(h1)));
    monitor.kill('SIGKILL');
    assert.doesNotMatch(told, /moor-vx1/);
  }
  // The path is mended: at the next look everything is as it should be.
  await until(
    'the route has no MTU any more',
    async () => !/moor-vx1.* mtu /.test((await h1.daemon.inside('ip', 'route')).stdout),
    90_000,
  );
  assert.match(await status(h1), / 1450 ok +reached/);
});

test('an underlay that gets another MTU or address is followed here, and the others hear of it at once', {
  skip: NO_ETCD,
}, async () => {
  await using world = await createHosts(2, () => STORE_FLAGS);
  await using store = await startStore();
  assert.ok(store);
  const [h1, h2] = world.hosts;
  assert.ok(h1 && h2);
  await Promise.all(world.hosts.map(({ daemon }) => daemon.start()));
  await createNetwork(h1, 'pods', 'vxlan');
  for (const { daemon } of world.hosts)
    await until('the network is there', async () => (await daemon.request('GET', '/networks/pods')).status === 200);
  const sandboxes = await Promise.all(world.hosts.map((host) => sandboxOn(host, 'pods')));
  await allReach(world.hosts, sandboxes);

  await h2.daemon.inside('ip', 'link', 'set', 'eth1', 'mtu', '1400');
  const listed = async (): Promise<string> =>
    (await h1.daemon.moor('node', 'ls', '--format', '{{.Name}} {{.Addresses}} {{.MTU}}')).stdout;
  await until('the others hear of the MTU', async () => (await listed()) === 'h1 10.9.0.1 1500\nh2 10.9.0.2 1400\n');
  const links = async ({ daemon }: Host): Promise<string> => (await daemon.inside('ip', '-o', 'link')).stdout;
  await until('its devices follow', async () => /moor-vx1: .* mtu 1350 /.test(await links(h2)));
  await allReach(world.hosts, sandboxes);

  await h2.daemon.inside(
    'sh',
    '-c',
    'ip address add 10.9.0.22/24 dev eth1; ip address del 10.9.0.2/24 dev eth1; ip address add 10.9.0.22/24 dev eth1; ip route replace default via 10.9.0.254',
  );
  await until('the others hear of the address', async () => (await listed()) === 'h1 10.9.0.1 1500\nh2 10.9.0.22 1400\n');
  await until('the VTEP is found there', async () =>
    /dst 10\.9\.0\.22 /.test((await h1.daemon.inside('bridge', 'fdb', 'show', 'dev', 'moor-vx1')).stdout),
  );
  assert.doesNotMatch((await h1.daemon.inside('bridge', 'fdb', 'show', 'dev', 'moor-vx1')).stdout, /dst 10\.9\.0\.2 /);
  await allReach(world.hosts, sandboxes);
});
