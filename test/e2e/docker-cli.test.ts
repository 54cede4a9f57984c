/** The stock Docker CLI against a real daemon: each of the versions that this machine has. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { dockerCli, type RunResult, run, startDaemon, type TestDaemon } from '../support/daemon.ts';

/** Debian's 20.10 (API 1.41), where the bench's peers were installed. */
const OLD = new URL('../../.cache/peers/usr/bin/docker', import.meta.url).pathname;
const CLIS = [...new Set([dockerCli(), existsSync(OLD) ? OLD : null])].filter((path) => path !== null);

test('there is a Docker CLI to test with', (t) => {
  if (CLIS.length === 0) t.skip('no docker CLI on this machine');
});

for (const cli of CLIS) {
  suite(cli, () => {
    let daemon: TestDaemon;
    const docker = (...args: readonly string[]): Promise<RunResult> => run(cli, ['-H', daemon.host, ...args]);
    /** What it prints when it succeeds. */
    const ok = async (...args: readonly string[]): Promise<string> => {
      const { code, stdout, stderr } = await docker(...args);
      assert.equal(code, 0, `docker ${args.join(' ')}: ${stderr}`);
      return stdout.trim();
    };
    /** What it complains when it fails. */
    const fails = async (...args: readonly string[]): Promise<string> => {
      const { code, stderr, stdout } = await docker(...args);
      assert.notEqual(code, 0, `docker ${args.join(' ')}: ${stdout}`);
      return stderr.trim();
    };
    before(async () => {
      daemon = await startDaemon();
    });
    after(() => daemon[Symbol.asyncDispose]());

    test('version and info', async () => {
      assert.match(
        await ok('version'),
        /Server: Moorline\n Engine:\n\s+Version:\s+\d+\.\d+\.\d+\n\s+API version:\s+1\.51 \(minimum version 1\.24\)/,
      );
      assert.match(await ok('version', '--format', '{{.Server.Os}}/{{.Server.Arch}}'), /^linux\/\w+$/);
      const info = await ok('info');
      assert.match(info, /Network: bridge routed overlay host null/);
      assert.doesNotMatch(info, /ERROR/);
    });

    test('list, as a table, as names, by format', async () => {
      const lines = (await ok('network', 'ls')).split('\n');
      assert.match(lines[0] ?? '', /^NETWORK ID +NAME +DRIVER +SCOPE$/);
      assert.deepEqual(
        lines.slice(1).map((line) => line.split(/ +/).slice(1).join(' ').trim()),
        ['bridge bridge local', 'host host local', 'none null local'],
      );
      assert.match(await ok('network', 'ls', '-q', '--no-trunc'), /^([0-9a-f]{64}\n){2}[0-9a-f]{64}$/);
      assert.equal(await ok('network', 'ls', '--format', '{{.Name}}:{{.IPv6}}'), 'bridge:false\nhost:false\nnone:false');
    });

    test('create, inspect, remove; the kernel has it', async () => {
      const id = await ok(
        'network',
        'create',
        '--subnet',
        '192.168.7.0/24',
        '--gateway',
        '192.168.7.1',
        '--label',
        'tier=web',
        'my_net2',
      );
      assert.match(id, /^[0-9a-f]{64}$/);
      const [inspect] = JSON.parse(await ok('network', 'inspect', 'my_net2')) as readonly Readonly<Record<string, unknown>>[];
      assert.equal(inspect?.['Id'], id);
      assert.deepEqual(Object.keys(inspect ?? {}), [
        'Name',
        'Id',
        'Created',
        'Scope',
        'Driver',
        'EnableIPv4',
        'EnableIPv6',
        'IPAM',
        'Internal',
        'Attachable',
        'Ingress',
        'ConfigFrom',
        'ConfigOnly',
        'Containers',
        'Options',
        'Labels',
      ]);
      assert.equal(
        await ok('network', 'inspect', '--format', '{{json .IPAM.Config}}', id.slice(0, 8)),
        '[{"Subnet":"192.168.7.0/24","Gateway":"192.168.7.1"}]',
      );
      assert.equal(await ok('inspect', '--format', '{{.Name}} {{.Driver}}', 'my_net2'), 'my_net2 bridge', 'inspect of anything');
      const addresses = (await daemon.inside('ip', '-j', 'addr', 'show', `br-${id.slice(0, 12)}`)).stdout;
      assert.match(addresses, /"local":"192\.168\.7\.1","prefixlen":24/);
      assert.equal(await ok('network', 'rm', 'my_net2'), 'my_net2');
      assert.notEqual((await daemon.inside('ip', 'link', 'show', `br-${id.slice(0, 12)}`)).code, 0);
    });

    test("a subnet twice gives Docker's overlap error, a name twice its conflict", async () => {
      await ok('network', 'create', '--subnet', '192.168.7.0/24', 'first');
      const head = 'Error response from daemon: ';
      assert.ok(
        (await fails('network', 'create', '--subnet', '192.168.7.0/24', 'second')).startsWith(
          `${head}invalid pool request: Pool overlaps with other one on this address space`,
        ),
      );
      assert.equal(await fails('network', 'create', 'first'), `${head}network with name first already exists`);
      assert.match(await fails('network', 'create', 'host'), /operation is not permitted on predefined host network/);
      assert.match(await fails('network', 'rm', 'bridge'), /bridge is a pre-defined network and cannot be removed/);
      assert.match(await fails('network', 'rm', 'nothing'), /network nothing not found|No such network: nothing/i);
      await ok('network', 'rm', 'first');
    });

    test('filters', async () => {
      await ok('network', 'create', '--label', 'tier=web', 'web_front');
      await ok('network', 'create', '--internal', 'data');
      const names = async (...filters: readonly string[]): Promise<readonly string[]> =>
        (await ok('network', 'ls', '--format', '{{.Name}}', ...filters.flatMap((filter) => ['--filter', filter]))).split('\n');
      assert.deepEqual(await names('type=custom'), ['data', 'web_front']);
      assert.deepEqual(await names('name=web'), ['web_front']);
      assert.deepEqual(await names('label=tier=web'), ['web_front']);
      assert.deepEqual(await names('driver=null', 'scope=local'), ['none']);
      assert.deepEqual(await names('dangling=true'), ['data', 'web_front']);
      assert.match(await fails('network', 'ls', '--filter', 'colour=red'), /invalid filter 'colour'/);
      await ok('network', 'rm', 'web_front', 'data');
    });

    test('connect and disconnect a sandbox, seen from inside it; rm', async () => {
      await ok('network', 'create', '--subnet', '10.44.0.0/24', 'front');
      await ok('network', 'create', 'back');
      const made = await daemon.request('POST', '/moor/sandboxes', { name: 'box1', networks: [{ network: 'back' }] });
      assert.equal(made.status, 201, made.text);
      const { netns } = (await daemon.request('GET', '/moor/sandboxes/box1/enter')).json() as { netns: string };
      const inside = async (): Promise<string> => (await daemon.inside('nsenter', `--net=${netns}`, 'ip', '-br', 'addr')).stdout;

      await ok('network', 'connect', '--ip', '10.44.0.10', '--alias', 'web', 'front', 'box1');
      assert.match(await inside(), /^eth1@\S+ +UP +10\.44\.0\.10\/24/m);
      const seen = await ok('network', 'inspect', '--format', '{{range .Containers}}{{.Name}} {{.IPv4Address}}{{end}}', 'front');
      assert.equal(seen, 'box1 10.44.0.10/24');
      assert.equal(
        await ok('inspect', '--format', '{{(index .NetworkSettings.Networks "front").IPAddress}}', 'box1'),
        '10.44.0.10',
      );
      assert.match(await ok('ps', '-a'), /box1/);
      assert.match(await fails('network', 'rm', 'front'), /network front has active endpoints/);
      assert.match(await fails('network', 'connect', 'front', 'nobody'), /No such container: nobody/);

      await ok('network', 'disconnect', 'front', 'box1');
      assert.doesNotMatch(await inside(), /10\.44/);
      assert.equal(await ok('rm', 'box1'), 'box1');
      await ok('network', 'rm', 'front', 'back');
    });

    test('prune', async () => {
      await ok('network', 'create', 'old1');
      await ok('network', 'create', '--label', 'keep', 'old2');
      assert.equal(await ok('network', 'prune', '-f', '--filter', 'until=24h'), '');
      assert.equal(await ok('network', 'prune', '-f', '--filter', 'label!=keep'), 'Deleted Networks:\nold1');
      assert.equal(await ok('network', 'prune', '-f'), 'Deleted Networks:\nold2');
    });

    test('events: kept ones until now, and as they happen until the client goes', async () => {
      await ok('network', 'create', 'kept');
      await ok('network', 'rm', 'kept');
      await sleep(1000); // Docker's times are whole seconds
      const until = String(Math.floor(Date.now() / 1000));
      const kept = await ok(
        'events',
        '--since',
        '10m',
        '--until',
        until,
        '--filter',
        'network=kept',
        '--format',
        '{{.Type}} {{.Action}} {{index .Actor.Attributes "name"}}',
      );
      assert.equal(kept, 'network create kept\nnetwork destroy kept');

      const following = run('timeout', [
        '--signal',
        'INT',
        '3',
        cli,
        '-H',
        daemon.host,
        'events',
        '--filter',
        'type=network',
        '--format',
        '{{.Action}} {{index .Actor.Attributes "name"}}',
      ]);
      await sleep(1000);
      await ok('network', 'create', 'live');
      await ok('network', 'rm', 'live');
      assert.equal((await following).stdout.trim(), 'create live\ndestroy live');
    });

    test('what is not built says so', async () => {
      assert.match(await fails('plugin', 'ls'), /Error response from daemon: .*not supported by Moorline/);
      assert.match(await fails('search', 'busybox'), /not supported by Moorline/);
      assert.match(await fails('inspect', 'nothing'), /No such object: nothing/i);
    });
  });
}
