/** Ways to other hosts, through a router, with the real kernel. This process's namespace is one host; `pr` is the router and `pf` the other host. */
import '../../test/support/isolated.ts';
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Logger, silentLogger } from '../base/clock.ts';
import { type IpAddress, parseIp } from '../base/ip.ts';
import type { Paths } from '../contracts/paths.ts';
import type { PathReport } from '../model/node.ts';
import { openPaths } from './paths.ts';

const run = (file: string, ...args: readonly string[]): string => execFileSync(file, args, { encoding: 'utf8' });
const ip = (...args: readonly string[]): string => run('ip', ...args);
const far = (...args: readonly string[]): string => ip('-n', 'pf', ...args);
const router = (...args: readonly string[]): string => ip('-n', 'pr', ...args);
const inside = (netns: string, ...args: readonly string[]): string => run('ip', 'netns', 'exec', netns, ...args);

const FAR = { 4: parseIp('10.9.2.2'), 6: parseIp('fd09:2::2') } as const;

before(() => {
  ip('link', 'set', 'lo', 'up');
  for (const netns of ['pr', 'pf']) {
    ip('netns', 'add', netns);
    ip('-n', netns, 'link', 'set', 'lo', 'up');
  }
  ip('link', 'add', 'p0', 'type', 'veth', 'peer', 'name', 'r0', 'netns', 'pr');
  router('link', 'add', 'r1', 'type', 'veth', 'peer', 'name', 'f0', 'netns', 'pf');
  const nodad = (netns: readonly string[], device: string, ...addresses: readonly string[]): void => {
    for (const address of addresses)
      ip(...netns, 'address', 'add', address, 'dev', device, ...(address.includes(':') ? ['nodad'] : []));
    ip(...netns, 'link', 'set', device, 'up');
  };
  nodad([], 'p0', '10.9.1.1/24', 'fd09:1::1/64');
  nodad(['-n', 'pr'], 'r0', '10.9.1.254/24', 'fd09:1::fe/64');
  nodad(['-n', 'pr'], 'r1', '10.9.2.254/24', 'fd09:2::fe/64');
  nodad(['-n', 'pf'], 'f0', '10.9.2.2/24', 'fd09:2::2/64');
  inside('pr', 'sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
  ip('route', 'add', '10.9.2.0/24', 'via', '10.9.1.254');
  ip('route', 'add', 'fd09:2::/64', 'via', 'fd09:1::fe');
  far('route', 'add', 'default', 'via', '10.9.2.254');
  far('-6', 'route', 'add', 'default', 'via', 'fd09:2::fe');
});
after(() => {
  for (const device of ['p0', 'p9', 'mx0']) {
    try {
      execFileSync('ip', ['link', 'del', device], { stdio: 'ignore' });
    } catch {
      // not made
    }
  }
  for (const netns of ['pr', 'pf']) ip('netns', 'del', netns);
});

const open = (part: Partial<Parameters<typeof openPaths>[0]> = {}): Paths =>
  openPaths({ logger: silentLogger, kept: null, keep: async () => {}, ...part });

async function report(paths: Paths, address: IpAddress, right: (report: PathReport) => boolean): Promise<PathReport> {
  const end = Date.now() + 30_000;
  for (;;) {
    const found = paths.reports().find(([one]) => one === address)?.[1];
    if (found !== undefined && right(found)) return found;
    assert.ok(Date.now() < end, `${address}: ${JSON.stringify(found)}`);
    await sleep(20);
  }
}

const any = (): boolean => true;
const want = (size: number, ...addresses: readonly IpAddress[]) => ({
  paths: addresses.map((address) => ({ address, size })),
  vteps: [],
});

test('a path that takes everything, and one whose router says what it takes, IPv4 and IPv6', async () => {
  await using paths = open();
  paths.want(want(1500, FAR[4], FAR[6]));
  for (const address of [FAR[4], FAR[6]])
    assert.deepEqual(await report(paths, address, any), { state: 'ok', asked: 1500, mtu: 1500 });
  router('link', 'set', 'r1', 'mtu', '1400');
  try {
    await using later = open();
    later.want(want(1500, FAR[4], FAR[6]));
    for (const address of [FAR[4], FAR[6]])
      assert.deepEqual(await report(later, address, any), { state: 'small', asked: 1500, mtu: 1400 });
    // What the kernel has learned by itself meanwhile does not make a wider one look small.
    router('link', 'set', 'r1', 'mtu', '1500');
    await using mended = open();
    mended.want(want(1500, FAR[4]));
    assert.deepEqual(await report(mended, FAR[4], any), { state: 'ok', asked: 1500, mtu: 1500 });
  } finally {
    router('link', 'set', 'r1', 'mtu', '1500');
  }
});

test('a black hole: larger packets are lost without a word', async () => {
  // Between two segments of one Ethernet, nobody says anything.
  inside(
    'pr',
    'nft',
    'add table inet hole; add chain inet hole f { type filter hook forward priority 0; }; add rule inet hole f meta length > 1372 drop',
  );
  try {
    let kept = '';
    {
      await using paths = open({ keep: async (text) => void (kept = text) });
      paths.want(want(1500, FAR[4], FAR[6]));
      for (const address of [FAR[4], FAR[6]])
        assert.deepEqual(await report(paths, address, any), { state: 'small', asked: 1500, mtu: 1372 });
    }
    // The next life begins with it.
    await using paths = open({ kept });
    assert.deepEqual(
      paths.reports().toSorted(([a], [b]) => (a < b ? -1 : 1)),
      [FAR[4], FAR[6]].map((address) => [address, { state: 'small', asked: 1500, mtu: 1372 }]),
    );
  } finally {
    inside('pr', 'nft', 'delete table inet hole');
  }
});

test('nobody there, no way there, more than the device has', async () => {
  await using paths = open();
  const [nobody, noWay] = [parseIp('10.9.1.99'), parseIp('192.0.2.1')];
  paths.want(want(9000, nobody, noWay, FAR[4]));
  assert.deepEqual(await report(paths, nobody, any), { state: 'silent', asked: 9000, mtu: null });
  assert.deepEqual(await report(paths, noWay, any), { state: 'silent', asked: 9000, mtu: null });
  assert.deepEqual(await report(paths, FAR[4], any), { state: 'small', asked: 9000, mtu: 1500 });
});

const CARD = resolve(import.meta.dirname, '../../test/support/bad-card.child.ts');

test('checksums left to a card that does not make those inside of VXLAN: found out, and not where they are made', async () => {
  // p9 - f9, across the card, and a VTEP at each end.
  for (const [near, end] of [
    ['p9', 'c9'],
    ['c8', 'f9'],
  ] as const)
    ip('link', 'add', near, 'type', 'veth', 'peer', 'name', end);
  ip('link', 'set', 'f9', 'netns', 'pf');
  for (const device of ['p9', 'c9', 'c8']) ip('link', 'set', device, 'up');
  for (const device of ['p9', 'c9', 'c8']) run('ethtool', '-K', device, 'tso', 'off', 'gso', 'off', 'gro', 'off');
  inside('pf', 'ethtool', '-K', 'f9', 'tso', 'off', 'gso', 'off', 'gro', 'off');
  const card = spawn(process.execPath, [CARD, 'c9', 'c8'], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    await once(card.stdout, 'data');
    ip('address', 'add', '10.8.0.1/24', 'dev', 'p9');
    far('address', 'add', '10.8.0.2/24', 'dev', 'f9');
    far('link', 'set', 'f9', 'up');
    const vtep = (netns: readonly string[], local: string, remote: string): void =>
      void ip(...netns, 'link', 'add', 'mx0', 'type', 'vxlan', 'id', '9', 'dstport', '8472', 'local', local, 'remote', remote);
    vtep([], '10.8.0.1', '10.8.0.2');
    vtep(['-n', 'pf'], '10.8.0.2', '10.8.0.1');
    ip('address', 'add', '10.7.0.1/24', 'dev', 'mx0');
    far('address', 'add', '10.7.0.2/24', 'dev', 'mx0');
    ip('link', 'set', 'mx0', 'up');
    far('link', 'set', 'mx0', 'up');
    // Pings work.
    run('ping', '-n', '-c', '1', '-W', '5', '10.7.0.2');
    const warnings: string[] = [];
    const logger: Logger = { ...silentLogger, warn: (_fields, text) => void warnings.push(text) };
    let kept = '';
    {
      await using paths = open({ logger, keep: async (text) => void (kept = text) });
      paths.want({ paths: [{ address: parseIp('10.8.0.2'), size: 1500 }], vteps: [parseIp('10.7.0.2')] });
      const end = Date.now() + 30_000;
      while (!paths.broken()) {
        assert.ok(Date.now() < end, 'it was not found out');
        await sleep(20);
      }
      assert.match(warnings.join(), /10\.7\.0\.2 .* arrives with a wrong checksum/);
    }
    {
      await using paths = open({ kept });
      assert.ok(paths.broken(), 'the next life knows');
    }
    // Made before: that is what the option does, and then nothing is broken.
    run('ethtool', '-K', 'mx0', 'tx', 'off');
    await using paths = open({ logger });
    paths.want({ paths: [{ address: parseIp('10.8.0.2'), size: 1500 }], vteps: [parseIp('10.7.0.2')] });
    await report(paths, parseIp('10.8.0.2'), any);
    await sleep(6_000);
    assert.equal(paths.broken(), false);
  } finally {
    card.kill('SIGKILL');
    for (const device of ['mx0', 'p9', 'c8']) ip('link', 'del', device);
  }
});
