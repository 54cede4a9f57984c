// test-timeout: 180 s
/** Containers on every kind of network, word for word as the Docker CLI's users type it, with each CLI of this machine. */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import type { TestDaemon } from '../support/daemon.ts';
import { CLIS, daemonWithBusybox, type Docker, dockerOf, terminal } from '../support/docker.ts';
import { until } from '../support/snapshot.ts';

const REFUSAL = 'user specified IP address is supported only when connecting to networks with user configured subnets';

test('there is a Docker CLI to test with', () => assert.ok(CLIS.length > 0, 'tools/peers.sh brings one'));

for (const cli of CLIS) {
  suite(cli, () => {
    let daemon: TestDaemon;
    let docker: Docker;
    before(async () => {
      daemon = await daemonWithBusybox();
      docker = dockerOf(daemon, cli);
    });
    after(() => daemon[Symbol.asyncDispose]());

    /** `docker ...` as a shell command. */
    const typed = (words: string): string => `${cli} -H ${daemon.host} ${words}`;
    /** busybox asks the terminal where its cursor is, and draws the line again when nobody answers. */
    const PROMPT = /\/ # /;
    /** The mark that a line of commands prints last, and the prompt after it; typed it reads otherwise. */
    const DONE = /\nend\r\n[^]*\/ # /;
    const MARK = "echo en''d";

    test('two networks', async () => {
      assert.match(await docker.ok('network', 'create', '--driver', 'bridge', 'my_net1'), /^[0-9a-f]{64}$/);
      const words = 'network create --driver bridge --subnet 192.168.7.0/24 --gateway 192.168.7.1 my_net2';
      assert.match(await docker.ok(...words.split(' ')), /^[0-9a-f]{64}$/);
      assert.deepEqual((await docker.ok('network', 'ls', '--format', '{{.Name}} {{.Driver}}')).split('\n').toSorted(), [
        'bridge bridge',
        'host host',
        'my_net1 bridge',
        'my_net2 bridge',
        'none null',
      ]);
    });

    test('docker run -it --network=none busybox: a terminal, and only lo', async () => {
      await using shell = terminal(typed('run -it --rm --network=none busybox'));
      await shell.see(PROMPT);
      assert.match(await shell.type(`stty size; tty; ${MARK}`, DONE), /\n33 101\r\n\/dev\/pts\/\d+\r\nend\r\n/);
      assert.match(await shell.type(`ls /sys/class/net; ${MARK}`, DONE), /\nlo\r\nend\r\n/);
      await shell.type('exit 7', /exit 7/);
      assert.equal(await shell.end(), 7);
      assert.equal(await docker.ok('ps', '-aq'), '');
    });

    test('docker run --network=host: the stack of the daemon', async () => {
      const there = await daemon.inside('readlink', '/proc/self/ns/net');
      assert.equal(
        await docker.ok('run', '--rm', '--network=host', 'busybox', 'readlink', '/proc/self/ns/net'),
        there.stdout.trim(),
      );
      assert.match(await docker.ok('run', '--rm', '--network=host', 'busybox', 'ip', 'a'), / moor0: /);
    });

    test('docker run --network my_net2 --ip 192.168.7.10; none on a network that chose its own subnet', async () => {
      const id = await docker.ok(
        'run',
        '-d',
        '--name',
        'bbox1',
        '--network',
        'my_net2',
        '--ip',
        '192.168.7.10',
        'busybox',
        'sleep',
        '1000',
      );
      assert.match(await docker.ok('exec', 'bbox1', 'ip', '-o', '-4', 'a', 'show', 'eth0'), /inet 192\.168\.7\.10\/24 /);
      assert.equal(
        await docker.ok('exec', 'bbox1', 'ip', 'r'),
        'default via 192.168.7.1 dev eth0 \n192.168.7.0/24 dev eth0 scope link  src 192.168.7.10',
      );
      assert.equal(await docker.ok('exec', 'bbox1', 'hostname'), id.slice(0, 12));
      const format =
        '{{with index .NetworkSettings.Networks "my_net2"}}{{.IPAddress}} {{.IPPrefixLen}} {{.Gateway}} {{.MacAddress}} {{.IPAMConfig.IPv4Address}}{{end}}';
      assert.equal(
        await docker.ok('inspect', '--format', format, 'bbox1'),
        '192.168.7.10 24 192.168.7.1 02:42:c0:a8:07:0a 192.168.7.10',
      );

      const refused = await docker.fails('run', '--network', 'my_net1', '--ip', '172.18.0.10', 'busybox');
      assert.match(refused, /^125 docker: Error response from daemon: /);
      assert.ok(refused.includes(REFUSAL), refused);
      assert.equal(await docker.ok('network', 'inspect', '--format', '{{len .Containers}}', 'my_net1'), '0');
      assert.equal(await docker.ok('ps', '-aq', '--no-trunc'), id, 'nothing half-made');
    });

    test('docker network connect my_net2 CONTAINER while it runs; docker exec bbox2 ip r', async () => {
      const id = await docker.ok('run', '-d', '--name', 'bbox2', 'busybox', 'sleep', '1000');
      const before = await docker.ok('exec', 'bbox2', 'ip', 'r');
      const [, own = ''] = /src (172\.17\.\d+\.\d+)/.exec(before) ?? [];
      assert.equal(before, `default via 172.17.0.1 dev eth0 \n172.17.0.0/16 dev eth0 scope link  src ${own}`);
      assert.match(await docker.fails('exec', 'bbox2', 'ping', '-c', '1', '-W', '1', '192.168.7.10'), /^1 /);

      await docker.ok('network', 'connect', 'my_net2', id);
      const routes = await docker.ok('exec', 'bbox2', 'ip', 'r');
      assert.equal(routes, `${before} \n192.168.7.0/24 dev eth1 scope link  src 192.168.7.2`);
      assert.match(
        await docker.ok('exec', 'bbox2', 'ping', '-c', '3', '-i', '0.01', '192.168.7.10'),
        /3 packets received, 0% packet loss/,
      );
      assert.equal(
        await docker
          .ok('network', 'inspect', '--format', '{{range .Containers}}{{.Name}} {{.IPv4Address}};{{end}}', 'my_net2')
          .then((text) => text.split(';').toSorted().join(';')),
        ';bbox1 192.168.7.10/24;bbox2 192.168.7.2/24',
      );
      await docker.ok('network', 'disconnect', 'my_net2', 'bbox2');
      assert.equal(await docker.ok('exec', 'bbox2', 'ip', 'r'), before);
    });

    test('docker run --network container:bbox1: the same stack, its own everything else', async () => {
      const words = ['run', '--rm', '--network', 'container:bbox1', 'busybox'];
      assert.equal(
        await docker.ok(...words, 'readlink', '/proc/self/ns/net'),
        await docker.ok('exec', 'bbox1', 'readlink', '/proc/self/ns/net'),
      );
      assert.match(await docker.ok(...words, 'ip', '-o', '-4', 'a', 'show', 'eth0'), /inet 192\.168\.7\.10\/24 /);
      assert.doesNotMatch(await docker.ok(...words, 'ps'), /sleep 1000/);
      assert.match(await docker.fails('run', '--network', 'container:nobody', 'busybox'), /No such container: nobody/);
      assert.match(await docker.fails('network', 'rm', 'my_net2'), /has active endpoints/);
    });

    test('docker network inspect bridge', async () => {
      const [bridge] = JSON.parse(await docker.ok('network', 'inspect', 'bridge')) as readonly Readonly<
        Record<string, unknown>
      >[];
      const [box] = JSON.parse(await docker.ok('inspect', 'bbox2')) as readonly {
        readonly Id: string;
        readonly NetworkSettings: { readonly Networks: { readonly bridge: Readonly<Record<string, string>> } };
      }[];
      const end = box?.NetworkSettings.Networks.bridge;
      assert.equal(bridge?.['Name'], 'bridge');
      assert.deepEqual(bridge?.['Containers'], {
        [box?.Id ?? '']: {
          Name: 'bbox2',
          EndpointID: end?.['EndpointID'],
          MacAddress: end?.['MacAddress'],
          IPv4Address: `${end?.['IPAddress']}/16`,
          IPv6Address: '',
        },
      });
      assert.match(end?.['EndpointID'] ?? '', /^[0-9a-f]{64}$/);
      assert.match(
        await docker.ok('exec', 'bbox2', 'ip', 'link', 'show', 'eth0'),
        new RegExp(`link/ether ${end?.['MacAddress']} `),
      );
    });

    test('logs, exec with a terminal, restart, stop, rm; networks go when nothing is on them', async () => {
      await docker.ok(
        'run',
        '-d',
        '--name',
        'talker',
        '--network',
        'my_net1',
        'busybox',
        'sh',
        '-c',
        'echo out; echo err >&2; exec sleep 1000',
      );
      assert.ok(await until(async () => (await docker.ok('logs', 'talker')) === 'out'), 'one stream of the log');
      await using shell = terminal(typed('exec -it talker sh'));
      await shell.see(PROMPT);
      assert.match(await shell.type(`stty size; ${MARK}`, DONE), /33 101/);
      await shell.type('exit 3', /exit 3/);
      assert.equal(await shell.end(), 3);

      await docker.ok('restart', '-t', '0', 'talker');
      assert.ok(await until(async () => (await docker.ok('logs', 'talker')) === 'out\nout'), 'the log goes on');
      assert.equal(await docker.ok('stop', '-t', '0', 'talker'), 'talker');
      assert.equal(await docker.ok('inspect', '--format', '{{.State.Status}} {{.State.ExitCode}}', 'talker'), 'exited 137');
      assert.equal(await docker.ok('rm', 'talker'), 'talker');
      assert.equal((await docker.ok('rm', '-f', 'bbox1', 'bbox2')).split('\n').length, 2);
      assert.equal(await docker.ok('network', 'rm', 'my_net1', 'my_net2'), 'my_net1\nmy_net2');
      assert.equal(await docker.ok('ps', '-aq'), '');
    });
  });
}
