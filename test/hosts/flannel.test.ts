// test-timeout: 180 s
/**
 * A host that runs Moorline and one that runs flannel form one network. There is no flanneld in Debian 12, so the test is the second one: what flanneld writes
 * into etcd (byte for byte as its documentation shows) goes there by etcd's own gateway, and what it tells the kernel for each lease that it reads, by ip(8)
 * and bridge(8).
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { base64, type EtcdServer, NO_ETCD } from '../support/etcd.ts';
import { createHosts, type Host, outer, sandboxOn, startStore, STORE_FLAGS, until } from './lab.ts';

const PREFIX = '/coreos.com/network';
/** SubnetMin 10.244.0.0/24 and up; what `lan0`, the flanneld of this test, has. */
const FLANNEL_SUBNET = '10.244.77';

async function keys(store: EtcdServer): Promise<Map<string, { value: string; lease: string }>> {
  const from = `${PREFIX}/subnets/`;
  const answer = (await store.gateway('kv/range', { key: base64(from), range_end: base64(`${PREFIX}/subnets0`) })) as {
    kvs?: { key: string; value: string; lease?: string }[];
  };
  const text = (bytes: string): string => Buffer.from(bytes, 'base64').toString();
  return new Map(
    (answer.kvs ?? []).map(({ key, value, lease = '0' }) => [text(key).slice(from.length), { value: text(value), lease }]),
  );
}

/** A host with flannel.1 and cni0, as flanneld and CNI make them. */
class Flanneld {
  readonly #host: Host;
  readonly #store: EtcdServer;
  #lease = '';

  constructor(host: Host, store: EtcdServer) {
    this.#host = host;
    this.#store = store;
  }

  async run(...command: readonly [string, ...string[]]): Promise<string> {
    const [file, ...args] = command;
    const { code, stdout, stderr } = await this.#host.daemon.inside(file, ...args);
    assert.equal(code, 0, `${command.join(' ')}: ${stderr}`);
    return stdout;
  }

  /** @returns its VTEP's address */
  async start(): Promise<string> {
    const { n } = this.#host;
    await this.run(
      'ip',
      'link',
      'add',
      'flannel.1',
      'type',
      'vxlan',
      'id',
      '1',
      'dstport',
      '8472',
      'local',
      outer(n),
      'nolearning',
    );
    await this.run('ip', 'address', 'add', `${FLANNEL_SUBNET}.0/32`, 'dev', 'flannel.1');
    await this.run('ip', 'link', 'set', 'flannel.1', 'mtu', '1450', 'up');
    await this.run('ip', 'link', 'add', 'cni0', 'type', 'bridge');
    await this.run('ip', 'address', 'add', `${FLANNEL_SUBNET}.1/24`, 'dev', 'cni0');
    await this.run('ip', 'link', 'set', 'cni0', 'up');
    const [link] = JSON.parse(await this.run('ip', '-j', 'link', 'show', 'flannel.1')) as { address: string }[];
    return link?.address ?? '';
  }

  /** subnet.lease: a lease of a day, and the entry under it. */
  async register(mac: string): Promise<void> {
    const { ID } = (await this.#store.gateway('lease/grant', { TTL: '86400' })) as { ID: string };
    this.#lease = ID;
    const value = `{"PublicIP":"${outer(this.#host.n)}","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"${mac}"}}`;
    await this.#store.gateway('kv/put', {
      key: base64(`${PREFIX}/subnets/${FLANNEL_SUBNET}.0-24`),
      value: base64(value),
      lease: ID,
    });
  }

  /** A lease of another host: ARP entry, FDB entry, route (pkg/backend/vxlan/vxlan_network.go). */
  async follow(key: string, value: string): Promise<void> {
    const { PublicIP, BackendType, BackendData } = JSON.parse(value) as {
      PublicIP: string;
      BackendType: string;
      BackendData: { VNI: number; VtepMAC: string };
    };
    assert.deepEqual([BackendType, BackendData.VNI], ['vxlan', 1]);
    const [subnet = '', length = ''] = key.split('-');
    await this.run('ip', 'neigh', 'replace', subnet, 'lladdr', BackendData.VtepMAC, 'dev', 'flannel.1', 'nud', 'permanent');
    await this.run('bridge', 'fdb', 'replace', BackendData.VtepMAC, 'dev', 'flannel.1', 'dst', PublicIP, 'self', 'permanent');
    await this.run('ip', 'route', 'replace', `${subnet}/${length}`, 'via', subnet, 'dev', 'flannel.1', 'onlink');
  }

  async end(): Promise<void> {
    await this.#store.gateway('lease/revoke', { ID: this.#lease });
  }
}

