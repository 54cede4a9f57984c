import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type LogFields, silentLogger } from '../../base/clock.ts';
import { MoorError } from '../../base/errors.ts';
import { newId } from '../../base/ids.ts';
import { type IpAddress, type Prefix, parseIp } from '../../base/ip.ts';
import type { Cluster, ClusterEvent } from '../../contracts/cluster.ts';
import type { Network } from '../../model/network.ts';
import { createFileCluster } from './file-cluster.ts';

const entry = (name: string, address: string, subnet: string): string =>
  `  - {name: ${name}, address: ${address}, subnet: ${subnet}}\n`;
const TWO = `peers:\n${entry('n1', '192.0.2.1', '10.244.1.0/24')}${entry('n2', '192.0.2.2', '10.244.2.0/24')}`;
const THREE = TWO + entry('n3', '192.0.2.3', '10.244.3.0/24');

class Lab implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'peers-'));
  readonly file = join(this.folder, 'peers.yaml');
  kept: string | null = null;
  readonly warnings: string[] = [];
  events: ClusterEvent[] = [];
  readonly #clusters: Cluster[] = [];

  async open(name = 'n1'): Promise<Cluster> {
    const node = { name, addresses: ['192.0.2.1' as IpAddress], mtu: 1500, version: '', features: [], started: '' };
    const logger = { ...silentLogger, warn: (_fields: LogFields, message: string) => void this.warnings.push(message) };
    const keep = async (text: string): Promise<void> => void (this.kept = text);
    const cluster = await createFileCluster({ file: this.file, node, logger, kept: this.kept, keep });
    cluster.subscribe((event) => this.events.push(event));
    this.#clusters.push(cluster);
    return cluster;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const cluster of this.#clusters) await cluster[Symbol.asyncDispose]();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

const network = (range = '10.244.0.0/16'): Network => ({
  id: newId(),
  name: 'vpn',
  created: '',
  driver: 'routed',
  scope: 'global',
  ipv4: true,
  ipv6: false,
  internal: false,
  attachable: true,
  options: { backend: 'udp' },
  labels: {},
  ipamDriver: 'default',
  ipamOptions: {},
  pools: [],
  ranges: [range as Prefix],
  predefined: false,
});

const peers = (cluster: Cluster): readonly string[] =>
  cluster.networks()[0]?.peers.map(({ node, address, subnets }) => `${node} ${address} ${subnets.join(' ')}`) ?? [];

async function until(condition: () => boolean): Promise<void> {
  const end = Date.now() + 10_000;
  while (!condition()) {
    assert.ok(Date.now() < end, 'it did not happen');
    await sleep(5);
  }
}

test('a network has what the file gives this host, and the others as peers; also after a restart', async () => {
  await using lab = new Lab();
  writeFileSync(lab.file, TWO);
  const cluster = await lab.open();
  const made = await cluster.create(network());
  assert.equal(made.network.pools[0]?.subnet, '10.244.1.0/24');
  assert.equal(made.network.pools[0]?.gateway, '10.244.1.1');
  assert.deepEqual(peers(cluster), ['n2 192.0.2.2 10.244.2.0/24']);
  assert.deepEqual(
    cluster.status().nodes.map(({ name }) => name),
    ['n1', 'n2'],
  );
  const is = (kind: string, text: RegExp) => (error: unknown) =>
    error instanceof MoorError && error.kind === kind && text.test(error.message);
  await assert.rejects(cluster.create(network('10.8.0.0/16')), is('conflict', /vpn already exists/));
  await assert.rejects(
    cluster.create({ ...network('10.8.0.0/16'), name: 'x' }),
    is('invalid', /peers\.yaml:2 gives n1 10\.244\.1\.0\/24/),
  );
  await cluster[Symbol.asyncDispose]();
  const again = await lab.open();
  assert.deepEqual(again.networks(), [made]);
  await again.remove(made.network.id);
  await assert.rejects(again.remove(made.network.id), is('not-found', /not found/));
  assert.deepEqual((await lab.open()).networks(), []);
});

test('the file is read again when it changes, by whatever way', async () => {
  await using lab = new Lab();
  writeFileSync(lab.file, TWO);
  const cluster = await lab.open();
  await cluster.create(network());
  writeFileSync(lab.file, THREE);
  await until(() => peers(cluster).length === 2);
  assert.ok(lab.events.some(({ type }) => type === 'peers'));
  // By rename, as editors and `kubectl` do.
  writeFileSync(`${lab.file}.new`, TWO.replace('192.0.2.2', '198.51.100.2'));
  renameSync(`${lab.file}.new`, lab.file);
  await until(() => peers(cluster)[0] === 'n2 198.51.100.2 10.244.2.0/24' && peers(cluster).length === 1);
  // Through a link that is turned.
  writeFileSync(join(lab.folder, 'other'), THREE);
  rmSync(lab.file);
  symlinkSync('other', lab.file);
  await until(() => peers(cluster).length === 2);
  // This host's own part.
  lab.events = [];
  writeFileSync(join(lab.folder, 'other'), THREE.replace('10.244.1.0/24', '10.244.9.0/24'));
  await until(() => cluster.networks()[0]?.network.pools[0]?.subnet === '10.244.9.0/24');
  assert.deepEqual(
    lab.events.map(({ type }) => type),
    ['network', 'nodes'],
  );
});

test('a file that cannot be used changes nothing, and is told of until it can', async () => {
  await using lab = new Lab();
  writeFileSync(lab.file, TWO);
  const cluster = await lab.open();
  await cluster.create(network());
  const before = peers(cluster);
  for (const [text, error] of [
    ['peers:\n  - {name: n1}\n', /^peers\.yaml:2: address is missing$/],
    [`peers:\n${entry('n2', '192.0.2.2', '10.244.2.0/24')}`, /^peers\.yaml: no entry is named n1/],
  ] as const) {
    writeFileSync(lab.file, text);
    await until(() => error.test(cluster.status().store.error));
    assert.deepEqual(peers(cluster), before);
  }
  rmSync(lab.file);
  await until(() => /ENOENT/.test(cluster.status().store.error));
  assert.equal(cluster.status().store.reachable, false);
  assert.deepEqual(peers(cluster), before);
  writeFileSync(lab.file, THREE);
  await until(() => peers(cluster).length === 2);
  assert.equal(cluster.status().store.error, '');
});

test('a start needs a file with an entry for this host', async () => {
  await using lab = new Lab();
  await assert.rejects(lab.open(), /cannot read .*peers\.yaml: ENOENT/);
  writeFileSync(lab.file, TWO);
  await assert.rejects(lab.open('n7'), /peers\.yaml: no entry is named n7, as this node is \(there are: n1, n2\)/);
  lab.kept = '{"networks":["{}"]}';
  assert.deepEqual((await lab.open()).networks(), []);
});

test('options that say what the file says are refused', async () => {
  await using lab = new Lab();
  writeFileSync(lab.file, TWO);
  const cluster = await lab.open();
  const refuses = async (option: string, kind: string, message: RegExp): Promise<void> => {
    const options = { backend: 'udp', [option]: option === 'subnet-len' ? '25' : '/coreos.com/network' };
    await assert.rejects(cluster.create({ ...network(), options }), { kind, message });
  };
  await refuses('subnet-len', 'invalid', /^invalid option subnet-len=25: peers\.yaml:2 gives n1 10\.244\.1\.0\/24$/);
  await refuses(
    'flannel-prefix',
    'unsupported',
    /^cannot join \/coreos\.com\/network: option flannel-prefix needs a cluster store/,
  );
  assert.deepEqual(cluster.networks(), []);
});

test('a file that says another address of this host than it has is warned of, at the start and whenever one of them changes', async () => {
  await using lab = new Lab();
  writeFileSync(lab.file, TWO);
  const cluster = await lab.open();
  assert.deepEqual(lab.warnings, []);
  const says = (at: string, told: string): RegExp => new RegExp(`this host is at ${at}, and peers\\.yaml says ${told}: unless`);
  cluster.move({ addresses: [parseIp('192.0.2.7')], mtu: 1500 });
  assert.match(lab.warnings.at(-1) ?? '', says('192.0.2.7', '192.0.2.1'));
  writeFileSync(lab.file, TWO.replace('192.0.2.1', '192.0.2.8'));
  await until(() => says('192.0.2.7', '192.0.2.8').test(lab.warnings.at(-1) ?? ''));
  assert.equal(lab.warnings.length, 2);
  await lab.open();
  assert.match(lab.warnings.at(-1) ?? '', says('192.0.2.1', '192.0.2.8'));
});
