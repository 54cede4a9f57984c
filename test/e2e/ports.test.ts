// test-timeout: 180 s
/** Published ports as the Docker CLI's users type them, with each CLI of this machine, and `moor port` beside it. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import { run, type TestDaemon } from '../support/daemon.ts';
import { CLIS, daemonWithBusybox, type Docker, dockerOf, NO_PYTHON, PEERS, PYTHON } from '../support/docker.ts';
import { until } from '../support/snapshot.ts';

/** What a web server in a container runs: it says its name. */
const serve = (port: number): readonly string[] => [
  'sh',
  '-c',
  `mkdir /www; hostname >/www/index.html; exec httpd -f -p ${port} -h /www`,
];

/** Asks over HTTP from the daemon's own network. @returns the body, or why there is none */
async function get(daemon: TestDaemon, url: string): Promise<string> {
  const script = `fetch(${JSON.stringify(url)},{signal:AbortSignal.timeout(3000)}).then(async r=>console.log(await r.text()),e=>console.log(e.cause?.code??e.name))`;
  return (await daemon.inside(process.execPath, '-e', script)).stdout.trim();
}

/** A server starts a moment after its container. */
async function reaches(daemon: TestDaemon, url: string, expected: string): Promise<void> {
  let last = '';
  const found = await until(async () => (last = await get(daemon, url)) === expected, 10_000);
  assert.ok(found, `${url}: ${last}, not ${expected}`);
}

/** A program of the host that listens. */
async function listener(daemon: TestDaemon, port: number): Promise<ChildProcess> {
  const script = `require('net').createServer().listen(${port},'0.0.0.0',()=>console.log('up'));process.stdin.resume().on('end',()=>process.exit())`;
  const child = daemon.spawnInside(process.execPath, '-e', script);
  await once(child.stdout ?? child, 'data');
  return child;
}

/** Maps of our table that have an element about a port: `name: key`. */
async function elements(daemon: TestDaemon, port: number): Promise<string[]> {
  const { stdout } = await daemon.inside('nft', 'list', 'table', 'inet', 'moor');
  return stdout.split('\n').filter((line) => new RegExp(`\\b${port}\\b`).test(line));
}

