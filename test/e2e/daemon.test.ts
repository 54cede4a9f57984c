/** moord as a process: its flags, files, signals and sockets. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type RunResult, run, send, startDaemon } from '../support/daemon.ts';
import { withoutCarrier } from '../support/carrier.ts';

const MOORD = resolve(import.meta.dirname, '../../bin/moord');
const directory = mkdtempSync('/tmp/moord-args-');
after(() => rmSync(directory, { recursive: true, force: true }));

/** In a network namespace of its own, in case it starts after all. */
const moord = (...args: readonly string[]): Promise<RunResult> =>
  run('timeout', [
    '20',
    'unshare',
    '--net',
    '--mount',
    MOORD,
    '--data-root',
    `${directory}/data`,
    '--exec-root',
    `${directory}/exec`,
    ...args,
  ]);

test('version, help, validate', async () => {
  assert.match((await moord('--version')).stdout, /^moord version \d+\.\d+\.\d+\n$/);
  const help = await moord('--help');
  assert.match(help.stdout, /^Usage: moord \[OPTIONS\]/);
  assert.match(help.stdout, /--default-address-pool base=CIDR,size=BITS/);
  const good = await moord('--validate', '--bip', '10.0.0.1/24');
  assert.deepEqual([good.code, good.stdout], [0, 'configuration OK\n']);
  assert.deepEqual(readdirSync(directory), [], 'nothing was touched');
});

test('bad flags and files: one clear line, exit 1, nothing touched', async () => {
  const file = `${directory}/daemon.json`;
  writeFileSync(file, '{"mtu": 1400, "debug": true}');
  for (const [args, message] of [
    [['--nope'], 'unknown flag: --nope'],
    [['--mtu', 'many'], 'invalid argument "many" for "--mtu" flag: it is a whole number'],
    [['--bip', '10.0.0.0/33'], 'invalid bip: invalid CIDR address: 10.0.0.0/33'],
    [
      ['-H', 'tcp://0.0.0.0:2375'],
      'invalid host tcp://0.0.0.0:2375: without TLS only loopback addresses are allowed; --insecure-tcp allows it all the same',
    ],
    [
      ['--mtu', '1300', '--config-file', file],
      `unable to configure the daemon with file ${file}: the following directives are specified both as a flag and in the configuration file: mtu: (from flag: 1300, from file: 1400)`,
    ],
    [
      ['--config-file', file, '--validate', '-D'],
      `unable to configure the daemon with file ${file}: the following directives are specified both as a flag and in the configuration file: debug: (from flag: true, from file: true)`,
    ],
  ] as const) {
    const { code, stdout, stderr } = await moord(...args);
    assert.deepEqual([code, stdout, stderr], [1, '', `moord: ${message}\n`]);
  }
  assert.deepEqual(readdirSync(directory), ['daemon.json']);
});

