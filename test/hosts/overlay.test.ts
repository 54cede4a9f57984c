// test-timeout: 300 s
/** Overlay networks as the Docker CLI's users type them, with real containers on two hosts and a store. */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { type Docker, dockerOf, loadBusybox } from '../support/docker.ts';
import { type EtcdServer, NO_ETCD } from '../support/etcd.ts';
import { createHosts, type Host, outer, startStore, STORE_FLAGS, until, type World } from './lab.ts';

interface NetworkJson {
  readonly Id: string;
  readonly Scope: string;
  readonly Driver: string;
  readonly Internal: boolean;
  readonly Attachable: boolean;
  readonly IPAM: { readonly Driver: string; readonly Config: readonly { readonly Subnet: string; readonly Gateway?: string }[] };
  readonly Containers: Readonly<Record<string, { readonly Name: string; readonly IPv4Address: string }>>;
  readonly Options: Readonly<Record<string, string>>;
  readonly Peers?: readonly { readonly Name: string; readonly IP: string }[];
}

suite('two hosts and etcd', { skip: NO_ETCD }, () => {
  let world: World;
  let store: EtcdServer;
  let h1: Host;
  let h2: Host;
  let d1: Docker;
  let d2: Docker;
  before(async () => {
    world = await createHosts(2, () => STORE_FLAGS);
    store = await startStore();
    const [first, second] = world.hosts;
    assert.ok(first && second);
    [h1, h2] = [first, second];
    await Promise.all(world.hosts.map(({ daemon }) => daemon.start()));
    await Promise.all(world.hosts.map(({ daemon }) => loadBusybox(daemon)));
    [d1, d2] = [dockerOf(h1.daemon), dockerOf(h2.daemon)];
  });
  after(async () => {
    await store[Symbol.asyncDispose]();
    await world[Symbol.asyncDispose]();
  });

  const inspect = async (docker: Docker, network: string): Promise<NetworkJson> => {
    const [found] = JSON.parse(await docker.ok('network', 'inspect', network)) as readonly NetworkJson[];
    return found ?? assert.fail();
  };
  const names = async (docker: Docker): Promise<readonly string[]> =>
    (await docker.ok('network', 'ls', '--format', '{{.Name}} {{.Driver}} {{.Scope}}')).split('\n');
  const pings = (docker: Docker, from: string, to: string): Promise<string> =>
    docker.ok('exec', from, 'ping', '-c', '1', '-w', '20', to);

  test('one is made here, listed there, and has containers of both, which find each other by name', async () => {
    assert.match(await d1.ok('network', 'create', '--driver', 'overlay', 'ov_net1'), /^[0-9a-f]{64}$/);
    await until('h2 lists it', async () => (await names(d2)).includes('ov_net1 overlay global'));
    await d1.ok(...'run -itd --name bbox1 --network ov_net1 busybox'.split(' '));
    await d2.ok(...'run -itd --name bbox2 --network ov_net1 busybox'.split(' '));
    await until('bbox2 is known on h1', async () => (await h1.daemon.docker('exec', 'bbox1', 'nslookup', 'bbox2')).code === 0);
    assert.match(await pings(d1, 'bbox1', 'bbox2'), / 0% packet loss/);
    await until('bbox1 is known on h2', async () => (await h2.daemon.docker('exec', 'bbox2', 'nslookup', 'bbox1')).code === 0);
    assert.match(await pings(d2, 'bbox2', 'bbox1'), / 0% packet loss/);
  });

  test('docker exec bbox2 ip r: both interfaces, and the way out by the second one', async () => {
    const routes = (await d2.ok('exec', 'bbox2', 'ip', 'r')).split('\n').map((line) => line.trim());
    assert.match(routes[0] ?? '', /^default via 172\.\d+\.0\.1 dev eth1$/);
    assert.match(routes[1] ?? '', /^10\.0\.0\.0\/24 dev eth0 scope link +src 10\.0\.0\.\d+$/);
    assert.match(routes[2] ?? '', /^172\.\d+\.0\.0\/16 dev eth1 scope link +src 172\./);
    assert.equal(routes.length, 3);
    // The world is reached, under the host's address.
    assert.match(await pings(d2, 'bbox2', '10.9.0.254'), / 0% packet loss/);
  });

  test('docker inspect shows what a Docker shows', async () => {
    const [here, there] = [await inspect(d1, 'ov_net1'), await inspect(d2, 'ov_net1')];
    assert.deepEqual([here.Scope, here.Driver, here.Internal, here.Attachable], ['global', 'overlay', false, false]);
    assert.equal(here.IPAM.Driver, 'default');
    assert.deepEqual(
      here.IPAM.Config.map(({ Subnet }) => Subnet),
      ['10.0.0.0/24'],
    );
    assert.equal(here.Options['com.docker.network.driver.overlay.vxlanid_list'], '4097');
    assert.deepEqual([here.Id, here.IPAM, here.Options], [there.Id, there.IPAM, there.Options]);
    assert.deepEqual(
      Object.values(here.Containers).map(({ Name }) => Name),
      ['bbox1'],
    );
    assert.deepEqual(here.Peers?.map(({ Name, IP }) => `${Name} ${IP}`).includes(`h2 ${outer(2)}`), true);
    // Of the container only the network that it was put on.
    const format = '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}';
    assert.equal(await d1.ok('inspect', '--format', format, 'bbox1'), 'ov_net1');
    const gateway = await inspect(d1, 'moor_gwbridge');
    const id = await d1.ok('inspect', '--format', '{{.Id}}', 'bbox1');
    assert.deepEqual(
      Object.values(gateway.Containers).map(({ Name }) => Name),
      [`gateway_${id.slice(0, 12)}`],
    );
    const refused = await d1.fails('network', 'disconnect', 'moor_gwbridge', 'bbox1');
    assert.match(refused, /is not connected to network moor_gwbridge/);
  });

  test('a published port leads in by the second interface', async () => {
    await d2.ok(...'run -d --name web --network ov_net1 -p 8080:80 busybox httpd -f -h /etc'.split(' '));
    assert.match(await d1.ok('exec', 'bbox1', 'wget', '-q', '-O', '-', `http://${outer(2)}:8080/hostname`), /\S/);
    await until('by name', async () => (await h1.daemon.docker('exec', 'bbox1', 'nslookup', 'web')).code === 0);
    assert.match(await d1.ok('exec', 'bbox1', 'wget', '-q', '-O', '-', 'http://web/hostname'), /\S/);
    await d2.ok('rm', '-f', 'web');
  });

  test('an internal one has no way out; one with IPv6 has both families', async () => {
    await d1.ok('network', 'create', '-d', 'overlay', '--internal', '--attachable', 'ov_closed');
    await d1.ok(...'run -d --name closed1 --network ov_closed busybox sleep 1000'.split(' '));
    assert.doesNotMatch(await d1.ok('exec', 'closed1', 'ip', 'r'), /default|eth1/);
    assert.equal((await inspect(d1, 'ov_closed')).Attachable, true);
    await d1.ok('rm', '-f', 'closed1');
    await d1.ok('network', 'rm', 'ov_closed');

    await d1.ok(...'network create -d overlay --ipv6 --subnet 10.7.0.0/24 --subnet fd07::/64 ov_six'.split(' '));
    await until('h2 lists it', async () => (await names(d2)).includes('ov_six overlay global'));
    await d1.ok(...'run -d --name six1 --network ov_six --ip6 fd07::a busybox sleep 1000'.split(' '));
    await d2.ok(...'run -d --name six2 --network ov_six --ip 10.7.0.77 busybox sleep 1000'.split(' '));
    await until('six2 is known', async () => (await h1.daemon.docker('exec', 'six1', 'nslookup', 'six2')).code === 0);
    assert.match(await d1.ok('exec', 'six1', 'ping', '-c', '1', '-w', '20', '10.7.0.77'), / 0% packet loss/);
    assert.match(await d2.ok('exec', 'six2', 'ping', '-6', '-c', '1', '-w', '20', 'fd07::a'), / 0% packet loss/);
    await Promise.all([d1.ok('rm', '-f', 'six1'), d2.ok('rm', '-f', 'six2')]);
    await d1.ok('network', 'rm', 'ov_six');
    await until('h2 lists it no more', async () => !(await names(d2)).includes('ov_six overlay global'));
  });

  test('it cannot be removed while another host has containers on it; then it goes, and leaves nothing', async () => {
    await d1.ok('rm', '-f', 'bbox1');
    const refused = await d1.fails('network', 'rm', 'ov_net1');
    assert.match(refused, /ov_net1/);
    await d2.ok('rm', '-f', 'bbox2');
    await until('it can be removed', async () => (await h1.daemon.docker('network', 'rm', 'ov_net1')).code === 0);
    await until('h2 lists it no more', async () => !(await names(d2)).includes('ov_net1 overlay global'));
    for (const { daemon } of [h1, h2]) {
      const { stdout } = await daemon.inside('sh', '-c', 'ls $0/exec/netns; ss -lun', daemon.directory);
      assert.doesNotMatch(stdout, /1-|:4789/);
    }
  });
});