for (const cli of CLIS) {
  suite(cli, () => {
    let daemon: TestDaemon;
    let docker: Docker;
    before(async () => {
      daemon = await daemonWithBusybox();
      docker = dockerOf(daemon, cli);
    });
    after(() => daemon[Symbol.asyncDispose]());
    const lines = async (...args: readonly string[]): Promise<string[]> => (await docker.ok(...args)).split('\n').toSorted();

    test('docker run -p, docker port, docker ps; from the host by every address of its own', async () => {
      const ports = ['-p', '8080:80', '-p', '127.0.0.1:8081:80', '-p', '53:53/udp', '-p', '7000-7002:7000-7002'];
      await docker.ok('run', '-d', '--name', 'web', '--hostname', 'web', ...ports, 'busybox', ...serve(80));
      assert.deepEqual(
        await lines('port', 'web'),
        [
          '53/udp -> 0.0.0.0:53',
          '80/tcp -> 0.0.0.0:8080',
          '80/tcp -> 127.0.0.1:8081',
          '7000/tcp -> 0.0.0.0:7000',
          '7001/tcp -> 0.0.0.0:7001',
          '7002/tcp -> 0.0.0.0:7002',
        ].toSorted(),
      );
      assert.deepEqual(await lines('port', 'web', '80'), ['0.0.0.0:8080', '127.0.0.1:8081']);
      const row = await docker.ok('ps', '--format', '{{.Ports}}');
      for (const part of [
        '0.0.0.0:8080->80/tcp',
        '127.0.0.1:8081->80/tcp',
        '0.0.0.0:53->53/udp',
        '0.0.0.0:7000-7002->7000-7002/tcp',
      ]) {
        assert.ok(row.includes(part), row);
      }
      for (const url of ['http://127.0.0.1:8080/', 'http://172.17.0.1:8080/', 'http://127.0.0.1:8081/'])
        await reaches(daemon, url, 'web');
      assert.equal(await get(daemon, 'http://172.17.0.1:8081/'), 'ECONNREFUSED', 'for localhost alone');
      assert.equal(await docker.ok('ps', '-q', '--filter', 'publish=80').then((id) => id.length), 12);
    });

    test('from another container, and from the very one that publishes', async () => {
      const [gateway = ''] = await lines('network', 'inspect', '-f', '{{(index .IPAM.Config 0).Gateway}}', 'bridge');
      const ask = ['wget', '-q', '-O', '-', `http://${gateway}:8080/`];
      await docker.ok('network', 'create', 'other');
      assert.equal(await docker.ok('run', '--rm', 'busybox', ...ask), 'web');
      assert.equal(await docker.ok('run', '--rm', '--network', 'other', 'busybox', ...ask), 'web');
      assert.equal(await docker.ok('exec', 'web', ...ask), 'web');
    });

    test('-P, and free ports, which a restart changes while fixed ones stay', async () => {
      await docker.ok(
        'run',
        '-d',
        '--name',
        'any',
        '-P',
        '--expose',
        '80',
        '--expose',
        '99/udp',
        '-p',
        '9090:90',
        '-p',
        '91',
        'busybox',
        ...serve(80),
      );
      const view = async (): Promise<Readonly<Record<string, string>>> =>
        Object.fromEntries((await lines('port', 'any')).map((line) => line.split(' -> ') as [string, string]));
      const first = await view();
      assert.deepEqual(Object.keys(first).toSorted(), ['80/tcp', '90/tcp', '91/tcp', '99/udp']);
      assert.equal(first['90/tcp'], '0.0.0.0:9090');
      await reaches(
        daemon,
        `http://127.0.0.1:${first['80/tcp']?.split(':')[1]}/`,
        (await docker.ok('ps', '-q', '-f', 'name=any')).slice(0, 12),
      );
      await docker.ok('restart', '-t', '0', 'any');
      const second = await view();
      assert.equal(second['90/tcp'], '0.0.0.0:9090');
      assert.notEqual(second['91/tcp'], first['91/tcp']);
      await docker.ok('rm', '-f', 'any');
    });

    test('a port that is taken: by a program, which is named, by a container, or on an address that is not here', async () => {
      const program = await listener(daemon, 8800);
      try {
        const taken = await docker.fails('run', '--rm', '-p', '8800:80', 'busybox', 'true');
        assert.match(
          taken,
          /^12[56] docker: Error response from daemon: failed to set up container networking: driver failed programming external connectivity on endpoint \w+ \([0-9a-f]{64}\): failed to bind host port for 0\.0\.0\.0:8800:172\.17\.0\.\d+:80\/tcp: address already in use by \S+ \(pid \d+\)/,
        );
        const [, pid] = /\(pid (\d+)\)/.exec(taken) ?? [];
        assert.match((await daemon.inside('cat', `/proc/${pid}/cmdline`)).stdout, /8800/);
      } finally {
        program.stdin?.end();
        await once(program, 'exit');
      }
      await docker.ok('run', '--rm', '-p', '8800:80', 'busybox', 'true');
      assert.match(
        await docker.fails('run', '--rm', '-p', '8080:80', 'busybox', 'true'),
        /: Bind for 0\.0\.0\.0:8080 failed: port is already allocated by container web/,
      );
      assert.match(
        await docker.fails('run', '--rm', '-p', '192.0.2.9:80:80', 'busybox', 'true'),
        /: cannot assign requested address/,
      );
      assert.match(await docker.fails('run', '-p', '80-81:80', '-p', 'x:1', 'busybox'), /invalid (hostPort|port)/i);
      // And a program cannot take what is published.
      const script = `require('net').createServer().on('error',e=>console.log(e.code)).listen(8080,'127.0.0.1',()=>{console.log('listens');process.exit()})`;
      assert.equal((await daemon.inside(process.execPath, '-e', script)).stdout.trim(), 'EADDRINUSE');
    });

    test('a range of 1,000 ports is one element, and every port of it leads there', async () => {
      await docker.ok(
        'run',
        '-d',
        '--name',
        'wide',
        '--hostname',
        'wide',
        '-p',
        '20000-20999:20000-20999',
        'busybox',
        ...serve(20_500),
      );
      assert.equal((await docker.ok('port', 'wide')).split('\n').length, 1000);
      assert.equal((await elements(daemon, 20_000)).length, 1);
      assert.deepEqual(await elements(daemon, 20_500), []);
      await reaches(daemon, 'http://127.0.0.1:20500/', 'wide');
      assert.match(
        await docker.ok('ps', '--format', '{{.Ports}}', '-f', 'name=wide'),
        /0\.0\.0\.0:20000-20999->20000-20999\/tcp/,
      );
      await docker.ok('rm', '-f', 'wide');
      assert.deepEqual(await elements(daemon, 20_000), []);
    });

    test('moor port add and rm on a running container; it keeps what was added', async () => {
      const moor = async (...args: readonly string[]): Promise<string> => {
        const { code, stdout, stderr } = await daemon.moor(...args);
        assert.equal(code, 0, stderr);
        return stdout;
      };
      const started = await docker.ok('inspect', '-f', '{{.State.Pid}} {{.State.StartedAt}}', 'web');
      assert.match(
        await moor('port', 'add', '--dry-run', 'web', '8888:80'),
        /^# publish ports of web\nnft add element inet moor [^\n]*8888[^\n]*\n$/,
      );
      assert.equal(await get(daemon, 'http://127.0.0.1:8888/'), 'ECONNREFUSED');
      assert.equal(await moor('port', 'add', 'web', '8888:80'), '0.0.0.0:8888->80/tcp\n');
      assert.equal(await get(daemon, 'http://127.0.0.1:8888/'), 'web');
      assert.match(await moor('port', 'ls', 'web'), /^web +0\.0\.0\.0:8888 +80\/tcp$/m);
      assert.ok((await lines('port', 'web', '80')).includes('0.0.0.0:8888'));
      const unclear = await daemon.moor('port', 'rm', 'web', '8888');
      assert.equal(
        unclear.stderr,
        "moor: No public port '8888/tcp' published for web: port 8888 of the host leads to 80, so it is 8888:80/tcp\n",
      );
      await moor('port', 'rm', 'web', '8081:80', '7001');
      assert.equal(await get(daemon, 'http://127.0.0.1:8081/'), 'ECONNREFUSED');
      assert.equal(await docker.ok('inspect', '-f', '{{.State.Pid}} {{.State.StartedAt}}', 'web'), started);
      await docker.ok('restart', '-t', '0', 'web');
      await reaches(daemon, 'http://127.0.0.1:8888/', 'web');
      assert.deepEqual(await lines('port', 'web'), [
        '53/udp -> 0.0.0.0:53',
        '7000/tcp -> 0.0.0.0:7000',
        '7002/tcp -> 0.0.0.0:7002',
        '80/tcp -> 0.0.0.0:8080',
        '80/tcp -> 0.0.0.0:8888',
      ]);
      const { code, stderr } = await daemon.moor('port', 'rm', 'web', '4711');
      assert.deepEqual([code, stderr], [3, "moor: No public port '4711/tcp' published for web\n"]);
    });

    test('SCTP, which this kernel may lack for its own programs', async () => {
      await docker.ok('run', '-d', '--name', 'assoc', '-p', '36412:36412/sctp', 'busybox', 'sleep', '1000');
      assert.deepEqual(await lines('port', 'assoc'), ['36412/sctp -> 0.0.0.0:36412']);
      assert.match((await elements(daemon, 36_412)).join(), /sctp \. 36412 : 172\.17\.0\.\d+ \. 36412/);
      assert.match(
        await docker.fails('run', '--rm', '-p', '36412:1/sctp', 'busybox', 'true'),
        /Bind for 0\.0\.0\.0:36412 failed: port is already allocated by container assoc/,
      );
      await docker.ok('rm', '-f', 'assoc');
    });

    test('ports follow the way out when networks are disconnected and connected', async () => {
      await docker.ok('network', 'connect', 'other', 'web');
      await docker.ok('network', 'disconnect', 'bridge', 'web');
      await reaches(daemon, 'http://127.0.0.1:8080/', 'web');
      await docker.ok('network', 'disconnect', 'other', 'web');
      assert.equal(await get(daemon, 'http://127.0.0.1:8080/'), 'ECONNREFUSED');
      await docker.ok('network', 'connect', 'bridge', 'web');
      await reaches(daemon, 'http://127.0.0.1:8080/', 'web');
      await docker.ok('rm', '-f', 'web');
    });

    test('on the networks host and none: discarded, with Docker’s warning for the first', async () => {
      const { stderr } = await daemon.docker('create', '--network', 'host', '-p', '80:80', 'busybox');
      if (cli === CLIS[0]) assert.match(stderr, /WARNING: Published ports are discarded when using host network mode/);
      await docker.ok('run', '--rm', '--network', 'none', '-p', '80:80', 'busybox', 'true');
    });

    test('a network and a daemon with a default address of their own', async () => {
      await docker.ok('network', 'create', '-o', 'com.docker.network.bridge.host_binding_ipv4=127.0.0.1', 'inward');
      await docker.ok('run', '-d', '--name', 'in', '--network', 'inward', '-p', '8090:80', 'busybox', ...serve(80));
      assert.deepEqual(await lines('port', 'in'), ['80/tcp -> 127.0.0.1:8090']);
      await docker.ok('rm', '-f', 'in');
    });

    test('a network with IPv6: both families, one number', async () => {
      await docker.ok('network', 'create', '--ipv6', 'six');
      await docker.ok(
        'run',
        '-d',
        '--name',
        'six',
        '--hostname',
        'six',
        '--network',
        'six',
        '-p',
        '80',
        '-p',
        '[::1]:8066:80',
        'busybox',
        ...serve(80),
      );
      const port = /0\.0\.0\.0:(\d+)/.exec(await docker.ok('port', 'six'))?.[1];
      assert.ok(
        (await lines('port', 'six', '80')).includes(`[::]:${port}`) || (await lines('port', 'six', '80')).includes(`:::${port}`),
      );
      await reaches(daemon, `http://127.0.0.1:${port}/`, 'six');
      const gateway = (await docker.ok('network', 'inspect', '-f', '{{range .IPAM.Config}}{{.Gateway}} {{end}}', 'six'))
        .split(' ')
        .find((address) => address.includes(':'));
      await reaches(daemon, `http://[${gateway}]:${port}/`, 'six');
      // Also where br_netfilter works on bridged packets and no answer for ::1 would come back: this is not translated.
      for (const one of [port, 8066]) await reaches(daemon, `http://[::1]:${one}/`, 'six');
      await docker.ok('rm', '-f', 'six');
    });
  });
}

