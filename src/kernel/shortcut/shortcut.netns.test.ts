/** The shortcut with real connections: a server behind a pair of veth, and clients of this namespace, which has no rule that translates. */
import '../../../test/support/isolated.ts';
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readlinkSync, rmdirSync } from 'node:fs';
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { parseIp } from '../../base/ip.ts';
import type { Shortcut } from '../../contracts/shortcut.ts';
import { linkToCgroup, loadProgram } from '../../sys/bpf.ts';
import { openCgroupRoot } from '../../sys/cgroup.ts';
import { bpfH } from '../../sys/constants-bpf.ts';
import { fcntlH } from '../../sys/constants.ts';
import { openFile } from '../../sys/fd.ts';
import { descriptorPath } from '../../sys/inside.ts';
import { assemble, exit, move } from '../../wire/bpf/assemble.ts';
import { bpfProgramH } from '../../wire/bpf/constants.ts';
import { openShortcut } from './shortcut.ts';

const TARGET4 = parseIp('10.9.0.2');
const TARGET6 = parseIp('fd00:9::2');
const ANY4 = parseIp('0.0.0.0');
const ANY6 = parseIp('::');
const one = (port: number) => ({ from: port, to: port });
const sh = (script: string): string => execFileSync('sh', ['-ec', script], { encoding: 'utf8' });

/** Says to each client whom it sees, `10.9.0.1`, and at which port of its own; then repeats what it is told. */
const SERVER = `for (const port of JSON.parse(process.argv[1])) require('net').createServer((s) => {
  s.on('error', () => {}); s.write(s.remoteAddress.replace('::ffff:', '') + ' at ' + port + '\\n'); s.pipe(s);
}).listen(port, '::', () => console.log('up'));`;
const SERVED = [80, 81, 7000, 7001, 7500, 7999];