test('one network with flannel', { skip: NO_ETCD }, async () => {
  await using world = await createHosts(2, () => STORE_FLAGS);
  await using store = await startStore();
  const [h1, h2] = world.hosts;
  assert.ok(h1 && h2);
  await store.put(`${PREFIX}/config`, '{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}');
  const flanneld = new Flanneld(h2, store);
  const mac = await flanneld.start();
  await flanneld.register(mac);

  const folder = `${h1.daemon.directory}/flannel`;
  await h1.daemon.start('--flannel-dir', folder);
  const made = await h1.daemon.request('POST', '/networks/create', {
    Name: 'flat',
    Driver: 'routed',
    Options: { 'flannel-prefix': PREFIX },
    IPAM: { Config: [{ Subnet: '10.244.0.0/16' }] },
  });
  assert.equal(made.status, 201, made.text);
  const sandbox = await sandboxOn(h1, 'flat');
  const ours = sandbox.address.replace(/\d+$/, '0');

  // What is written is what flanneld reads, under a lease as its own is.
  const written = (await keys(store)).get(`${ours}-24`);
  assert.ok(written);
  const [vtep] = JSON.parse((await h1.daemon.inside('ip', '-j', 'link', 'show', 'moor-vx1')).stdout) as { address: string }[];
  assert.equal(
    written.value,
    `{"PublicIP":"10.9.0.1","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"${vtep?.address}"}}`,
  );
  const { TTL } = (await store.gateway('lease/timetolive', { ID: written.lease })) as { TTL: string };
  assert.ok(Number(TTL) > 86_000 && Number(TTL) <= 86_400, TTL);
  const env = `${folder}/subnet.env`;
  const gateway = sandbox.address.replace(/\d+$/, '1');
  assert.equal(
    readFileSync(env, 'utf8'),
    `FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=${gateway}/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n`,
  );

  // Both ways.
  await flanneld.follow(`${ours}-24`, written.value);
  const pings = (address: string) => async (): Promise<boolean> =>
    (await h1.daemon.inside('nsenter', `--net=${sandbox.netns}`, 'ping', '-n', '-c', '1', '-W', '1', address)).code === 0;
  await until('a pod of the other host is reached', pings(`${FLANNEL_SUBNET}.1`));
  await flanneld.run('ping', '-n', '-c', '1', '-W', '1', '-I', `${FLANNEL_SUBNET}.1`, sandbox.address);
  const inspected = await h1.daemon.moor('network', 'inspect', 'flat', '--format', '{{json .Peers}}');
  assert.equal(inspected.stdout, '[{"IP":"10.9.0.2","Name":"10.9.0.2"}]\n');

  // A flanneld that was started anew has another MAC address.
  const fdb = async (): Promise<string> => (await h1.daemon.inside('bridge', 'fdb', 'show', 'dev', 'moor-vx1')).stdout.trim();
  assert.equal(await fdb(), `${mac} dst 10.9.0.2 self permanent`);
  await flanneld.run('ip', 'link', 'set', 'flannel.1', 'address', '02:42:00:00:00:99');
  await flanneld.register('02:42:00:00:00:99');
  // With its address the kernel has forgotten its neighbours.
  await flanneld.follow(`${ours}-24`, written.value);
  await until('its new address is known', async () => (await fdb()) === '02:42:00:00:00:99 dst 10.9.0.2 self permanent');
  await until('it is reached again', pings(`${FLANNEL_SUBNET}.1`));

  // This host gets another address: its entry says so, and stays where it is.
  await h1.daemon.inside(
    'sh',
    '-c',
    'ip address add 10.9.0.11/24 dev eth1; ip address del 10.9.0.1/24 dev eth1; ip address add 10.9.0.11/24 dev eth1; ip route replace default via 10.9.0.254',
  );
  await until(
    'the entry has it',
    async () => (await keys(store)).get(`${ours}-24`)?.value.includes('"PublicIP":"10.9.0.11"') === true,
  );
  assert.equal((await keys(store)).size, 2);
  await flanneld.follow(`${ours}-24`, (await keys(store)).get(`${ours}-24`)?.value ?? '');
  await until('it is reached from there', pings(`${FLANNEL_SUBNET}.1`));

  // The file comes back, and goes with the network; flanneld goes with its lease.
  await h1.daemon.stop('SIGKILL');
  await h1.daemon.inside('rm', '-r', folder);
  await h1.daemon.start('--flannel-dir', folder);
  assert.ok(existsSync(env));
  await flanneld.end();
  await until('flanneld is gone', async () => !(await h1.daemon.inside('ip', 'route')).stdout.includes(`${FLANNEL_SUBNET}.0/24`));
  await h1.daemon.request('DELETE', `/moor/sandboxes/${sandbox.name}`);
  assert.equal((await h1.daemon.request('DELETE', '/networks/flat')).status, 204);
  assert.ok(!existsSync(folder));
  await until('the lease is given back', async () => (await keys(store)).size === 0);
});
