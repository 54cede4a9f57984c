// test-timeout: 180 s
/** Who can reach what is published, as `moor ports` and warnings tell it, with a real client in front of the daemon's host. */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import type { ExposureReport } from '../../src/contracts/exposure.ts';
import type { TestDaemon } from '../support/daemon.ts';
import { daemonWithBusybox, type Docker, dockerOf } from '../support/docker.ts';

const OUTSIDE = `set -e
ip netns add world
ip link add up0 type veth peer name eth0 netns world
ip addr add 198.51.100.1/24 dev up0
ip link set up0 up
ip -n world addr add 198.51.100.2/24 dev eth0
ip -n world link set eth0 up
ip route add default via 198.51.100.2`;

/** Of a range one port is let pass. */
const FIREWALL = `nft 'table inet mine {
  chain forward { type filter hook forward priority 0; policy drop; ct state established,related accept; tcp dport 9001 accept; }
}'`;

const WARNING =
  /hosts behind up0 cannot reach tcp port 8080: chain forward of table inet mine \(hand-written rules\) drops it: policy drop; to allow it: nft insert rule inet mine forward /;

suite('exposure', () => {
  let daemon: TestDaemon;
  let docker: Docker;
  before(async () => {
    daemon = await daemonWithBusybox();
    docker = dockerOf(daemon);
    const { code, stderr } = await daemon.inside('sh', '-c', OUTSIDE);
    assert.equal(code, 0, stderr);
  });
  after(async () => {
    await daemon.inside('ip', 'netns', 'del', 'world');
    await daemon[Symbol.asyncDispose]();
  });

  const moor = async (...words: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await daemon.moor(...words);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  /** From outside. */
  const connects = async (port: number): Promise<boolean> => {
    const script = `exec 3<>/dev/tcp/198.51.100.1/${port}`;
    return (await daemon.inside('ip', 'netns', 'exec', 'world', 'timeout', '1', 'bash', '-c', script)).code === 0;
  };
  const rows = async (): Promise<readonly string[]> =>
    (await moor('ports', '--format', '{{.Published}} | {{.From}} | {{.Result}}')).trimEnd().split('\n');

  test('without a firewall all is open, and nobody is warned', async () => {
    const words = [
      'run',
      '-d',
      '--name',
      'web',
      '-p',
      '8080:80',
      '-p',
      '127.0.0.1:5432:5432',
      'busybox',
      'httpd',
      '-f',
      '-p',
      '80',
    ];
    const { code, stderr } = await daemon.docker(...words);
    assert.deepEqual([code, stderr], [0, '']);
    assert.deepEqual(await rows(), [
      '127.0.0.1:5432/tcp | this host by localhost | open',
      '127.0.0.1:5432/tcp | 198.51.100.0/24 (up0), anywhere (up0), its network bridge | dropped',
      '0.0.0.0:8080/tcp | this host by localhost | open',
      '0.0.0.0:8080/tcp | this host | open',
      '0.0.0.0:8080/tcp | 198.51.100.0/24 (up0), anywhere (up0), its network bridge | open',
    ]);
    assert.ok(await connects(8080));
    const table = await moor('ports', 'web');
    assert.match(table, /^NAME +PUBLISHED +TARGET +FROM +RESULT +DECIDED BY\n/);
    assert.match(table, /\nweb +0\.0\.0\.0:8080\/tcp +172\.17\.0\.2:80 +this host by localhost +open +Moorline: straight to it/);
    assert.match(table, /\nweb +0\.0\.0\.0:8080\/tcp +172\.17\.0\.2:80 +this host +open +Moorline: ip: port of any address/);
    assert.ok(!table.includes('\u001b'), 'no colour where there is no terminal');
  });

  test('a firewall comes: the report says which rule, packets agree, and who publishes is warned', async () => {
    assert.equal((await daemon.inside('sh', '-c', FIREWALL)).code, 0);
    const report = JSON.parse(await moor('ports', 'web', '--json')) as ExposureReport;
    const web = report.ports.find(({ binding }) => binding.hostPorts.from === 8080);
    const outside = web?.reach.find(({ from }) => from.name === 'up0');
    assert.deepEqual(
      [outside?.reachability, outside?.decision],
      ['dropped', { owner: 'hand-written rules', table: 'inet mine', chain: 'forward', handle: null, rule: 'policy drop' }],
    );
    assert.deepEqual(
      web?.reach.filter(({ from }) => from.kind === 'host').map(({ reachability }) => reachability),
      ['open', 'open'],
    );
    assert.equal(await connects(8080), false);

    const created = await docker
      .ok('rm', '-f', 'web')
      .then(() => daemon.docker('run', '-d', '--name', 'web', '-p', '8080:80', 'busybox', 'httpd', '-f', '-p', '80'));
    assert.equal(created.code, 0, created.stderr);
    assert.match(created.stderr, new RegExp(`^WARNING: ${WARNING.source}`));
    const added = await daemon.moor('port', 'add', 'web', '9000-9002:9000-9002');
    assert.match(added.stderr, /hosts behind up0 cannot reach tcp port 9000, tcp port 9002: /);
    const listed = await rows();
    assert.deepEqual(
      listed.filter((line) => line.includes('up0')),
      [
        '0.0.0.0:8080/tcp | 198.51.100.0/24 (up0), anywhere (up0), its network bridge | dropped',
        '0.0.0.0:9000/tcp | 198.51.100.0/24 (up0), anywhere (up0), its network bridge | dropped',
        '0.0.0.0:9001/tcp | 198.51.100.0/24 (up0), anywhere (up0), its network bridge | open',
        '0.0.0.0:9002/tcp | 198.51.100.0/24 (up0), anywhere (up0), its network bridge | dropped',
      ],
    );
  });

  test('the remedy that is shown opens it', async () => {
    const remedy = /\n {4}(nft insert rule .* accept') \(/.exec(await moor('ports'))?.[1] ?? '';
    assert.notEqual(remedy, '');
    const { code, stderr } = await daemon.inside('sh', '-c', remedy);
    assert.equal(code, 0, stderr);
    assert.ok(await connects(8080));
    assert.ok((await rows()).every((line) => line.endsWith(' open')));
    assert.ok(!(await moor('ports')).includes('To open'));
  });

  test('names: nothing of what is stopped, and an error for what is not there', async () => {
    await docker.ok('stop', '-t', '0', 'web');
    assert.equal(await moor('ports', 'web', '--format', '{{.Name}}'), '');
    const { code, stderr } = await daemon.moor('ports', 'nobody');
    assert.deepEqual([code, stderr], [3, 'moor: No such container: nobody\n']);
  });
});
