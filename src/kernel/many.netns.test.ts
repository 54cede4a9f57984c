/** Ten thousand peers: their entries are added, found again and kept, and only what has changed is touched. `ip` and `bridge` say what is there. */
import '../../test/support/isolated.ts';
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseIp, parsePrefix } from '../base/ip.ts';
import { parseMac } from '../base/mac.ts';
import { type Change, HOST, type Route } from '../contracts/change.ts';
import { type Machine, applyList } from './apply.ts';
import { openNftRunner } from './nft-run.ts';
import { Spaces } from './spaces.ts';

const PEERS = 10_000;
const root = mkdtempSync(join(tmpdir(), 'moor-many-'));
let machine: Machine & { readonly spaces: Spaces };

const ip = (...args: readonly string[]): string => execFileSync('ip', args, { encoding: 'utf8', maxBuffer: 1 << 27 });

before(() => {
  machine = { spaces: new Spaces(), nft: openNftRunner(), roots: [root] };
  for (const [device, kind] of [
    ['many0', ['veth', 'peer', 'name', 'many2']],
    ['many1', ['vxlan', 'id', '1', 'dstport', '8472', 'local', '10.9.255.1', 'nolearning']],
  ] as const) {
    ip('link', 'add', device, 'type', ...kind);
    ip('link', 'set', device, 'up');
  }
  ip('link', 'set', 'many2', 'up');
  ip('address', 'add', '10.9.255.1/16', 'dev', 'many0');
  ip('address', 'add', 'fd09::ffff/64', 'nodad', 'dev', 'many0');
});
after(() => {
  for (const device of ['many0', 'many1']) ip('link', 'del', device);
  machine.spaces[Symbol.dispose]();
  machine.nft[Symbol.dispose]();
  rmSync(root, { recursive: true, force: true });
});

/** The same result for all of them. */
function apply(changes: readonly Change[]): readonly string[] {
  const states = applyList(machine, changes, false).map((result) =>
    result.state === 'failed' ? result.error.message : result.state,
  );
  return [...new Set(states)];
}

const each = <T>(make: (i: number) => T): T[] => Array.from({ length: PEERS }, (_, i) => make(i));
const bytes = (i: number): string => `${i >> 8}.${i & 255}`;
const hex = (i: number): string => `${(i >> 8).toString(16).padStart(2, '0')}:${(i & 255).toString(16).padStart(2, '0')}`;
const route = (op: 'add' | 'remove', value: Route): Change => ({ kind: 'route', op, netns: HOST, route: value });
const remove = (changes: readonly Change[]): Change[] =>
  changes.toReversed().map((change) => ('op' in change ? { ...change, op: 'remove' as const } : change));

const gateway = (op: 'add' | 'remove', i: number, via: number): Change =>
  route(op, {
    destination: parsePrefix(`10.${64 + (i >> 8)}.${i & 255}.0/24`),
    via: parseIp(`10.9.${bytes(via)}`),
    device: 'many0',
  });
const gateway6 = (i: number): Change =>
  route('add', {
    destination: parsePrefix(`fd44:0:0:${i.toString(16)}::/64`),
    via: parseIp(`fd09::${i.toString(16)}`),
    device: 'many0',
  });

/** Destination and next hop, as ip(8) says. */
const routes = (family: 4 | 6): ReadonlyMap<string, string> => {
  const list = JSON.parse(ip('-j', `-${family}`, 'route', 'show', 'dev', 'many0')) as { dst: string; gateway?: string }[];
  return new Map(list.flatMap(({ dst, gateway: via }) => (via === undefined ? [] : [[dst, via] as const])));
};