let server: ReturnType<typeof spawn>;
before(async () => {
  sh(`ip netns add inside
    ip link add host type veth peer name eth0 netns inside
    ip addr add 10.9.0.1/24 dev host; ip addr add fd00:9::1/64 dev host nodad; ip link set host up
    ip -n inside addr add 10.9.0.2/24 dev eth0; ip -n inside addr add fd00:9::2/64 dev eth0 nodad
    ip -n inside link set eth0 up; ip -n inside link set lo up
    ip netns add beside; ip -n beside link set lo up`);
  server = spawn('ip', ['netns', 'exec', 'inside', process.execPath, '-e', SERVER, JSON.stringify(SERVED)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let up = 0;
  for await (const text of server.stdout ?? []) if ((up += String(text).split('up').length - 1) === SERVED.length) break;
});
after(async () => {
  server.kill();
  await once(server, 'exit');
  sh('ip link del host; ip netns del inside; ip netns del beside');
});

/** A connection, and what both ends say of it. */
interface Seen {
  readonly socket: Socket;
  /** What the server says, or why there is no connection. */
  readonly greeting: string;
  /** getpeername(2), getsockname(2) */
  readonly peer: string;
  readonly own: string;
  /** What the kernel has, by `ss`: no program of ours looks at it. */
  readonly truth: string;
}

async function ask(host: string, port: number, more: Partial<NetConnectOpts> = {}): Promise<Seen & Disposable> {
  const socket = connect({ host, port, ...more });
  const greeting = await new Promise<string>((resolve) => {
    socket.once('data', (data) => resolve(String(data).trim()));
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(String(error.code)));
  });
  const local = socket.localPort ?? 0;
  const truth = execFileSync('ss', ['-Htn', `sport = :${local}`], { encoding: 'utf8' })
    .trim()
    .split(/\s+/)
    .slice(3, 5)
    .map((end) => end.replace(`:${local}`, ''))
    .join(' to ');
  const peer = `${socket.remoteAddress} ${socket.remotePort}`;
  return { socket, greeting, peer, own: String(socket.localAddress), truth, [Symbol.dispose]: () => void socket.destroy() };
}

const greeting = async (...args: Parameters<typeof ask>): Promise<string> => {
  using seen = await ask(...args);
  return seen.greeting;
};

/** 127.0.0.0/8 and ::1 at 8080, 127.0.0.2 alone at 8081, a range. */
function filled(): Shortcut {
  const shortcut = openShortcut();
  assert.equal(shortcut.feature.state, 'yes', shortcut.feature.why);
  shortcut.set({ address: ANY4, ports: one(8080) }, { address: TARGET4, port: 80 });
  shortcut.set({ address: ANY6, ports: one(8080) }, { address: TARGET6, port: 80 });
  shortcut.set({ address: parseIp('127.0.0.2'), ports: one(8081) }, { address: TARGET4, port: 81 });
  shortcut.set({ address: ANY4, ports: { from: 7000, to: 7998 } }, { address: TARGET4, port: null });
  return shortcut;
}

describe('a connection to a published port', () => {
  for (const [host, own, target, source] of [
    ['127.0.0.1', '127.0.0.1', '10.9.0.2:80', '10.9.0.1'],
    ['127.5.6.7', '127.0.0.1', '10.9.0.2:80', '10.9.0.1'],
    ['::1', '::1', '[fd00:9::2]:80', 'fd00:9::1'],
    ['::ffff:127.0.0.1', '::ffff:127.0.0.1', '[::ffff:10.9.0.2]:80', '10.9.0.1'],
  ] as const) {
    test(`at ${host} is a direct one, and the program does not notice`, async () => {
      using _shortcut = filled();
      using seen = await ask(host, 8080);
      assert.equal(seen.greeting, `${source} at 80`);
      assert.equal(seen.peer, `${host} 8080`);
      assert.equal(seen.own, own);
      const [from = '', to] = seen.truth.split(' to ');
      assert.equal(to, target);
      assert.equal(from.replace('::ffff:', '').replaceAll(/[[\]]/g, ''), source);
    });
  }

  test('at one address is not at another', async () => {
    using _shortcut = filled();
    assert.equal(await greeting('127.0.0.2', 8081), '10.9.0.1 at 81');
    assert.equal(await greeting('127.0.0.1', 8081), 'ECONNREFUSED');
    assert.equal(await greeting('::1', 8081), 'ECONNREFUSED');
    assert.equal(await greeting('10.9.0.1', 8080), 'ECONNREFUSED', 'no loopback address: a thing of translation');
  });

  test('of a range keeps its number; its neighbours are not in it', async () => {
    using _shortcut = filled();
    for (const port of [7000, 7001, 7500]) assert.equal(await greeting('127.0.0.1', port), `10.9.0.1 at ${port}`);
    using seen = await ask('127.0.0.1', 7500);
    assert.equal(seen.peer, '127.0.0.1 7500');
    assert.equal(await greeting('127.0.0.1', 7999), 'ECONNREFUSED');
    assert.equal(await greeting('::1', 7000), 'ECONNREFUSED', 'IPv4 alone');
    assert.equal(await greeting('127.0.0.1', 6999), 'ECONNREFUSED');
  });

  test('follows what is set anew and removed, while those that are there go on', async () => {
    using shortcut = filled();
    using first = await ask('127.0.0.1', 8080);
    shortcut.set({ address: ANY4, ports: one(8080) }, { address: TARGET4, port: 81 });
    assert.equal(await greeting('127.0.0.1', 8080), '10.9.0.1 at 81');
    shortcut.remove({ address: ANY4, ports: one(8080) });
    shortcut.remove({ address: ANY4, ports: { from: 7000, to: 7998 } });
    shortcut.remove({ address: ANY4, ports: one(9) });
    for (const port of [8080, 7000, 7500]) assert.equal(await greeting('127.0.0.1', port), 'ECONNREFUSED');
    first.socket.write('still here');
    assert.equal(String((await once(first.socket, 'data'))[0]), 'still here');
  });
});

test('while something is against it, connections come about without it', async () => {
  using shortcut = filled();
  using first = await ask('127.0.0.1', 8080);
  for (const objection of ['a firewall drops it', 'another one does']) shortcut.allow(objection);
  assert.equal(shortcut.feature.state, 'no');
  assert.match(shortcut.feature.why, /another one does/);
  for (const host of ['127.0.0.1', '::1']) assert.equal(await greeting(host, 8080), 'ECONNREFUSED');
  shortcut.set({ address: ANY4, ports: one(8090) }, { address: TARGET4, port: 81 });
  for (const objection of [null, null]) shortcut.allow(objection);
  assert.equal(shortcut.feature.state, 'yes');
  assert.equal(await greeting('127.0.0.1', 8080), '10.9.0.1 at 80');
  assert.equal(await greeting('127.0.0.1', 8090), '10.9.0.1 at 81');
  first.socket.write('still here');
  assert.equal(String((await once(first.socket, 'data'))[0]), 'still here');
});

describe('left alone', () => {
  test('who is bound to an address or to a device: it would not get out', async () => {
    using _shortcut = filled();
    assert.equal(await greeting('127.0.0.1', 8080, { localAddress: '127.0.0.1' }), 'ECONNREFUSED');
    assert.equal(await greeting('::1', 8080, { localAddress: '::1' }), 'ECONNREFUSED');
    assert.equal(spawnSync('curl', ['-s', '--interface', 'lo', 'http://127.0.0.1:8080/']).status, 7);
    assert.equal(await greeting('127.0.0.1', 8080, { localPort: 40_000 }), '10.9.0.1 at 80', 'a port alone does not matter');
  });

  test('UDP, and programs of other namespaces, with a shortcut of their own or none', async () => {
    using _shortcut = filled();
    const udp = `const s = require('dgram').createSocket('udp4'); s.on('error', (e) => { console.log(e.code); s.close(); });
      s.connect(8080, '127.0.0.1', () => { console.log(s.remoteAddress().address); s.send('x'); });`;
    assert.equal(execFileSync(process.execPath, ['-e', udp], { encoding: 'utf8' }), '127.0.0.1\nECONNREFUSED\n');
    const beside = ['netns', 'exec', 'beside', process.execPath, '--eval'];
    const client = `require('net').connect(8080, '127.0.0.1').on('error', (e) => console.log(e.code)).on('connect', () => process.exit(1))`;
    assert.equal(execFileSync('ip', [...beside, client], { encoding: 'utf8' }), 'ECONNREFUSED\n');
    const own = `const { openShortcut } = await import(${JSON.stringify(import.meta.resolve('./shortcut.ts'))});
      const shortcut = openShortcut(); console.log(shortcut.feature.state);
      shortcut.set({ address: '0.0.0.0', ports: { from: 8080, to: 8080 } }, { address: '127.0.0.9', port: 9000 });
      const server = require('net').createServer((s) => { console.log(s.localAddress, s.localPort); server.close(); s.destroy(); });
      server.listen(9000, '127.0.0.9', () => require('net').connect(8080, '127.0.0.1').on('error', () => {}));`;
    assert.equal(execFileSync('ip', [...beside, `(async () => {${own}})()`], { encoding: 'utf8' }), 'yes\n127.0.0.9 9000\n');
    assert.equal(await greeting('127.0.0.1', 8080), '10.9.0.1 at 80');
  });
});

describe('the end', () => {
  test('of the shortcut: new connections are as without it, those that are there go on, under their real names', async () => {
    const shortcut = filled();
    using first = await ask('127.0.0.1', 8080);
    shortcut[Symbol.dispose]();
    assert.equal(await greeting('127.0.0.1', 8080), 'ECONNREFUSED');
    first.socket.write('still here');
    assert.equal(String((await once(first.socket, 'data'))[0]), 'still here');
  });

  test('of the process, by SIGKILL', async () => {
    const script = `const { openShortcut } = await import(${JSON.stringify(import.meta.resolve('./shortcut.ts'))});
      openShortcut().set({ address: '0.0.0.0', ports: { from: 8080, to: 8080 } }, { address: '10.9.0.2', port: 80 });
      console.log('up'); setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['-e', `(async () => {${script}})()`], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    assert.equal(await greeting('127.0.0.1', 8080), '10.9.0.1 at 80');
    child.kill('SIGKILL');
    await once(child, 'exit');
    assert.equal(await greeting('127.0.0.1', 8080), 'ECONNREFUSED');
  });

  test('of a connection: its note goes with the socket, and a socket that is used again is what it is', async () => {
    using _shortcut = filled();
    // connect(2) to AF_UNSPEC takes a connection back; Python is one of those who can.
    const script = `
import socket, ctypes
s = socket.socket()
s.connect(('127.0.0.1', 8080)); s.recv(100); print(s.getpeername(), s.getsockname()[0])
libc = ctypes.CDLL(None); libc.connect(s.fileno(), b'\\0' * 16, 16)
s.connect(('10.9.0.2', 81)); s.recv(100); print(s.getpeername(), s.getsockname()[0])`;
    assert.equal(
      execFileSync('python3', ['-c', script], { encoding: 'utf8' }),
      "('127.0.0.1', 8080) 127.0.0.1\n('10.9.0.2', 81) 10.9.0.1\n",
    );
  });
});

describe('where it cannot be', () => {
  test('64 programs are there already: it says so, and nothing is left', (t) => {
    using root = openCgroupRoot();
    const path = `${readlinkSync(descriptorPath(root))}/moor-test-${process.pid}`;
    mkdirSync(path);
    t.after(() => rmdirSync(path));
    const attach = bpfProgramH.BPF_CGROUP_INET4_CONNECT;
    const type = bpfH.BPF_PROG_TYPE_CGROUP_SOCK_ADDR;
    using stack = new DisposableStack();
    const cgroup = stack.use(openFile(path, fcntlH.O_RDONLY | fcntlH.O_DIRECTORY));
    const program = stack.use(loadProgram({ name: 'idle', type, attach, code: assemble([move('r0', 1), exit()]) }));
    for (let i = 0; i < 64; i++) stack.use(linkToCgroup(program, cgroup, attach));
    const open = (): Shortcut => openShortcut(() => openFile(path, fcntlH.O_RDONLY | fcntlH.O_DIRECTORY));
    using full = open();
    assert.equal(full.feature.state, 'no');
    assert.match(full.feature.why, /E2BIG.*64/);
    full.set({ address: ANY4, ports: one(8080) }, { address: TARGET4, port: 80 });
    full.remove({ address: ANY4, ports: one(8080) });
    stack.dispose();
    using room = open();
    assert.equal(room.feature.state, 'yes');
  });

  const told = (...prefix: readonly string[]): string => {
    const script = `const { openShortcut } = await import(${JSON.stringify(import.meta.resolve('./shortcut.ts'))});
      const { state, why } = openShortcut().feature; console.log(state, why);`;
    return execFileSync('env', [...prefix, process.execPath, '-e', `(async () => {${script}})()`], { encoding: 'utf8' });
  };

  test('without the right to it', () => {
    // CAP_SYS_ADMIN stands for CAP_BPF (39), which the program setpriv may not know.
    assert.match(told('setpriv', '--bounding-set=-sys_admin,-cap_39'), /^unknown .*EPERM.*CAP_BPF/);
  });

  test('without a mounted cgroup2 it is, for its own group', () => {
    // In a cgroup namespace of its own: a mount in the first one would set options of the machine's.
    // What is mounted there lies under something else then, for process 1 as well.
    const space = 'mount -t tmpfs none /sys/fs/cgroup; exec "$@"';
    assert.match(told('unshare', '-C', '-m', '-p', '-f', '--mount-proc', 'sh', '-ec', space, 'sh'), /^yes /);
  });
});
