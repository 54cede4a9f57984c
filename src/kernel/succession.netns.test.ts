/** What comes in the place of something else: `ip monitor` and `bridge monitor` tell whether there was a moment without either. */
import '../../test/support/isolated.ts';
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { after, afterEach, before, test } from 'node:test';
import { parseIfAddress, parseIp, parsePrefix } from '../base/ip.ts';
import { parseMac } from '../base/mac.ts';
import { type Change, HOST, type Route } from '../contracts/change.ts';
import { type Machine, applyList } from './apply.ts';
import { openNftRunner } from './nft-run.ts';
import { Spaces } from './spaces.ts';

let machine: Machine & { readonly spaces: Spaces };
const ip = (...args: readonly string[]): string => execFileSync('ip', args, { encoding: 'utf8' });
const apply = (...changes: readonly Change[]): readonly string[] =>
  applyList(machine, changes, false).map((result) => (result.state === 'failed' ? result.error.message : result.state));

before(() => {
  machine = { spaces: new Spaces(), nft: openNftRunner(), roots: [] };
  const list: Change[] = [
    {
      kind: 'link',
      op: 'add',
      netns: HOST,
      link: { name: 'sx0', up: true, kind: { type: 'vxlan', vni: 77, port: 8472, learning: false } },
    },
    ...['192.0.2.1/24', '2001:db8::1/64'].map(
      (address): Change => ({
        kind: 'address',
        op: 'add',
        netns: HOST,
        device: 'sx0',
        address: parseIfAddress(address),
        nodad: true,
      }),
    ),
  ];
  assert.deepEqual(apply(...list), ['changed', 'changed', 'changed']);
});
afterEach(() => machine.spaces.rest());
after(() => {
  ip('link', 'del', 'sx0');
  machine.spaces[Symbol.dispose]();
  machine.nft[Symbol.dispose]();
});

/** @returns what a monitor told of while the work was done: lines that have the word, and whether each was of something that went */
async function told(program: readonly [string, ...string[]], word: string, work: () => void): Promise<string[]> {
  const [file, ...args] = program;
  const monitor = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const lines = createInterface({ input: monitor.stdout })[Symbol.asyncIterator]();
    const next = async (): Promise<string> => String((await lines.next()).value);
    /** Until it tells of an entry that is made again and again: it listens then. */
    const sync = async (mark: string): Promise<string[]> => {
      const route = file === 'ip' && args.includes('route');
      // What is there already, the kernel does not tell of again.
      const make = (): void => {
        const entry = route ? ['blackhole', `${mark}/32`] : [mark, 'lladdr', '02:00:00:00:00:99', 'dev', 'sx0'];
        for (const verb of ['add', 'del']) ip(route ? 'route' : 'neigh', verb, ...entry);
      };
      const marks = setInterval(make, 20);
      const seen: string[] = [];
      for (let line = await next(); !line.includes(mark); line = await next()) seen.push(line);
      clearInterval(marks);
      return seen;
    };
    await sync('198.51.100.1');
    work();
    const seen = await sync('198.51.100.2');
    return seen.filter((line) => line.includes(word)).map((line) => (line.startsWith('Deleted') ? 'gone' : 'there'));
  } finally {
    monitor.kill();
  }
}

const route = (op: 'add' | 'remove', value: Route): Change => ({ kind: 'route', op, netns: HOST, route: value });