test('routes by way of ten thousand hosts, put in sync again without one that is missing for a moment', async () => {
  const wanted = each((i) => gateway('add', i, i));
  assert.deepEqual(apply(wanted), ['changed']);
  assert.equal(routes(4).size, PEERS);

  // Everything that happens to a route from now on. Its own route tells that it listens.
  const monitor = spawn('ip', ['-4', 'monitor', 'route'], { stdio: ['ignore', 'pipe', 'inherit'] });
  let seen = '';
  monitor.stdout.setEncoding('utf8').on('data', (text: string) => {
    seen += text;
  });
  const told = async (line: string): Promise<void> => {
    while (!seen.includes(line)) {
      ip('route', 'replace', 'unreachable', '203.0.113.0/24');
      // It may not have listened yet when we did that.
      await Promise.race([once(monitor.stdout, 'data'), once(monitor, 'exit'), sleep(100)]);
      assert.equal(monitor.exitCode, null);
    }
  };
  try {
    await told('unreachable 203.0.113.0/24');
    assert.deepEqual(apply(wanted), ['already']);
    // A hundred of them have moved to another host.
    const moved = Array.from({ length: 100 }, (_, n) => n * 100);
    assert.deepEqual(apply(moved.flatMap((i) => [gateway('remove', i, i), gateway('add', i, i + 1)])), ['changed']);
    ip('route', 'del', 'unreachable', '203.0.113.0/24');
    await told('Deleted unreachable 203.0.113.0/24');
    const lines = seen.split('\n').filter((line) => line.includes(' via '));
    for (const i of moved) {
      const to = `10.${64 + (i >> 8)}.${i & 255}.0/24 via 10.9.`;
      const about = lines.filter((line) => line.includes(to)).map((line) => line.startsWith('Deleted'));
      assert.deepEqual(about, [false, true], `the new one is there before the old one goes: ${to}`);
    }
    assert.equal(lines.length, 2 * moved.length, 'no other route was touched');
    const now = routes(4);
    assert.equal(now.size, PEERS);
    for (const i of moved) assert.equal(now.get(`10.${64 + (i >> 8)}.${i & 255}.0/24`), `10.9.${bytes(i + 1)}`);
  } finally {
    monitor.kill();
  }
  const left = [...routes(4)].map(([to, via]) =>
    route('remove', { destination: parsePrefix(to), via: parseIp(via), device: 'many0' }),
  );
  assert.deepEqual(apply(left), ['changed']);
  assert.equal(routes(4).size, 0);
  assert.deepEqual(apply(left), ['already']);
});

test('the same for IPv6', () => {
  const wanted = each((i) => gateway6(i + 1));
  assert.deepEqual(apply(wanted), ['changed']);
  assert.equal(routes(6).size, PEERS);
  assert.deepEqual(apply(wanted), ['already']);
  assert.equal(routes(6).size, PEERS);
  assert.deepEqual(apply(remove(wanted)), ['changed']);
  assert.equal(routes(6).size, 0);
});

test('VTEPs of ten thousand hosts', () => {
  const wanted = each((i): Change[] => {
    const mac = parseMac(`02:00:00:00:${hex(i)}`);
    const address = parseIp(`10.${64 + (i >> 8)}.${i & 255}.0`);
    const destination = parsePrefix(`${address}/24`);
    return [
      { kind: 'fdb', op: 'add', netns: HOST, entry: { device: 'many1', mac, destination: parseIp(`10.9.${bytes(i)}`) } },
      { kind: 'neighbour', op: 'add', netns: HOST, neighbour: { device: 'many1', address, mac, state: 'permanent' } },
      route('add', { destination, via: address, device: 'many1', onlink: true }),
    ];
  }).flat();
  const count = (): readonly number[] =>
    [
      execFileSync('bridge', ['fdb', 'show', 'dev', 'many1'], { encoding: 'utf8', maxBuffer: 1 << 27 }),
      ip('-4', 'neigh', 'show', 'dev', 'many1', 'nud', 'permanent'),
      ip('-4', 'route', 'show', 'dev', 'many1'),
    ].map((text) => text.split('\n').filter((line) => line !== '').length);
  assert.deepEqual(apply(wanted), ['changed']);
  assert.deepEqual(count(), [PEERS, PEERS, PEERS]);
  assert.deepEqual(apply(wanted), ['already']);
  assert.deepEqual(apply(remove(wanted)), ['changed']);
  assert.deepEqual(count(), [0, 0, 0]);
  assert.deepEqual(apply(remove(wanted)), ['already']);
});