test('a first start that cannot be leaves the host as it was', async () => {
  await using daemon = await startDaemon({ start: false });
  const host = async (): Promise<string> => {
    const all = 'ip -o address; ip route; nft list ruleset; sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding';
    return (await daemon.inside('sh', '-c', all)).stdout;
  };
  await daemon.inside('ip', 'link', 'add', 'moor0', 'type', 'bridge');
  const before = await host();
  assert.match(before, /ip_forward = 0/);
  await assert.rejects(daemon.start(), /FATAL .*the host has a device moor0 that is not this network's/);
  assert.equal(await host(), before);
  await daemon.inside('ip', 'link', 'del', 'moor0');
  await daemon.start();
  assert.match(await host(), /ip_forward = 1/);
});

test('stopping leaves the networks alone and takes socket and pidfile away; the next start finds everything', async () => {
  await using daemon = await startDaemon();
  assert.equal(statSync(daemon.socket).mode & 0o777, 0o660);
  assert.match(readFileSync(`${daemon.directory}/pid`, 'utf8'), /^\d+$/);
  const made = await daemon.request('POST', '/networks/create', { Name: 'stays', IPAM: { Config: [{ Subnet: '10.9.0.0/24' }] } });
  const { Id } = made.json() as { Id: string };
  const link = async (): Promise<string> => {
    const { code, stdout } = await daemon.inside('ip', '-j', 'link', 'show', `br-${Id.slice(0, 12)}`);
    assert.equal(code, 0);
    return withoutCarrier(stdout);
  };
  const before = await link();

  assert.equal(await daemon.stop('SIGTERM'), 0, daemon.log());
  assert.equal(existsSync(daemon.socket), false);
  assert.equal(existsSync(`${daemon.directory}/pid`), false);
  assert.equal(await link(), before, 'same link, same index');

  await daemon.start();
  assert.equal(await link(), before, 'restored without touching it');
  assert.equal((await daemon.request('GET', '/networks/stays')).status, 200);
  assert.equal(await daemon.stop('SIGINT'), 0, daemon.log());

  await daemon.start();
  assert.equal(await daemon.stop('SIGKILL'), 137);
  assert.equal(existsSync(daemon.socket), true, 'left behind by kill -9');
  await daemon.start();
  assert.equal((await daemon.request('GET', '/networks/stays')).status, 200);
});

test('a second daemon is refused while the first one lives', async () => {
  await using daemon = await startDaemon();
  const pid = readFileSync(`${daemon.directory}/pid`, 'utf8');
  const flags = ['--data-root', `${daemon.directory}/data2`, '--exec-root', `${daemon.directory}/exec2`];
  const same = await daemon.inside(MOORD, ...flags, '--pidfile', `${daemon.directory}/pid`, '-H', `${daemon.host}2`);
  assert.equal(same.code, 1);
  assert.match(same.stderr, new RegExp(`failed to start daemon: .*process with PID ${pid} is still running`));
  const linksNow = async (): Promise<string> => withoutCarrier((await daemon.inside('ip', '-j', 'link')).stdout);
  const links = await linksNow();
  const socket = await daemon.inside(MOORD, ...flags, '--pidfile', `${daemon.directory}/pid2`, '-H', daemon.host);
  assert.equal(socket.code, 1);
  assert.match(socket.stderr, /another process listens there already/);
  assert.doesNotMatch(socket.stderr, /swept|set up/, 'it was refused before it touched the kernel');
  const apart = [...flags, '--pidfile', `${daemon.directory}/pid2`, '-H', `${daemon.host}2`];
  const netns = await daemon.inside(MOORD, ...apart);
  assert.equal(netns.code, 1);
  assert.match(
    netns.stderr,
    new RegExp(
      `: process ${pid} is a moord without --instance in this network namespace already: give this one another --instance`,
    ),
  );
  assert.doesNotMatch(netns.stderr, /swept|set up/);
  assert.equal(await linksNow(), links);
  assert.equal((await daemon.inside('timeout', '3', MOORD, ...apart, '--instance', 'two')).code, 124, 'that one runs');
  assert.equal(existsSync(`${daemon.directory}/pid2`), false, 'its pidfile is taken away again');
  assert.equal((await daemon.request('GET', '/_ping')).status, 200, 'the first one is unharmed');
});

test('an answer under way is finished, a stream of events is ended, when it stops', async () => {
  await using daemon = await startDaemon();
  const stream = send({ socket: daemon.socket, method: 'GET', path: '/events' });
  await sleep(200);
  // Settled from the beginning: one that is still in the socket's queue when it closes is rejected.
  const creating = Promise.allSettled(
    Array.from({ length: 20 }, (_, i) => daemon.request('POST', '/networks/create', { Name: `many${i}` })),
  );
  await sleep(5);
  assert.equal(await daemon.stop(), 0, daemon.log());
  const { status } = await stream;
  assert.equal(status, 200);
  const statuses = (await creating).map((result) => (result.status === 'fulfilled' ? result.value.status : 0));
  // Not accepted any more, or done: no answer that says something failed half way.
  for (const one of statuses) assert.ok([0, 201, 503].includes(one), String(statuses));
  await daemon.start();
  const networks = (await daemon.request('GET', '/networks')).json() as readonly unknown[];
  assert.ok(networks.length - 3 >= statuses.filter((one) => one === 201).length, 'what was answered is kept');
});

test('SIGHUP reads the log level again, and a bad file changes nothing', async () => {
  await using daemon = await startDaemon({ start: false });
  const file = `${daemon.directory}/daemon.json`;
  writeFileSync(file, '{}');
  await daemon.start('--config-file', file);
  const hup = async (content: string, expected: RegExp): Promise<void> => {
    writeFileSync(file, content);
    process.kill(daemon.pid(), 'SIGHUP');
    for (let i = 0; i < 100 && !expected.test(daemon.log()); i++) await sleep(20);
    assert.match(daemon.log(), expected);
  };
  await hup('{"debug": true}', /configuration reloaded logLevel=debug/);
  await daemon.request('GET', '/_ping');
  await sleep(50);
  assert.match(daemon.log(), /DEBUG request method=GET url=\/_ping status=200/);
  await hup('{"nope": 1}', /configuration not reloaded/);
  assert.equal((await daemon.request('GET', '/info')).status, 200);
});

test('it tells systemd when it is ready and when it stops', async () => {
  await using daemon = await startDaemon({ start: false });
  const path = `${daemon.directory}/notify`;
  // Node has no datagram UNIX sockets; socat would be one more package. Python is in every Debian.
  const receiver = daemon.spawnInside(
    'python3',
    '-uc',
    `import socket; s=socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(${JSON.stringify(path)}); print('bound')\nwhile True: print(s.recv(4096).decode().replace(chr(10), ' '))`,
  );
  let heard = '';
  receiver.stdout?.setEncoding('utf8').on('data', (text: string) => (heard += text));
  while (!heard.includes('bound')) await sleep(10);
  await using withSocket = { [Symbol.asyncDispose]: async () => void receiver.kill('SIGKILL') };
  assert.ok(withSocket);
  const child = daemon.spawnInside(
    'env',
    `NOTIFY_SOCKET=${path}`,
    MOORD,
    '--data-root',
    `${daemon.directory}/data`,
    '--exec-root',
    `${daemon.directory}/exec`,
    '-H',
    daemon.host,
  );
  for (let i = 0; i < 500 && !heard.includes('READY=1'); i++) await sleep(20);
  assert.match(heard, /READY=1/);
  const ended = once(child, 'exit');
  await daemon.inside('pkill', '-TERM', '-f', 'moord.mjs');
  await ended;
  await sleep(50);
  assert.match(heard, /READY=1[^]*STOPPING=1/);
});

test('sockets handed over by a service manager', async () => {
  await using daemon = await startDaemon({ start: false });
  const starter = `import os, socket, sys
s = socket.socket(socket.AF_UNIX); s.bind(${JSON.stringify(daemon.socket)}); s.listen()
os.dup2(s.fileno(), 9); os.dup2(9, 3, inheritable=True); os.close(9)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1')
os.execv(sys.argv[1], sys.argv[1:])`;
  const child = daemon.spawnInside(
    'python3',
    '-c',
    starter,
    MOORD,
    '--data-root',
    `${daemon.directory}/data`,
    '--exec-root',
    `${daemon.directory}/exec`,
    '-H',
    'fd://',
  );
  let log = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (log += text));
  // The socket exists before the daemon does: the request waits for it.
  const socket = daemon.socket;
  const ping = (): Promise<string> =>
    send({ socket, method: 'GET', path: '/_ping' }).then(
      ({ text }) => text,
      () => '',
    );
  for (let i = 0; i < 200 && (await ping()) !== 'OK'; i++) await sleep(20); // until the starter listens
  assert.equal(await ping(), 'OK', log);
  const ended = once(child, 'exit');
  await daemon.inside('pkill', '-TERM', '-f', 'moord.mjs');
  await ended;
  assert.equal(existsSync(socket), true, 'it belongs to the service manager');
});

test('idle memory is within the budget', async () => {
  await using daemon = await startDaemon();
  const resident = (): number =>
    Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${daemon.pid()}/status`, 'utf8'))?.[1]) / 1024;
  // What V8's compilers needed is given back four seconds after the last thing that was done, which on a busy machine is some seconds after the start.
  for (let i = 0; i < 20 && resident() > 90; i++) await sleep(1000);
  await sleep(5000);
  assert.ok(resident() <= 90, `${resident().toFixed(0)} MiB resident`);
});
