/** Two tunnels over a veth pair: this process's namespace is host 1, `t2` is host 2; on each a container namespace behind it. */
import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { silentLogger } from '../../base/clock.ts';
import { parseIp, parsePrefix } from '../../base/ip.ts';
import type { Tunnel, TunnelPeer } from '../../contracts/tunnel.ts';
import { openNetns, withNetns } from '../../sys/netns.ts';
import { openUdpTunnel } from './tunnel.ts';

const run = promisify(execFile);
const ip = (...args: readonly string[]): string => execFileSync('ip', args, { encoding: 'utf8' });
const NAMES = ['t2', 'c1', 'c2'] as const;
const PORT = 8285;
/** 1500 less 20 and 8; over IPv6 less 40 and 8. */
const MTU = { 4: 1472, 6: 1452 } as const;
const OUTER = { 4: (i: number) => `10.9.0.${i}`, 6: (i: number) => `fd09::${i}` } as const;

const inside = (netns: string, ...command: readonly string[]): [string, string[]] => ['ip', ['netns', 'exec', netns, ...command]];
const host = (i: number, ...args: readonly string[]): string => (i === 1 ? ip(...args) : ip('-n', 't2', ...args));

before(() => {
  // Run by `node --test` alone it would work on the machine's own interfaces and sysctls.
  const links = ip('-br', 'link').trim().split('\n');
  if (links.length !== 1) throw new Error('not in a fresh network namespace: run this by tools/test.ts');
  for (const name of NAMES) {
    ip('netns', 'add', name);
    ip('-n', name, 'link', 'set', 'lo', 'up');
  }
  ip('link', 'set', 'lo', 'up');
  ip('link', 'add', 'e1', 'type', 'veth', 'peer', 'name', 'e2', 'netns', 't2');
  for (const i of [1, 2]) {
    host(i, 'addr', 'add', `10.9.0.${i}/24`, 'dev', `e${i}`);
    host(i, 'addr', 'add', `fd09::${i}/64`, 'nodad', 'dev', `e${i}`);
    host(i, 'link', 'set', `e${i}`, 'up');
    host(i, 'link', 'add', `v${i}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', i === 1 ? 'c1' : 'c2');
    host(i, 'addr', 'add', `10.244.${i}.1/24`, 'dev', `v${i}`);
    host(i, 'addr', 'add', `fd44:${i}::1/64`, 'nodad', 'dev', `v${i}`);
    host(i, 'link', 'set', `v${i}`, 'up');
    ip('-n', `c${i}`, 'addr', 'add', `10.244.${i}.2/24`, 'dev', 'eth0');
    ip('-n', `c${i}`, 'addr', 'add', `fd44:${i}::2/64`, 'nodad', 'dev', 'eth0');
    ip('-n', `c${i}`, 'link', 'set', 'eth0', 'up');
    ip('-n', `c${i}`, 'route', 'add', 'default', 'via', `10.244.${i}.1`);
    ip('-n', `c${i}`, '-6', 'route', 'add', 'default', 'via', `fd44:${i}::1`);
    const sysctl = ['sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1'];
    if (i === 1) execFileSync('sysctl', sysctl.slice(1));
    else execFileSync(...inside('t2', ...sysctl));
  }
});

after(() => {
  for (const name of NAMES) ip('netns', 'del', name);
  execFileSync('sysctl', ['-qw', 'net.ipv4.ip_forward=0', 'net.ipv6.conf.all.forwarding=0']);
  // What a namespace held is taken down after it has gone.
  for (const link of ['e1', 'v1']) execFileSync('sh', ['-c', `ip link del ${link} 2>/dev/null || true`]);
});

const peer = (i: number, family: 4 | 6, own: boolean): TunnelPeer => ({
  name: `host${i}`,
  endpoint: { address: parseIp(OUTER[family](i)), port: PORT },
  subnets: [parsePrefix(`10.244.${i}.0/24`), parsePrefix(`fd44:${i}::/64`)],
  own,
});

interface Pair extends AsyncDisposable {
  readonly tunnels: readonly Tunnel[];
}

async function pair(family: 4 | 6, own: boolean): Promise<Pair> {
  const open = (i: number): Promise<Tunnel> =>
    openUdpTunnel({
      device: 'moor-udp0',
      local: { address: parseIp(OUTER[family](i)), port: PORT },
      peers: [peer(3 - i, family, own)],
      logger: silentLogger,
    });
  await using stack = new AsyncDisposableStack();
  const first = stack.use(await open(1));
  // Everything that depends on the namespace happens before the first wait.
  const opened: Promise<Tunnel>[] = [];
  using netns = openNetns('/run/netns/t2');
  withNetns(netns, () => void opened.push(open(2)));
  const [second] = await Promise.all(opened);
  assert.ok(second);
  stack.use(second);
  for (const i of [1, 2]) {
    host(i, 'link', 'set', 'moor-udp0', 'mtu', String(MTU[family]), 'up');
    host(i, 'route', 'add', `10.244.${3 - i}.0/24`, 'dev', 'moor-udp0');
    host(i, '-6', 'route', 'add', `fd44:${3 - i}::/64`, 'dev', 'moor-udp0');
  }
  const owned = stack.move();
  return { tunnels: [first, second], [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

const SERVER = `const s=require('node:net').createServer(c=>{const h=require('node:crypto').createHash('sha256');c.on('data',d=>h.update(d));c.on('end',()=>c.end(h.digest('hex')))});s.listen(7000,'::',()=>console.log('up'))`;
const CLIENT = `const n=require('node:net').connect(7000,process.argv[1]);process.stdin.pipe(n);n.on('data',d=>process.stdout.write(d))`;

/** Sends bytes from c1 to a server in c2. @returns what the server got, hashed */
async function transfer(to: string, bytes: Buffer): Promise<string> {
  const [file, args] = inside('c2', process.execPath, '-e', SERVER);
  const server = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    await once(server.stdout, 'data');
    const client = run(...inside('c1', process.execPath, '-e', CLIENT, to), { timeout: 60_000 });
    client.child.stdin?.end(bytes);
    return (await client).stdout;
  } finally {
    server.kill('SIGKILL');
    await once(server, 'exit');
  }
}

const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

for (const family of [4, 6] as const) {
  for (const own of [true, false]) {
    test(`bytes arrive as they were sent: outer IPv${family}, ${own ? 'checksums left to the peer' : 'complete packets on the wire'}`, async () => {
      await using tunnels = await pair(family, own);
      const bytes = randomBytes(16 << 20);
      for (const to of ['10.244.2.2', 'fd44:2::2']) assert.equal(await transfer(to, bytes), sha(bytes));
      const [one] = tunnels.tunnels;
      const counts = one?.status().peers['host2'];
      assert.ok(counts && counts.sentBytes > 32 << 20, JSON.stringify(counts));
    });
  }
}

test('without offloads on the wire, and over a path with a smaller MTU', async () => {
  await using _tunnels = await pair(4, true);
  const bytes = randomBytes(4 << 20);
  execFileSync('ethtool', ['-K', 'e1', 'tso', 'off', 'gso', 'off', 'gro', 'off']);
  assert.equal(await transfer('10.244.2.2', bytes), sha(bytes));
  for (const i of [1, 2]) host(i, 'link', 'set', `e${i}`, 'mtu', '1300');
  try {
    assert.equal(await transfer('10.244.2.2', bytes), sha(bytes));
  } finally {
    for (const i of [1, 2]) host(i, 'link', 'set', `e${i}`, 'mtu', '1500');
    execFileSync('ethtool', ['-K', 'e1', 'tso', 'on', 'gso', 'on', 'gro', 'on']);
  }
});

/** Sends datagrams as hex lines from a namespace to host 1. */
async function inject(netns: string, lines: readonly string[], from = OUTER[4](2)): Promise<void> {
  const script = `const d=require('node:dgram').createSocket('udp4');const l=require('node:fs').readFileSync(0,'utf8').split('\\n').filter(Boolean);d.bind(0,'${from}',async()=>{for(const x of l)await new Promise(r=>d.send(Buffer.from(x,'hex'),${PORT},'${OUTER[4](1)}',r));d.close()})`;
  const sender = run(...inside(netns, process.execPath, '-e', script), { timeout: 120_000 });
  sender.child.stdin?.end(lines.join('\n'));
  await sender;
}

/** An IPv4 packet with a UDP datagram in it. */
function packet(source: string, destination: string): Buffer {
  const bytes = Buffer.alloc(48);
  bytes.set([0x45, 0, 0, 48, 0, 1, 0, 0, 64, 17], 0);
  bytes.set(source.split('.').map(Number), 12);
  bytes.set(destination.split('.').map(Number), 16);
  let sum = 0;
  for (let i = 0; i < 20; i += 2) sum += bytes.readUInt16BE(i);
  bytes.writeUInt16BE(~((sum & 0xffff) + (sum >>> 16)) & 0xffff, 10);
  bytes.set([0x1b, 0x58, 0x1b, 0x58, 0, 28, 0, 0], 20);
  return bytes;
}

async function until(what: string, check: () => boolean): Promise<void> {
  for (let i = 0; !check(); i++) {
    assert.ok(i < 600, `waited for ${what}`);
    await sleep(50);
  }
}

describe('what does not belong into the tunnel', () => {
  /** Packets that the kernel got from the device, as the kernel counts them. */
  const taken = (): number =>
    (JSON.parse(ip('-j', '-s', 'link', 'show', 'moor-udp0')) as { stats64: { rx: { packets: number } } }[])[0]?.stats64.rx
      .packets ?? -1;

  test('is dropped, and counted by its reason', async () => {
    ip('-n', 't2', 'addr', 'add', '10.9.0.3/24', 'dev', 'e2');
    await using tunnel = await openUdpTunnel({
      device: 'moor-udp0',
      local: { address: parseIp(OUTER[4](1)), port: PORT },
      peers: [peer(2, 4, true)],
      logger: silentLogger,
    });
    ip('link', 'set', 'moor-udp0', 'up');
    const good = packet('10.244.2.2', '10.244.1.2').toString('hex');
    const spoofed = packet('10.244.1.7', '10.244.1.2').toString('hex');
    const short = good.slice(0, -4);
    await inject('t2', [good, spoofed, short, `90${good.slice(2)}`, '45', `4f${good.slice(2)}`]);
    await inject('t2', [good], '10.9.0.3');
    const drops = (): Readonly<Record<string, number>> => tunnel.status().drops;
    await until('all to be counted', () => Object.values({ ...drops(), route: 0 }).reduce((a, b) => a + b, 0) >= 6);
    // What the device says by itself (router solicitations) has no way.
    assert.deepEqual({ ...drops(), route: 0 }, { version: 1, length: 3, source: 1, peer: 1, route: 0, send: 0, write: 0 });
    const counts = tunnel.status().peers['host2'];
    assert.deepEqual([counts?.receivedPackets, counts?.spoofed], [1, 1]);
    assert.equal(taken(), 1);

    // The peer moves: its old address is nobody's any more, and its counters go on.
    await tunnel.setPeers([{ ...peer(2, 4, true), endpoint: { address: parseIp('10.9.0.3'), port: PORT } }]);
    await inject('t2', [good], '10.9.0.3');
    await inject('t2', [good]);
    await until('two more', () => drops()['peer'] === 2);
    assert.equal(tunnel.status().peers['host2']?.receivedPackets, 2);
    ip('-n', 't2', 'addr', 'del', '10.9.0.3/24', 'dev', 'e2');
  });

  test('random and mutated datagrams: nothing of them reaches the kernel but what is well-formed and from its place', async () => {
    await using tunnel = await openUdpTunnel({
      device: 'moor-udp0',
      local: { address: parseIp(OUTER[4](1)), port: PORT },
      peers: [peer(2, 4, true)],
      logger: silentLogger,
    });
    ip('link', 'set', 'moor-udp0', 'up');
    const good = packet('10.244.2.2', '10.244.1.2');
    const lines: string[] = [];
    for (let i = 0; i < 50_000; i++) {
      const bytes = i % 2 === 0 ? randomBytes((i * 7) % 200) : Buffer.from(good);
      if (i % 2 === 1) for (const at of randomBytes(3)) bytes[at % bytes.length] = (i + at) & 255;
      if (bytes.length > 0) lines.push(bytes.toString('hex'));
    }
    for (let i = 0; i < 4; i++) await inject('t2', lines);
    // It is still alive: a packet as it should be goes through.
    const before = tunnel.status().peers['host2']?.receivedPackets ?? 0;
    await inject('t2', [good.toString('hex')]);
    await until('the last one', () => (tunnel.status().peers['host2']?.receivedPackets ?? 0) > before);
    const { drops, peers } = tunnel.status();
    const seen = Object.values({ ...drops, route: 0 }).reduce((a, b) => a + b, 0) + (peers['host2']?.receivedPackets ?? 0);
    assert.ok(seen > lines.length, `only ${seen} of ${4 * lines.length + 1} were seen`);
    assert.ok((drops['version'] ?? 0) > 0 && (drops['length'] ?? 0) > 0 && (drops['source'] ?? 0) > 0, JSON.stringify(drops));
  });
});

test('a tunnel that is closed leaves no device, no port and no descriptor', async () => {
  const count = (): number => readdirSync('/proc/self/fd').length;
  // The first one loads what stays.
  await (await pair(4, true))[Symbol.asyncDispose]();
  const before = count();
  await (await pair(4, true))[Symbol.asyncDispose]();
  assert.equal(count(), before);
  assert.doesNotMatch(ip('-br', 'link'), /moor-udp0/);
  assert.equal(execFileSync('ss', ['-Hlnu'], { encoding: 'utf8' }).trim(), '');
});

test('a device that is in use, and a port that is taken, are errors', async () => {
  await using _tunnels = await pair(4, true);
  const local = { address: parseIp(OUTER[4](1)), port: PORT };
  const options = { peers: [], logger: silentLogger };
  await assert.rejects(openUdpTunnel({ ...options, device: 'moor-udp0', local: { ...local, port: 1 } }), { kind: 'conflict' });
  await assert.rejects(openUdpTunnel({ ...options, device: 'moor-udp1', local }), { kind: 'conflict' });
  assert.doesNotMatch(ip('-br', 'link'), /moor-udp1/);
});