test('a route by the same way with another MTU, and none: replaced in one step, and back', async () => {
  for (const [destination, via] of [
    ['10.244.2.0/24', '192.0.2.2'],
    ['fd44:0:0:2::/64', '2001:db8::2'],
  ] as const) {
    const plain: Route = { destination: parsePrefix(destination), via: parseIp(via), device: 'sx0' };
    const narrow: Route = { ...plain, mtu: 1350 };
    const narrower: Route = { ...plain, mtu: 1300 };
    apply(route('add', plain));
    const word = destination.replace(/\/.*/, '');
    const steps = [
      [plain, narrow, /mtu 1350/],
      [narrow, narrower, /mtu 1300/],
      [narrower, plain, /^(?!.*mtu)/],
    ] as const;
    for (const [from, to, shown] of steps) {
      const seen = await told(['ip', '-o', 'monitor', 'route'], word, () =>
        assert.deepEqual(apply(route('remove', from), route('add', to)), ['changed', 'changed']),
      );
      assert.deepEqual(seen, ['there'], `${destination}: replaced, never gone`);
      const own = ip('-o', destination.includes(':') ? '-6' : '-4', 'route', 'show', destination)
        .trim()
        .split('\n');
      assert.equal(own.length, 1);
      assert.match(own[0] ?? '', shown);
      // It is as wanted now.
      assert.deepEqual(apply(route('add', to)), ['already']);
    }
    assert.match(apply(route('add', narrow))[0] ?? '', /mtu is none, not 1350/);
    assert.deepEqual(apply(route('remove', plain)), ['changed']);
  }
});

test('a forwarding entry with another destination: replaced in one step', async () => {
  const entry = (op: 'add' | 'remove', destination: string): Change => ({
    kind: 'fdb',
    op,
    netns: HOST,
    entry: { device: 'sx0', mac: parseMac('02:00:00:00:00:42'), destination: parseIp(destination) },
  });
  assert.deepEqual(apply(entry('add', '203.0.113.1')), ['changed']);
  const seen = await told(['ip', '-o', 'monitor', 'neigh'], '02:00:00:00:00:42', () =>
    assert.deepEqual(apply(entry('remove', '203.0.113.1'), entry('add', '203.0.113.2')), ['changed', 'changed']),
  );
  assert.ok(!seen.includes('gone'), seen.join());
  const shown = execFileSync('bridge', ['fdb', 'show', 'dev', 'sx0'], { encoding: 'utf8' });
  assert.equal(shown.trim(), '02:00:00:00:00:42 dst 203.0.113.2 self permanent');
  assert.deepEqual(apply(entry('remove', '203.0.113.1')), ['already'], 'the old one has gone');
  assert.deepEqual(apply(entry('remove', '203.0.113.2')), ['changed']);
});

test('a neighbour with another MAC address: replaced in one step', async () => {
  const neighbour = (op: 'add' | 'remove', mac: string): Change => ({
    kind: 'neighbour',
    op,
    netns: HOST,
    neighbour: { device: 'sx0', address: parseIp('10.244.2.0'), mac: parseMac(mac), state: 'permanent' },
  });
  assert.deepEqual(apply(neighbour('add', '02:00:00:00:00:01')), ['changed']);
  const seen = await told(['ip', '-o', 'monitor', 'neigh'], '10.244.2.0', () =>
    assert.deepEqual(apply(neighbour('remove', '02:00:00:00:00:01'), neighbour('add', '02:00:00:00:00:02')), [
      'changed',
      'changed',
    ]),
  );
  assert.ok(!seen.includes('gone'), seen.join());
  assert.match(ip('neigh', 'show', 'dev', 'sx0'), /10\.244\.2\.0 lladdr 02:00:00:00:00:02 PERMANENT/);
  assert.deepEqual(apply(neighbour('remove', '02:00:00:00:00:02')), ['changed']);
});

test('checksum offload of a device: off and on, as ethtool shows it', () => {
  const offload = (checksums: boolean): Change => ({ kind: 'offload', netns: HOST, device: 'sx0', checksums, old: !checksums });
  const shown = (): string =>
    /tx-checksumming: (\w+)/.exec(execFileSync('ethtool', ['-k', 'sx0'], { encoding: 'utf8' }))?.[1] ?? '';
  assert.equal(shown(), 'on');
  assert.deepEqual(apply(offload(true)), ['already']);
  assert.deepEqual([apply(offload(false)), shown(), apply(offload(false))], [['changed'], 'off', ['already']]);
  assert.deepEqual([apply(offload(true)), shown()], [['changed'], 'on']);
  assert.match(apply({ kind: 'offload', netns: HOST, device: 'gone0', checksums: false, old: true })[0] ?? '', /no such device/);
});
