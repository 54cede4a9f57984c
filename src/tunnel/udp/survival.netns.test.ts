/** The process of a tunnel: it outlives who started it, is found again, replaced when it dies or is of another version, and ended by whoever is asked to. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { parseIp, parsePrefix } from '../../base/ip.ts';
import { endLeftTunnel } from './launch.ts';
import { folder, host, inside, ip, optionsOf, pair, PORT, single, until, useHosts } from './lab.testing.ts';
import { CAPACITY } from './slots.ts';
import { openUdpTunnel } from './tunnel.ts';

useHosts();

const pidOf = (i: number): number => Number(readFileSync(`${folder(i)}/pid`, 'utf8'));
const lives = (pid: number): boolean =>
  existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));

/** 100 pings a second from container 1 to container 2. @returns ends it: how many stayed away, of those between the first and the last answer */
async function pinging(): Promise<() => Promise<{ readonly sent: number; readonly lost: number }>> {
  const [file, args] = inside('c1', 'ping', '-n', '-i', '0.01', '10.244.2.2');
  const child: ChildProcess = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const answered = new Set<number>();
  assert.ok(child.stdout);
  createInterface({ input: child.stdout }).on('line', (line) => {
    const sequence = /icmp_seq=(\d+) ttl=/.exec(line)?.[1];
    if (sequence !== undefined) answered.add(Number(sequence));
  });
  await until('the first answer', () => answered.size > 0);
  return async () => {
    const before = answered.size;
    await until('one more answer', () => answered.size > before);
    child.kill('SIGKILL');
    await once(child, 'exit');
    const sent = Math.max(...answered) - Math.min(...answered) + 1;
    return { sent, lost: sent - answered.size };
  };
}

test('who lets go of it loses nothing, and finds it again with its counters', async () => {
  await using tunnels = await pair(4, true);
  const finish = await pinging();
  const pid = pidOf(1);
  await tunnels.tunnels[0]?.[Symbol.asyncDispose]();
  await sleep(200);
  const again = await openUdpTunnel(optionsOf(1, 4));
  assert.equal(pidOf(1), pid);
  assert.ok(((await again.status()).peers['host2']?.receivedPackets ?? 0) > 10);
  await sleep(100);
  const { lost, sent } = await finish();
  assert.deepEqual({ lost, sent }, { lost: 0, sent });
  await again.end();
  assert.equal(lives(pid), false);
});

test('a process that is killed is replaced: what has come meanwhile has waited in its device and its socket', async (t) => {
  await using tunnels = await pair(4, true);
  await sleep(1_100);
  const finish = await pinging();
  const pid = pidOf(1);
  process.kill(pid, 'SIGKILL');
  await until('another process', () => pidOf(1) !== pid);
  await until('it is asked', async () => ((await tunnels.tunnels[0]?.status())?.peers['host2']?.receivedPackets ?? 0) > 10);
  const { lost, sent } = await finish();
  t.diagnostic(`${lost} of ${sent} packets lost`);
  assert.equal(lost, 0);
});

test('a process of another program hands over to one of this', async () => {
  await using tunnels = await pair(4, true);
  // The same in other words: what tells programs apart is their text.
  mkdirSync(`${folder(1)}.program`);
  const other = `${folder(1)}.program/worker.ts`;
  writeFileSync(other, `import '${import.meta.dirname}/worker.ts';\n`);
  const finish = await pinging();
  const pid = pidOf(1);
  await tunnels.tunnels[0]?.[Symbol.asyncDispose]();
  const again = await openUdpTunnel({ ...optionsOf(1, 4), program: pathToFileURL(other) });
  assert.notEqual(pidOf(1), pid);
  await until('the first one has ended', () => !lives(pid));
  await sleep(100);
  const { lost, sent } = await finish();
  assert.deepEqual({ lost, sent }, { lost: 0, sent });
  await again.end();
});

test('one that is stopped, and answers nobody, is replaced', async () => {
  const options = optionsOf(1, 4);
  const first = await openUdpTunnel(options);
  await first[Symbol.asyncDispose]();
  const pid = pidOf(1);
  process.kill(pid, 'SIGSTOP');
  const again = await openUdpTunnel(options);
  assert.equal(lives(pid), false);
  assert.deepEqual((await again.status()).peers['host2']?.spoofed, 0);
  await again.end();
});

