// test-timeout: 300 s
/** What fails between hosts, and what is seen of it on the others. Times to live are short here: seconds instead of half a minute and a day. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../support/daemon.ts';
import { base64, type EtcdServer, NO_ETCD } from '../support/etcd.ts';
import {
  allReach,
  createHosts,
  createNetwork,
  type Host,
  pinging,
  type Sandbox,
  sandboxOn,
  startStore,
  STORE_FLAGS,
  until,
} from './lab.ts';

const NODE_TTL_S = 4;
const FLAGS = [...STORE_FLAGS, '--node-ttl', `${NODE_TTL_S}s`] as const;

async function here(...command: readonly [string, ...string[]]): Promise<void> {
  const [file, ...args] = command;
  const { code, stderr } = await run(file, args);
  assert.equal(code, 0, `${command.join(' ')}: ${stderr}`);
}

/** Everything of peers: routes, permanent neighbours, forwarding entries. */
async function traces({ daemon }: Host): Promise<string> {
  const { stdout } = await daemon.inside(
    'sh',
    '-c',
    'ip -4 route; ip neigh show nud permanent; bridge fdb show | grep dst || true',
  );
  // The kernel's tables have no order of their own.
  return stdout.replaceAll(' linkdown', '').trim().split('\n').toSorted().join('\n');
}

const subnetOf = ({ address }: Sandbox): string => address.replace(/\d+$/, '0/24');
const fdb = async ({ daemon }: Host): Promise<string> => (await daemon.inside('bridge', 'fdb', 'show', 'dev', 'moor-vx1')).stdout;
const has = async ({ daemon }: Host, network: string): Promise<boolean> =>
  (await daemon.request('GET', `/networks/${network}`)).status === 200;

interface Trio extends AsyncDisposable {
  readonly hosts: readonly [Host, Host, Host];
  readonly sandboxes: readonly [Sandbox, Sandbox, Sandbox];
  readonly store: EtcdServer;
}

