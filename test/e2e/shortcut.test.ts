// test-timeout: 240 s
/** The shortcut of the loopback as the daemon keeps it: against the kernel's table of connections, which sees what is translated. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { until } from '../support/snapshot.ts';

/** Says its name, whom it sees and at which of its own ports, then repeats what it is told. */
const SERVER = (name: string, ports: readonly number[]): string =>
  `for (const port of [${ports.join()}]) require('net').createServer((s) => { s.on('error', () => {});
    s.write('${name} at ' + port + ' sees ' + s.remoteAddress.replace('::ffff:', '') + '\\n'); s.pipe(s); }).listen(port, '::');`;

/** Prints what it hears, and says what it reads. */
const TALK = (host: string, port: number): string => `
  const s = require('net').connect(${port}, '${host}'); s.on('data', (d) => process.stdout.write(d)).on('error', (e) => console.log(e.code));
  process.stdin.on('data', (d) => s.write(d)).on('end', () => process.exit());`;

async function serve(daemon: TestDaemon, name: string, ...more: readonly string[]): Promise<void> {
  const server = SERVER(name, [80, 7000, 7500, 8099]);
  const { code, stderr } = await daemon.moor('run', '-d', '--name', name, ...more, '--', process.execPath, '-e', server);
  assert.equal(code, 0, stderr);
}

type Place = readonly [host: string, port: number];

interface Answer {
  /** What the server said, or why it did not. */
  readonly text: string;
  /** getpeername(2) and getsockname(2) */
  readonly peer: string;
  readonly own: string;
}

/** One connection from the host. @param source an address that it is bound to */
async function ask(daemon: TestDaemon, [host, port]: Place, source?: string): Promise<Answer> {
  const options = JSON.stringify({ host, port, ...(source === undefined ? {} : { localAddress: source }) });
  const script = `const s = require('net').connect(${options}); const say = (text) => { console.log(JSON.stringify({ text,
    peer: s.remoteAddress + ' ' + s.remotePort, own: s.localAddress })); process.exit(); };
    s.once('data', (d) => say(String(d).trim())).once('error', (e) => say(e.code));`;
  return JSON.parse((await daemon.inside(process.execPath, '-e', script)).stdout) as Answer;
}

/** A server starts a moment after its container. */
async function reaches(daemon: TestDaemon, place: Place, expected: string): Promise<Answer> {
  let answer: Answer = { text: '', peer: '', own: '' };
  const found = await until(async () => (answer = await ask(daemon, place)).text === expected, 10_000);
  assert.ok(found, `${place.join(' ')}: ${answer.text}, not ${expected}`);
  return answer;
}

/** Connections that the kernel knows by a loopback address: those that are translated. The rest of the line does not matter. */
async function translated(daemon: TestDaemon): Promise<string[]> {
  const lists = await Promise.all(['ipv4', 'ipv6'].map((family) => daemon.inside('conntrack', '-L', '-f', family, '-p', 'tcp')));
  return lists
    .flatMap(({ stdout }) => stdout.split('\n'))
    .flatMap((line) => /dst=(127\.\S+|::1|0000:\S+) sport=\d+ dport=\d+/.exec(line)?.[0].replace(/sport=\d+ /, '') ?? []);
}

const forget = (daemon: TestDaemon) => daemon.inside('sh', '-c', 'conntrack -F; conntrack -F -f ipv6');

async function feature(daemon: TestDaemon): Promise<{ readonly state: string; readonly why: string }> {
  const { features } = (await daemon.request('GET', '/moor/status')).json() as {
    readonly features: readonly { readonly name: string; readonly state: string; readonly why: string }[];
  };
  return features.find(({ name }) => name === 'shortcut') ?? assert.fail('no such feature');
}

async function network(daemon: TestDaemon): Promise<void> {
  const words = ['network', 'create', '--ipv6', '--subnet', '192.168.7.0/24', '--subnet', 'fd00:7::/64', 'shop'];
  const { code, stderr } = await daemon.moor(...words);
  assert.equal(code, 0, stderr);
}