test('another address or port is another process', async () => {
  const first = await openUdpTunnel(optionsOf(1, 4));
  await first[Symbol.asyncDispose]();
  const pid = pidOf(1);
  const options = optionsOf(1, 4);
  const again = await openUdpTunnel({ ...options, local: { ...options.local, port: 8286 } });
  assert.equal(lives(pid), false);
  await again.end();
});

test('what nobody wants any more is ended: process, device, files', async () => {
  const first = await openUdpTunnel(optionsOf(1, 4));
  await first[Symbol.asyncDispose]();
  const pid = pidOf(1);
  await endLeftTunnel(folder(1));
  assert.equal(lives(pid), false);
  assert.equal(existsSync(folder(1)), false);
  assert.doesNotMatch(ip('-br', 'link'), /moor-udp0/);
  await endLeftTunnel(folder(1));
});

test('as many peers as there may be are taken, and told of', async () => {
  await using opened = await single();
  const { tunnel } = opened;
  const [first] = optionsOf(1, 4).peers;
  assert.ok(first);
  const many = Array.from({ length: CAPACITY }, (_, i) => ({
    ...first,
    name: `host-with-a-long-name-${i}`,
    endpoint: { address: parseIp(`10.9.${i >> 8}.${i & 255}`), port: PORT },
    subnets: [parsePrefix(`10.${i >> 8}.${i & 255}.0/24`), parsePrefix(`fd44:0:0:${i.toString(16)}::/64`)],
  }));
  await tunnel.setPeers({ peers: many, underlay: 'e1' });
  const { peers, fastPath } = await tunnel.status();
  assert.equal(Object.keys(peers).length, CAPACITY);
  assert.equal(fastPath.why, '');
  await assert.rejects(tunnel.setPeers({ peers: [...many, first], underlay: 'e1' }), { kind: 'exhausted' });
});

test('without its device it ends, and says so', async () => {
  await using opened = await single();
  const pid = pidOf(1);
  host(1, 'link', 'del', 'moor-udp0');
  await opened.tunnel.ended;
  assert.equal(lives(pid), false);
  assert.equal(existsSync(folder(1)), false);
});

/** As chrt(1) shows it. */
const scheduling = (pid: number): string => execFileSync('chrt', ['--pid', String(pid)], { encoding: 'utf8' });

test('priority is by request: a process without hands over to one with it, which nothing that it starts would inherit', async () => {
  const { tunnel: first } = await single();
  const pid = pidOf(1);
  assert.match(scheduling(pid), /policy: SCHED_OTHER\n/);
  await first[Symbol.asyncDispose]();
  const second = await openUdpTunnel({ ...optionsOf(1, 4), priority: true });
  assert.equal(lives(pid), false);
  assert.match(scheduling(pidOf(1)), /policy: SCHED_RR\|SCHED_RESET_ON_FORK\n.*priority: 1\n/);
  await second[Symbol.asyncDispose]();
  const third = await openUdpTunnel({ ...optionsOf(1, 4), priority: true });
  assert.match(scheduling(pidOf(1)), /SCHED_RR/);
  await third[Symbol.asyncDispose]();
  const fourth = await openUdpTunnel(optionsOf(1, 4));
  assert.match(scheduling(pidOf(1)), /policy: SCHED_OTHER\n/);
  await fourth.end();
});

test('priority that is not permitted is done without, and told', () => {
  const script = `import { openUdpTunnel } from ${JSON.stringify(new URL('./tunnel.ts', import.meta.url).href)};
    const warned = [];
    const logger = { warn: (data, text) => warned.push(text), info() {}, error() {} };
    const tunnel = await openUdpTunnel({ ...JSON.parse(process.argv[1]), logger, priority: true });
    await tunnel.status();
    await tunnel.end();
    console.log(JSON.stringify(warned));`;
  const { logger: _, ...options } = optionsOf(1, 4);
  const without = ['--bounding-set', '-sys_nice', '--inh-caps', '-sys_nice', process.execPath];
  const out = execFileSync('setpriv', [...without, '--input-type=module', '-e', script, JSON.stringify(options)], {
    encoding: 'utf8',
  });
  assert.match(out, /^\["tunnel moor-udp0: no priority: [^"]*EPERM[^"]*"\]\n$/);
});