/** Three hosts with a network, and a sandbox each. */
async function trio(flags: readonly string[] = FLAGS, backend = 'vxlan'): Promise<Trio> {
  await using stack = new AsyncDisposableStack();
  const world = stack.use(await createHosts(3, () => flags));
  const store = stack.use(await startStore());
  const [a, b, c] = world.hosts;
  assert.ok(a && b && c);
  await Promise.all(world.hosts.map(({ daemon }) => daemon.start()));
  await createNetwork(a, 'pods', backend);
  for (const host of world.hosts) await until('the network is there', () => has(host, 'pods'));
  const [x, y, z] = await Promise.all(world.hosts.map((host) => sandboxOn(host, 'pods')));
  assert.ok(x && y && z);
  await allReach(world.hosts, [x, y, z]);
  const owned = stack.move();
  return { hosts: [a, b, c], sandboxes: [x, y, z], store, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

test('a peer dies: gone from the others within its time to live; it returns with another address, and is never there twice', {
  skip: NO_ETCD,
}, async (t) => {
  await using world = await trio();
  const [h1, h2, h3] = world.hosts;
  const [s1, s2, s3] = world.sandboxes;
  const going = await pinging(h1, s1, s2);
  await h3.daemon.stop('SIGKILL');
  const died = performance.now();
  const left = new Map<number, number>();
  for (const host of [h1, h2])
    await until(`h${host.n} has nothing of it`, async () => {
      const text = await traces(host);
      const gone = !text.includes(subnetOf(s3).replace('/24', '')) && !text.includes('10.9.0.3');
      if (gone) left.set(host.n, performance.now() - died);
      return gone;
    });
  for (const [n, ms] of left)
    t.diagnostic(`gone from h${n} ${Math.round(ms)} ms after it died; its time to live is ${NODE_TTL_S} s`);
  assert.match(await traces(h1), /unreachable 10\.244\.0\.0\/16/);

  // Another address, the same subnet.
  await h3.daemon.inside(
    'sh',
    '-c',
    'ip address flush dev eth1; ip address add 10.9.0.33/24 dev eth1; ip route add default via 10.9.0.254',
  );
  await h3.daemon.start();
  await until('it is found there', async () => / dst 10\.9\.0\.33 /.test(await fdb(h1)));
  assert.doesNotMatch(await fdb(h1), /dst 10\.9\.0\.3 /);
  await allReach([h1, h2, h3], [s1, s2, s3]);
  const { lost, sent } = await going.finish();
  assert.deepEqual({ lost, sent }, { lost: 0, sent }, 'nobody else was disturbed');
});

test('the lease of a subnet runs out: the subnet is anybody’s, and its old holder takes another one', {
  skip: NO_ETCD,
}, async () => {
  await using world = await trio([...FLAGS, '--subnet-ttl', '6s'], 'host-gw');
  const [h1, h2, h3] = world.hosts;
  const [s1, s2, s3] = world.sandboxes;
  await h3.daemon.request('DELETE', `/moor/sandboxes/${s3.name}`);
  await h3.daemon.stop('SIGKILL');
  const entries = async (): Promise<string> => {
    const answer = await world.store.gateway('kv/range', { key: base64('/test/subnets/'), range_end: base64('/test/subnets0') });
    return ((answer['kvs'] ?? []) as { key: string }[]).map(({ key }) => Buffer.from(key, 'base64').toString()).join();
  };
  const key = subnetOf(s3).replace('/', '-');
  await until('its entry is gone', async () => !(await entries()).includes(key));
  // Somebody else has it now.
  const folder = (await entries()).split(',')[0]?.replace(/[^/]+$/, '') ?? '';
  await world.store.put(`${folder}${key}`, '{"node":"h1","reserved":true}');
  await h3.daemon.start();
  await until('it has another one', async () => {
    const network = (await h3.daemon.request('GET', '/networks/pods')).json() as { IPAM: { Config: { Subnet: string }[] } };
    const subnet = network.IPAM.Config[0]?.Subnet ?? '';
    return subnet !== '' && subnet !== subnetOf(s3) && (await traces(h1)).includes(`${subnet} via 10.9.0.3`);
  });
  const again = await sandboxOn(h3, 'pods');
  await allReach([h1, h2, h3], [s1, s2, again]);
});

/** Frames between hosts are lost; the store is on this side. */
async function cut(): Promise<AsyncDisposable> {
  await here(
    'nft',
    'add table bridge cut; add chain bridge cut f { type filter hook forward priority 0; }; add rule bridge cut f ether type { ip, arp } drop',
  );
  return { [Symbol.asyncDispose]: () => here('nft', 'delete table bridge cut') };
}

test('partitions: of one host from the store, and of all hosts from each other', {
  skip: NO_ETCD,
}, async () => {
  await using world = await trio();
  const { hosts, sandboxes } = world;
  const [h1, , h3] = hosts;
  const [, , s3] = sandboxes;

  // Of one host from the store, not from the others: it goes on with what it knows, and the others take it for dead.
  await h3.daemon.inside(
    'nft',
    'add table inet cut; add chain inet cut o { type filter hook output priority 0; }; add rule inet cut o ip daddr 10.9.0.254 drop',
  );
  await until('h1 has dropped it', async () => !(await traces(h1)).includes(subnetOf(s3)));
  assert.match(await fdb(h3), /dst 10\.9\.0\.1 /);
  assert.match((await h3.daemon.moor('node', 'ls', '--format', '{{.Name}} {{.State}}')).stdout, /h1 unknown/);
  await h3.daemon.inside('nft', 'delete table inet cut');
  await until('it is back', async () => (await traces(h1)).includes(subnetOf(s3)));
  await allReach(hosts, sandboxes);

  // Of all hosts from each other, not from the store: nothing changes, packets are lost until it is over, and it is said.
  const before = await traces(h1);
  {
    await using _cut = await cut();
    await sleep((NODE_TTL_S + 2) * 1000);
    assert.equal(await traces(h1), before);
    assert.match((await h1.daemon.moor('node', 'ls', '--format', '{{.Name}} {{.State}}')).stdout, /h2 ready\nh3 ready/);
    const status = async (): Promise<string> => (await h1.daemon.moor('status')).stdout;
    await until(
      'it is said',
      async () => /h2: no answer to ICMP echo[^]*h3: no answer to ICMP echo/.test(await status()),
      90_000,
    );
  }
  await allReach(hosts, sandboxes);
  await until('the path is known again', async () => !/no answer/.test((await h1.daemon.moor('node', 'ls')).stdout), 60_000);

  assert.equal(await traces(h1), before);
});

test('two hosts that want one subnet: one has it, the other another one, and nobody sees two holders', {
  skip: NO_ETCD,
}, async () => {
  await using world = await createHosts(3, () => FLAGS);
  await using store = await startStore();
  const { hosts } = world;
  const [h1, h2, h3] = hosts;
  assert.ok(store && h1 && h2 && h3);
  await h1.daemon.start();
  // Two subnets are left for two hosts, who come at one moment.
  const made = await h1.daemon.request('POST', '/networks/create', {
    Name: 'pods',
    Driver: 'routed',
    Options: { backend: 'host-gw', 'subnet-min': '10.244.1.0', 'subnet-max': '10.244.3.0' },
    IPAM: { Config: [{ Subnet: '10.244.0.0/16' }] },
  });
  assert.equal(made.status, 201, made.text);
  await Promise.all([h2.daemon.start(), h3.daemon.start()]);
  for (const host of hosts) await until('the network is there', () => has(host, 'pods'));
  const sandboxes = await Promise.all(hosts.map((host) => sandboxOn(host, 'pods')));
  assert.deepEqual(sandboxes.map(subnetOf).toSorted(), ['10.244.1.0/24', '10.244.2.0/24', '10.244.3.0/24']);
  await allReach(hosts, sandboxes);
});