test('localhost of both families, ranges: a direct connection that looks as ever, and nothing is translated', async () => {
  await using daemon = await startDaemon();
  assert.equal((await feature(daemon)).state, 'yes');
  await network(daemon);
  await serve(daemon, 'web', '--network', 'shop', '-p', '8080:80', '-p', '127.0.0.1:8081:80', '-p', '7000-7999:7000-7999');
  const seen = await reaches(daemon, ['127.0.0.1', 8080], 'web at 80 sees 192.168.7.1');
  assert.deepEqual([seen.peer, seen.own], ['127.0.0.1 8080', '127.0.0.1']);
  const six = await reaches(daemon, ['::1', 8080], 'web at 80 sees fd00:7::1');
  assert.deepEqual([six.peer, six.own], ['::1 8080', '::1']);
  await reaches(daemon, ['127.0.0.1', 8081], 'web at 80 sees 192.168.7.1');
  await reaches(daemon, ['127.1.2.3', 7500], 'web at 7500 sees 192.168.7.1');
  await reaches(daemon, ['::1', 7000], 'web at 7000 sees fd00:7::1');
  assert.deepEqual(await translated(daemon), []);
  assert.equal((await ask(daemon, ['127.0.0.2', 8081])).text, 'ECONNREFUSED');
  // Not for it: a client with an address of its own, and the host's other addresses.
  const bound = await ask(daemon, ['127.0.0.1', 8080], '127.0.0.1');
  assert.deepEqual([bound.text, bound.peer, bound.own], ['web at 80 sees 192.168.7.1', '127.0.0.1 8080', '127.0.0.1']);
  assert.deepEqual(await translated(daemon), ['dst=127.0.0.1 dport=8080']);
});

test('the same by translation, where it is switched off: programs see no difference', async () => {
  await using daemon = await startDaemon({ args: ['--loopback-shortcut=false'] });
  const { state, why } = await feature(daemon);
  assert.equal(state, 'no');
  assert.match(why, /switched off/);
  assert.match(daemon.log(), /INFO .*ports at the loopback are translated: .*switched off/);
  await network(daemon);
  await serve(daemon, 'web', '--network', 'shop', '-p', '8080:80');
  const seen = await reaches(daemon, ['127.0.0.1', 8080], 'web at 80 sees 192.168.7.1');
  assert.deepEqual([seen.peer, seen.own], ['127.0.0.1 8080', '127.0.0.1']);
  assert.ok((await translated(daemon)).includes('dst=127.0.0.1 dport=8080'));
});

test('ports of running containers, their end, and the next one: each is led to who has it', async () => {
  await using daemon = await startDaemon();
  await serve(daemon, 'one', '-p', '8080:80', '-p', '7000-7999:7000-7999');
  await reaches(daemon, ['127.0.0.1', 7500], 'one at 7500 sees 172.17.0.1');
  assert.equal((await daemon.moor('port', 'add', 'one', '8082:80')).code, 0);
  assert.equal((await ask(daemon, ['127.0.0.1', 8082])).text, 'one at 80 sees 172.17.0.1');
  // A range that loses a part is another one.
  assert.equal((await daemon.moor('port', 'rm', 'one', '8082:80', '7400-7600')).code, 0);
  for (const port of [8082, 7500]) assert.equal((await ask(daemon, ['127.0.0.1', port])).text, 'ECONNREFUSED', String(port));
  assert.equal((await ask(daemon, ['127.0.0.1', 7000])).text, 'one at 7000 sees 172.17.0.1');
  assert.equal((await daemon.moor('rm', '-f', 'one')).code, 0);
  for (const port of [8080, 7000]) assert.equal((await ask(daemon, ['127.0.0.1', port])).text, 'ECONNREFUSED', String(port));
  await serve(daemon, 'two', '-p', '8080:80');
  await reaches(daemon, ['127.0.0.1', 8080], 'two at 80 sees 172.17.0.1');
  // Another way out: another address.
  await network(daemon);
  assert.equal((await daemon.moor('network', 'connect', 'shop', 'two')).code, 0);
  assert.equal((await daemon.moor('network', 'disconnect', 'bridge', 'two')).code, 0);
  assert.equal((await ask(daemon, ['127.0.0.1', 8080])).text, 'two at 80 sees 192.168.7.1');
  assert.equal((await ask(daemon, ['::1', 8080])).text, 'two at 80 sees fd00:7::1');
  assert.deepEqual(
    (await translated(daemon)).filter((line) => !line.includes('::')),
    [],
    'all of that went by the shortcut, but for what was refused',
  );
});

test('gateway mode routed: no port of the host, with the shortcut either', async () => {
  await using daemon = await startDaemon();
  const mode = 'com.docker.network.bridge.gateway_mode_ipv4=routed';
  assert.equal((await daemon.moor('network', 'create', '-o', mode, 'open')).code, 0);
  await serve(daemon, 'web', '--network', 'open', '-p', '80:80');
  assert.equal((await ask(daemon, ['127.0.0.1', 80])).text, 'ECONNREFUSED');
});