test('docker-compose with ports: up, port, down, and up with another one', { skip: NO_PYTHON }, async () => {
  await using daemon = await daemonWithBusybox();
  const folder = `${daemon.directory}/shop`;
  mkdirSync(folder);
  const file = (ports: string): void =>
    writeFileSync(
      `${folder}/docker-compose.yml`,
      `version: '2.4'\nservices:\n  web:\n    image: busybox\n    hostname: shop\n    command: sh -c 'mkdir /www; hostname >/www/index.html; exec httpd -f -p 80 -h /www'\n    ports: [${ports}]\n`,
    );
  const compose = async (...args: readonly string[]): Promise<string> => {
    const env = { ...process.env, ...PYTHON, DOCKER_HOST: daemon.host, COLUMNS: '200' };
    const words = [`${PEERS}/usr/bin/docker-compose`, '-f', `${folder}/docker-compose.yml`, ...args];
    const { code, stdout, stderr } = await run('/usr/bin/python3', words, { env, timeoutMs: 60_000 });
    assert.equal(code, 0, `${stdout}${stderr}`);
    return stdout.trim();
  };
  file("'8080:80', '127.0.0.1:7000-7003:7000-7003', '80'");
  await compose('up', '-d');
  await reaches(daemon, 'http://127.0.0.1:8080/', 'shop');
  assert.equal(await compose('port', 'web', '7001'), '127.0.0.1:7001');
  await compose('down', '-t', '0');
  file("'8081:80'");
  await compose('up', '-d');
  await reaches(daemon, 'http://127.0.0.1:8081/', 'shop');
  assert.equal(await get(daemon, 'http://127.0.0.1:8080/'), 'ECONNREFUSED');
  await compose('down', '-t', '0');
  assert.equal(await get(daemon, 'http://127.0.0.1:8081/'), 'ECONNREFUSED');
});
