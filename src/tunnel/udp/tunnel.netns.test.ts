/** What two tunnels carry, and what they do not. */
import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { silentLogger } from '../../base/clock.ts';
import { parseIp } from '../../base/ip.ts';
import { folder, host, inside, ip, optionsOf, OUTER, pair, peer, PORT, single, until, useHosts } from './lab.testing.ts';
import { sha, transfer } from './transfer.testing.ts';
import { openUdpTunnel } from './tunnel.ts';

const run = promisify(execFile);

useHosts();

for (const family of [4, 6] as const) {
  for (const own of [true, false]) {
    test(`bytes arrive as they were sent: outer IPv${family}, ${own ? 'checksums left to the peer' : 'complete packets on the wire'}`, async () => {
      await using tunnels = await pair(family, own, [{ fastPath: false }, { fastPath: false }]);
      const bytes = randomBytes(16 << 20);
      for (const to of ['10.244.2.2', 'fd44:2::2']) assert.equal(await transfer(to, bytes), sha(bytes));
      const [one] = tunnels.tunnels;
      const counts = (await one?.status())?.peers['host2'];
      assert.ok(counts && counts.sentBytes > 32 << 20, JSON.stringify(counts));
    });
  }
}

for (const fastPath of [true, false]) {
  test(`without offloads on the wire, and over a path with a smaller MTU${fastPath ? ', past the process' : ''}`, async () => {
    await using _tunnels = await pair(4, true, [{ fastPath }, { fastPath }]);
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
}

/** Sixteen at once, and on when they are there: a socket that is full loses what comes, on any path. */
const SENDER = `const d=require('node:dgram').createSocket('udp4');const n=+process.argv[2];let got=0,wake=()=>{};
d.on('message',m=>{got=Math.max(got,m.readUInt32BE());wake()});
d.bind(async()=>{for(let from=0;from<n;from+=16)do{
for(let i=from;i<from+16;i++){const b=Buffer.alloc(1000,i&255);b.writeUInt32BE(i);d.send(b,7001,process.argv[1])}
await new Promise(r=>{const t=setTimeout(r,500);wake=()=>{if(got>=from+16){clearTimeout(t);r()}}})
}while(got<from+16);d.close()})`;
const COUNTER = `const s=new Set(),d=require('node:dgram').createSocket('udp4');
d.on('message',(b,from)=>{const i=b.readUInt32BE();if(b.length!==1000||b.some((x,at)=>at>3&&x!==(i&255)))console.log('spoiled '+i);s.add(i);
const a=Buffer.alloc(4);a.writeUInt32BE(s.size);d.send(a,from.port,from.address)});
d.bind(7001,()=>console.log('up'))`;

/** Datagrams of one size, with answers: all arrive, as they were sent. */
async function datagramsArrive(from: 'c1' | 'c2', to: 'c1' | 'c2'): Promise<void> {
  const [file, args] = inside(to, process.execPath, '-e', COUNTER);
  const counter = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  counter.stdout.on('data', (data: Buffer) => void (said += data.toString()));
  try {
    await until('the counter', () => said.includes('up'));
    await run(...inside(from, process.execPath, '-e', SENDER, `10.244.${to.slice(1)}.2`, '1600'), { timeout: 60_000 });
    assert.equal(said, 'up\n');
  } finally {
    counter.kill('SIGKILL');
    await once(counter, 'exit');
  }
}

test('one host has a kernel that knows no UDP segments in TUN devices, as Debian 12: everything arrives, either way', async () => {
  await using _tunnels = await pair(4, true, [{ udpSegments: false }]);
  const offloads = (i: number): string =>
    execFileSync('sh', ['-c', `${i === 1 ? '' : 'ip netns exec t2 '}ethtool -k moor-udp0`], { encoding: 'utf8' });
  assert.match(offloads(1), /^tx-udp-segmentation: off/m);
  assert.match(offloads(1), /^tcp-segmentation-offload: on/m);
  await datagramsArrive('c1', 'c2');
  await datagramsArrive('c2', 'c1');
  const bytes = randomBytes(4 << 20);
  assert.equal(await transfer('10.244.2.2', bytes), sha(bytes));
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

/** Packets that the kernel got from the device, as the kernel counts them. */
const taken = (): number =>
  (JSON.parse(ip('-j', '-s', 'link', 'show', 'moor-udp0')) as { stats64: { rx: { packets: number } } }[])[0]?.stats64.rx
    .packets ?? -1;

test('what does not belong into the tunnel is dropped, and counted by its reason', async () => {
  ip('-n', 't2', 'addr', 'add', '10.9.0.3/24', 'dev', 'e2');
  await using opened = await single();
  const { tunnel } = opened;
  const good = packet('10.244.2.2', '10.244.1.2').toString('hex');
  const spoofed = packet('10.244.1.7', '10.244.1.2').toString('hex');
  const short = good.slice(0, -4);
  await inject('t2', [good, spoofed, short, `90${good.slice(2)}`, '45', `4f${good.slice(2)}`]);
  await inject('t2', [good], '10.9.0.3');
  // What the device says by itself (router solicitations) has no way.
  const drops = async (): Promise<Readonly<Record<string, number>>> => ({ ...(await tunnel.status()).drops, route: 0 });
  const received = async (): Promise<number> => (await tunnel.status()).peers['host2']?.receivedPackets ?? -1;
  await until('all to be counted', async () => Object.values(await drops()).reduce((a, b) => a + b, 0) >= 6);
  assert.deepEqual(await drops(), { version: 1, length: 3, source: 1, peer: 1, route: 0, send: 0, write: 0 });
  assert.equal((await tunnel.status()).peers['host2']?.spoofed, 1);
  assert.equal(await received(), 1);
  assert.equal(taken(), 1);

  // The peer moves: its old address is nobody's any more, and its counters go on.
  const moved = { ...peer(2, 4, true), endpoint: { address: parseIp('10.9.0.3'), port: PORT } };
  await tunnel.setPeers({ peers: [moved], underlay: 'e1' });
  await inject('t2', [good], '10.9.0.3');
  await inject('t2', [good]);
  await until('two more', async () => (await drops())['peer'] === 2);
  assert.equal(await received(), 2);
  ip('-n', 't2', 'addr', 'del', '10.9.0.3/24', 'dev', 'e2');
});

test('a tunnel that is ended leaves no device, no port, no descriptor, no process and no file', async () => {
  const count = (): number => readdirSync('/proc/self/fd').length;
  // The first one loads what stays.
  await (await pair(4, true))[Symbol.asyncDispose]();
  const before = count();
  await (await pair(4, true))[Symbol.asyncDispose]();
  assert.equal(count(), before);
  assert.doesNotMatch(ip('-br', 'link'), /moor-udp0/);
  assert.equal(execFileSync('ss', ['-Hlnu'], { encoding: 'utf8' }).trim(), '');
  assert.equal(existsSync(folder(1)), false);
  assert.doesNotMatch(execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' }), new RegExp(folder(1)));
});

test('a device that is in use, and a port that is taken, are errors', async () => {
  await using _tunnels = await pair(4, true);
  const { local } = optionsOf(1, 4);
  const options = { peers: [], underlay: '', logger: silentLogger, directory: folder(3) };
  await assert.rejects(openUdpTunnel({ ...options, device: 'moor-udp0', local: { ...local, port: 1 } }), { kind: 'conflict' });
  await assert.rejects(openUdpTunnel({ ...options, device: 'moor-udp1', local }), { kind: 'conflict' });
  assert.doesNotMatch(ip('-br', 'link'), /moor-udp1/);
});

test('the device keeps 2000 packets for the process, so that a flood of small ones waits while another program has the CPU', async () => {
  await using _opened = await single();
  const [link] = JSON.parse(ip('-j', 'link', 'show', 'moor-udp0')) as { txqlen: number }[];
  assert.equal(link?.txqlen, 2000);
});
