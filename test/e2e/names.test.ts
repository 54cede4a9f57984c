// test-timeout: 300 s
/** Containers find each other by name: with what asks in them, through everything that happens to them and to the daemon. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { type Docker, dockerOf, loadBusybox } from '../support/docker.ts';
import { until } from '../support/snapshot.ts';
import { claims } from '../support/truth.ts';

const UPSTREAM = resolve(import.meta.dirname, '../support/upstream.child.ts');

suite('names', () => {
  let daemon: TestDaemon;
  let docker: Docker;
  const cleanup = new AsyncDisposableStack();

  /** What a DNS server of ours was asked, in the order of the questions. */
  async function upstream(address: string, answer: string, pin?: string): Promise<readonly string[]> {
    const enter = pin === undefined ? [] : ['nsenter', `--net=${pin}`];
    const [command, ...args] = [...enter, process.execPath, UPSTREAM, address, answer];
    const child: ChildProcess = daemon.spawnInside(command, ...args);
    cleanup.defer(() => void child.kill('SIGKILL'));
    const asked: string[] = [];
    let text = '';
    child.stdout?.setEncoding('utf8').on('data', (part: string) => {
      const lines = (text + part).split('\n');
      text = lines.pop() ?? '';
      asked.push(...lines);
    });
    if (child.stdout !== null) await once(child.stdout, 'data');
    assert.equal(asked.shift(), 'ready');
    return asked;
  }

  const resolvConf = (text: string): void => writeFileSync(`${daemon.directory}/resolv.conf`, text);
  const pinOf = async (name: string): Promise<string> => {
    const { sandboxes } = await claims(daemon);
    const netns = sandboxes.find((sandbox) => sandbox.name === name)?.netns;
    assert.ok(netns !== undefined && netns.type !== 'host', name);
    return netns.path;
  };
  const ipOf = (name: string, network: string): Promise<string> =>
    docker.ok('inspect', '--format', `{{(index .NetworkSettings.Networks "${network}").IPAddress}}`, name);

  /** What busybox' nslookup in a container finds; none when it says that there is no such name. */
  async function lookup(container: string, name: string): Promise<readonly string[]> {
    const { stdout } = await daemon.docker('exec', container, 'nslookup', name);
    const [, ...answers] = stdout.split(/^Address:\s+127\.0\.0\.11:53$/m);
    return Array.from(answers.join('').matchAll(/^Address: (\S+)$/gm), ([, address = '']) => address);
  }
  const finds = async (container: string, name: string, address: string): Promise<void> =>
    assert.deepEqual(await lookup(container, name), [address], `${name} in ${container}`);
  const findsNot = async (container: string, name: string): Promise<void> =>
    assert.deepEqual(await lookup(container, name), [], `${name} in ${container}`);
  const soon = async (what: string, check: () => Promise<boolean>): Promise<void> =>
    assert.ok(await until(check, 20_000), `${what}\n${daemon.log()}`);

  before(async () => {
    daemon = cleanup.use(await startDaemon({ start: false }));
    resolvConf('nameserver 127.0.0.53\n');
    const { code, stderr } = await daemon.inside('mount', '--bind', `${daemon.directory}/resolv.conf`, '/etc/resolv.conf');
    assert.equal(code, 0, stderr);
    await daemon.start();
    await loadBusybox(daemon);
    docker = dockerOf(daemon);
    await docker.ok('network', 'create', 'front');
    await docker.ok('network', 'create', '--internal', 'inner');
    const words = 'run -d --name web --hostname www --network front --network-alias site busybox sleep 1000';
    await docker.ok(...words.split(' '));
    await docker.ok(...'run -d --name client --network front --link web:Friend busybox sleep 1000'.split(' '));
  });
  after(() => cleanup.disposeAsync());

  test('container name, short id, alias, host name, link, in any case, and with the name of the network', async () => {
    const web = await ipOf('web', 'front');
    const id = await docker.ok('inspect', '--format', '{{.Id}}', 'web');
    for (const name of ['web', 'WEB', id.slice(0, 12), 'site', 'www', 'friend', 'web.front', 'Site.FRONT']) {
      await finds('client', name, web);
    }
    await finds('web', 'client', await ipOf('client', 'front'));
    await finds('web', 'web', web);
    await findsNot('web', 'friend');
    assert.match(await docker.ok('exec', 'client', 'ping', '-c', '1', 'web'), new RegExp(`^PING web \\(${web}\\)`));
    assert.match(await docker.ok('exec', 'client', 'nslookup', web), /^\d+\.\d+\.\d+\.\d+\.in-addr\.arpa\tname = web\.front$/m);
    assert.equal(
      await docker.ok('inspect', '--format', '{{json (index .NetworkSettings.Networks "front").DNSNames}}', 'web'),
      JSON.stringify(['web', 'site', id.slice(0, 12), 'www']),
    );
    assert.equal(
      await docker.ok('inspect', '--format', '{{(index .NetworkSettings.Networks "front").Links}}', 'client'),
      '[web:Friend]',
    );
  });

  test('getent and python, in a sandbox that is no container', async () => {
    const web = await ipOf('web', 'front');
    const run = async (...command: readonly string[]): Promise<string> => {
      const { code, stdout, stderr } = await daemon.moor('run', '--network', 'front', ...command);
      assert.equal(code, 0, stderr);
      return stdout;
    };
    assert.match(await run('getent', 'hosts', 'site'), new RegExp(`^${web.replaceAll('.', '\\.')}\\s+site$`, 'm'));
    assert.match(await run('getent', 'hosts', web), /web\.front$/m);
    assert.match(await run('getent', 'ahosts', 'Web'), new RegExp(`^${web.replaceAll('.', '\\.')}\\s+STREAM`, 'm'));
    const script = 'import socket; print(socket.getaddrinfo("www", 80, type=socket.SOCK_STREAM), socket.gethostbyaddr("site"))';
    const text = await run('python3', '-c', script);
    assert.ok(text.includes(`('${web}', 80)`) && text.includes(`'web.front'`), text);
  });

  test('not on the default network, where nobody answers', async () => {
    await docker.ok('run', '-d', '--name', 'plain', 'busybox', 'sleep', '1000');
    assert.doesNotMatch(await docker.ok('exec', 'plain', 'cat', '/etc/resolv.conf'), /127\.0\.0\.11/);
    const asked = await daemon.docker('exec', 'plain', 'nslookup', 'web', '127.0.0.11');
    assert.match(`${asked.stdout}${asked.stderr}`, /Connection refused|no servers could be reached/);
    await findsNot('client', 'plain');
    await docker.ok('network', 'connect', '--alias', 'late', 'front', 'plain');
    assert.match(await docker.ok('exec', 'plain', 'cat', '/etc/resolv.conf'), /^nameserver 127\.0\.0\.11$/m);
    const address = await ipOf('plain', 'front');
    await finds('client', 'late', address);
    await finds('plain', 'web', await ipOf('web', 'front'));
    await docker.ok('network', 'disconnect', 'front', 'plain');
    await findsNot('client', 'late');
    assert.doesNotMatch(await docker.ok('exec', 'plain', 'cat', '/etc/resolv.conf'), /127\.0\.0\.11/);
    await docker.ok('rm', '-f', 'plain');
  });

  test('a container that shares the stack of another asks as that one', async () => {
    await docker.ok('run', '-d', '--name', 'guest', '--network', 'container:client', 'busybox', 'sleep', '1000');
    await finds('guest', 'friend', await ipOf('web', 'front'));
    await findsNot('client', 'guest');
    await docker.ok('rm', '-f', 'guest');
  });

  test('addresses of both families, of all that have an alias', async () => {
    await docker.ok('network', 'create', '--ipv6', '--subnet', '10.95.0.0/24', '--subnet', 'fd95::/64', 'six');
    for (const name of ['one', 'two']) {
      await docker.ok(...`run -d --name ${name} --network six --network-alias both busybox sleep 1000`.split(' '));
    }
    assert.deepEqual((await lookup('one', 'both')).toSorted(), ['10.95.0.2', '10.95.0.3', 'fd95::2', 'fd95::3']);
    assert.match(await docker.ok('exec', 'one', 'nslookup', 'fd95::3'), /ip6\.arpa\tname = two\.six$/m);
    await docker.ok('rm', '-f', 'one', 'two');
    await docker.ok('network', 'rm', 'six');
  });

  test('a link on the default network is a line of the hosts file', async () => {
    await docker.ok('run', '-d', '--name', 'db', '--hostname', 'dbhost', 'busybox', 'sleep', '1000');
    await docker.ok('run', '-d', '--name', 'linked', '--link', 'db:mysql', 'busybox', 'sleep', '1000');
    const address = await docker.ok('inspect', '--format', '{{.NetworkSettings.IPAddress}}', 'db');
    assert.match(await docker.ok('exec', 'linked', 'cat', '/etc/hosts'), new RegExp(`^${address}\\tmysql dbhost db$`, 'm'));
    assert.match(await docker.ok('exec', 'linked', 'ping', '-c', '1', 'mysql'), new RegExp(`\\(${address}\\)`));
    assert.match(
      await docker.fails('run', '--link', 'nobody', 'busybox', 'true'),
      /could not get container for nobody: No such container: nobody/,
    );
    await docker.ok('rm', '-f', 'db', 'linked');
  });

  test('another name at once after a rename, and none of one that is gone', async () => {
    const web = await ipOf('web', 'front');
    await docker.ok('rename', 'web', 'shop');
    await finds('client', 'shop', web);
    await findsNot('client', 'web');
    await findsNot('client', 'friend');
    await docker.ok('rename', 'shop', 'web');
    await finds('client', 'friend', web);
    await docker.ok('run', '-d', '--name', 'gone', '--network', 'front', 'busybox', 'sleep', '1000');
    await finds('client', 'gone', await ipOf('gone', 'front'));
    await docker.ok('rm', '-f', 'gone');
    await findsNot('client', 'gone');
  });

  test("other names come from the host's resolver, which only the host can reach; none on an internal network", async () => {
    const asked = await upstream('127.0.0.53', '198.51.100.1');
    await finds('client', 'one.example', '198.51.100.1');
    assert.ok(asked.includes('one.example'));
    assert.ok(!asked.some((name) => /^(web|friend|site|www)(\.front)?$/.test(name)), asked.join(' '));

    await docker.ok('run', '-d', '--name', 'hidden', '--network', 'inner', 'busybox', 'sleep', '1000');
    await docker.ok('run', '-d', '--name', 'hidden2', '--network', 'inner', 'busybox', 'sleep', '1000');
    await finds('hidden', 'hidden2', await ipOf('hidden2', 'inner'));
    await findsNot('hidden', 'two.example');
    assert.ok(!asked.includes('two.example'));
    await docker.ok('network', 'connect', 'front', 'hidden');
    await finds('hidden', 'two.example', '198.51.100.1');
    await docker.ok('rm', '-f', 'hidden', 'hidden2');
  });

  test("the host's resolv.conf is followed while containers run", async () => {
    await docker.ok('run', '-d', '--name', 'plain', 'busybox', 'sleep', '1000');
    await docker.ok('run', '-d', '--name', 'edited', 'busybox', 'sleep', '1000');
    await docker.ok('exec', 'edited', 'sh', '-c', 'echo nameserver 192.0.2.7 >/etc/resolv.conf');
    await upstream('127.0.0.54', '198.51.100.2');
    resolvConf('nameserver 127.0.0.54\nnameserver 192.0.2.54\nsearch corp.example\n');
    await soon('the new resolver is asked', async () => (await lookup('client', 'three.example'))[0] === '198.51.100.2');
    const file = (name: string): Promise<string> => docker.ok('exec', name, 'cat', '/etc/resolv.conf');
    await soon('the file on the default network follows', async () => (await file('plain')).includes('192.0.2.54'));
    assert.match(await file('plain'), /^nameserver 192\.0\.2\.54\nsearch corp\.example\n/);
    assert.match(await file('client'), /^nameserver 127\.0\.0\.11\nsearch corp\.example\n/);
    assert.equal(await file('edited'), 'nameserver 192.0.2.7');
    await docker.ok('rm', '-f', 'plain', 'edited');
    resolvConf('nameserver 127.0.0.53\n');
    await soon('the old one is asked again', async () => (await lookup('client', 'four.example'))[0] === '198.51.100.1');
  });

  test('--dns is asked from inside; --dns-search and --dns-opt are written', async () => {
    await docker.ok(...'run -d --name server --network front busybox sleep 1000'.split(' '));
    const asked = await upstream('0.0.0.0', '198.51.100.3', await pinOf('server'));
    const address = await ipOf('server', 'front');
    const words = `run -d --name picky --network front --dns ${address} --dns-search lan.example --dns-opt ndots:1 busybox sleep 1000`;
    await docker.ok(...words.split(' '));
    assert.match(
      await docker.ok('exec', 'picky', 'cat', '/etc/resolv.conf'),
      new RegExp(
        `^nameserver 127.0.0.11\nsearch lan.example\noptions ndots:1\n\n.*\n# ExtServers: \\[${address}\\]\n# Overrides: \\[nameservers search options\\]\n`,
      ),
    );
    await finds('picky', 'five.example', '198.51.100.3');
    assert.ok(asked.includes('five.example'));

    // A DNS server of the container's own has port 53, and our resolver answers beside it.
    assert.deepEqual(
      (await docker.ok('exec', 'server', 'nslookup', 'six.example', address)).match(/^Address: (\S+)$/m)?.[1],
      '198.51.100.3',
    );
    await finds('server', 'web', await ipOf('web', 'front'));
    await finds('client', 'server', address);
    await docker.ok('rm', '-f', 'server', 'picky');
  });

  test('a container that starts again by its policy is found where it is then', async () => {
    await docker.ok(...'run -d --name phoenix --network front --restart always busybox sleep 1000'.split(' '));
    // Takes the address that is free while it is down.
    const first = await docker.ok('inspect', '--format', '{{.State.StartedAt}}', 'phoenix');
    const pid = await docker.ok('inspect', '--format', '{{.State.Pid}}', 'phoenix');
    await daemon.inside('kill', '-9', pid);
    await soon('it runs again', async () => {
      const text = await docker.ok('inspect', '--format', '{{.State.Status}} {{.State.StartedAt}}', 'phoenix');
      return text.startsWith('running ') && !text.endsWith(first);
    });
    await finds('client', 'phoenix', await ipOf('phoenix', 'front'));
    await finds('phoenix', 'web', await ipOf('web', 'front'));
    await docker.ok('rm', '-f', 'phoenix');
  });

  test('rules that somebody flushes in a sandbox come back', async () => {
    const pin = await pinOf('client');
    const table = async (): Promise<boolean> =>
      (await daemon.inside('nsenter', `--net=${pin}`, 'nft', 'list', 'table', 'ip', 'moor_dns')).code === 0;
    assert.ok(await table());
    await daemon.inside('nsenter', `--net=${pin}`, 'nft', 'flush', 'ruleset');
    await soon('the table is back', table);
    await finds('client', 'web', await ipOf('web', 'front'));
    assert.match(daemon.log(), /restored table ip moor_dns in sandbox client: it was deleted/);
  });

  test('a daemon that is killed, or stopped, and started again answers as before', async () => {
    const web = await ipOf('web', 'front');
    for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
      await daemon.stop(signal);
      await daemon.start();
      await finds('client', 'friend', web);
      await finds('web', 'client', await ipOf('client', 'front'));
      await finds('client', 'seven.example', '198.51.100.1');
    }
  });

  test('moor status counts; network inspect says what it did', async () => {
    const { stdout } = await daemon.moor('status');
    const line = /^names of 2 endpoints for 2 sandboxes: (\d+) queries, (\d+) passed on, 0 dropped$/m.exec(stdout);
    assert.ok(line, stdout);
    assert.ok(Number(line[1]) >= 4 && Number(line[2]) >= 1, line[0]);
    const format = '{{range .Containers}}{{.Name}} {{end}}';
    assert.deepEqual((await docker.ok('network', 'inspect', '--format', format, 'front')).split(' ').toSorted(), [
      'client',
      'web',
    ]);
  });

  test('the daemon can be told which resolvers, domains and options are for all', async () => {
    await daemon.stop();
    await daemon.start('--dns', '192.0.2.53', '--dns-search', 'corp.example', '--dns-opt', 'timeout:1');
    assert.match(
      await docker.ok('run', '--rm', 'busybox', 'cat', '/etc/resolv.conf'),
      /^nameserver 192\.0\.2\.53\nsearch corp\.example\noptions timeout:1\n/,
    );
    assert.match(
      await docker.ok('run', '--rm', '--network', 'front', 'busybox', 'cat', '/etc/resolv.conf'),
      /^nameserver 127\.0\.0\.11\nsearch corp\.example\noptions timeout:1 ndots:0\n\n.*\n# ExtServers: \[192\.0\.2\.53\]\n/,
    );
    assert.match(
      await docker.ok('run', '--rm', '--network', 'host', '--dns', '192.0.2.54', 'busybox', 'cat', '/etc/resolv.conf'),
      /^nameserver 192\.0\.2\.54\nsearch corp\.example\noptions timeout:1\n/,
    );
  });

  test('nothing of it stays', async () => {
    await docker.ok('rm', '-f', 'web', 'client');
    await docker.ok('network', 'rm', 'front', 'inner');
    const { stdout } = await daemon.moor('status', '--json');
    const { names } = JSON.parse(stdout) as { readonly names: { readonly clients: number; readonly records: number } };
    assert.deepEqual([names.clients, names.records], [0, 0]);
    assert.deepEqual(
      (await daemon.inside('ls', `${daemon.directory}/exec`)).stdout.split('\n').filter((name) => name === 'netns'),
      [],
    );
  });
});