/** A connection that stays. */
async function talk(
  daemon: TestDaemon,
  port: number,
): Promise<{ readonly child: ChildProcess; readonly say: (text: string) => Promise<string> }> {
  const child = daemon.spawnInside(process.execPath, '-e', TALK('127.0.0.1', port));
  const out = child.stdout ?? assert.fail();
  await once(out, 'data');
  return {
    child,
    say: async (text) => {
      child.stdin?.write(text);
      return String((await once(out, 'data'))[0]);
    },
  };
}

test('kill -9: new connections are translated, those that are there go on; the next daemon takes it up again', async () => {
  await using daemon = await startDaemon();
  await serve(daemon, 'web', '-p', '8080:80', '-p', '127.0.0.1:7000-7009:7000-7009');
  await reaches(daemon, ['127.0.0.1', 8080], 'web at 80 sees 172.17.0.1');
  const { child, say } = await talk(daemon, 8080);
  assert.equal(await say('before'), 'before');
  assert.deepEqual(await translated(daemon), []);
  await daemon.stop('SIGKILL');
  assert.equal(await say('without a daemon'), 'without a daemon');
  assert.equal((await ask(daemon, ['127.0.0.1', 8080])).text, 'web at 80 sees 172.17.0.1');
  assert.deepEqual(await translated(daemon), ['dst=127.0.0.1 dport=8080']);
  await daemon.start();
  await forget(daemon);
  assert.equal(await say('with the next one'), 'with the next one');
  for (const [port, at] of [
    [8080, 80],
    [7000, 7000],
  ] as const) {
    assert.equal((await ask(daemon, ['127.0.0.1', port])).text, `web at ${at} sees 172.17.0.1`);
  }
  assert.deepEqual(await translated(daemon), []);
  await daemon.stop('SIGTERM');
  assert.equal((await ask(daemon, ['127.0.0.1', 8080])).text, 'web at 80 sees 172.17.0.1');
  assert.deepEqual(await translated(daemon), ['dst=127.0.0.1 dport=8080']);
  child.stdin?.end();
  await once(child, 'exit');
});

test('beside a firewall that judges what the host sends: as ever, by translation, which such firewalls let pass', async () => {
  await using daemon = await startDaemon();
  await serve(daemon, 'web', '-p', '8080:80');
  await reaches(daemon, ['127.0.0.1', 8080], 'web at 80 sees 172.17.0.1');
  const out = 'type filter hook output priority 0; policy drop; oif lo accept; ct state established,related accept;';
  assert.equal((await daemon.inside('nft', `table inet mine { chain out { ${out} }; }`)).code, 0);
  assert.ok(await until(async () => (await feature(daemon)).state === 'no', 10_000));
  assert.match((await feature(daemon)).why, /not while chain out of table inet mine may stop what this host sends/);
  assert.equal((await ask(daemon, ['127.0.0.1', 8080])).text, 'web at 80 sees 172.17.0.1');
  assert.deepEqual(await translated(daemon), ['dst=127.0.0.1 dport=8080']);
  assert.match((await daemon.moor('ports')).stdout, /this host +open +Moorline: ip: port of any address/);
  // A daemon that starts beside it.
  await daemon.stop();
  await daemon.start();
  assert.equal((await feature(daemon)).state, 'no');
  assert.equal((await ask(daemon, ['127.0.0.1', 8080])).text, 'web at 80 sees 172.17.0.1');
  await daemon.inside('nft', 'delete', 'table', 'inet', 'mine');
  assert.ok(await until(async () => (await feature(daemon)).state === 'yes', 10_000));
  await forget(daemon);
  assert.equal((await ask(daemon, ['127.0.0.1', 8080])).text, 'web at 80 sees 172.17.0.1');
  assert.deepEqual(await translated(daemon), []);
  assert.match((await daemon.moor('ports')).stdout, /this host by localhost +open +Moorline: straight to it/);
});

test('nft flush ruleset: who asks at the loopback in that moment is served', async () => {
  await using daemon = await startDaemon();
  await serve(daemon, 'web', '-p', '8080:80');
  await reaches(daemon, ['127.0.0.1', 8080], 'web at 80 sees 172.17.0.1');
  // Held, so that the daemon cannot make its table again.
  const pid = daemon.pid();
  process.kill(pid, 'SIGSTOP');
  try {
    await daemon.inside('nft', 'flush', 'ruleset');
    assert.equal((await daemon.inside('nft', 'list', 'map', 'inet', 'moor', 'port4')).code, 1);
    assert.equal((await ask(daemon, ['127.0.0.1', 8080])).text, 'web at 80 sees 172.17.0.1');
  } finally {
    process.kill(pid, 'SIGCONT');
    // nsenter(1) stops as its child does.
    process.kill(Number(/^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]), 'SIGCONT');
  }
});
