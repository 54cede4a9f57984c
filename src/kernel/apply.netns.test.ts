/** What the conformance suite cannot arrange: collisions, half-made links, limits of the whole machine. */
import '../../test/support/isolated.ts';
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, afterEach, before, test } from 'node:test';
import { parseIfAddress, parseIp, parsePrefix } from '../base/ip.ts';
import { type Change, HOST, type Link } from '../contracts/change.ts';
import type { Applied } from '../contracts/kernel.ts';
import { type Machine, applyList } from './apply.ts';
import { openNftRunner } from './nft-run.ts';
import { Spaces } from './spaces.ts';

const root = mkdtempSync(join(tmpdir(), 'moor-apply-'));
let machine: Machine & { readonly spaces: Spaces };

before(() => {
  machine = { spaces: new Spaces(), nft: openNftRunner(), roots: [root] };
});
afterEach(() => {
  for (const name of ['tb0', 'tb1', 'tb2', 'tv0', 'taken']) {
    try {
      execFileSync('ip', ['link', 'del', name], { stdio: 'ignore' });
    } catch {
      // not made by this test
    }
  }
  machine.spaces.rest();
});
after(() => {
  machine.spaces[Symbol.dispose]();
  machine.nft[Symbol.dispose]();
  rmSync(root, { recursive: true, force: true });
});

const ip = (...args: readonly string[]): string => execFileSync('ip', args, { encoding: 'utf8' });
const names = (): readonly string[] => (JSON.parse(ip('-j', 'link')) as { ifname: string }[]).map(({ ifname }) => ifname);
const link = (value: Partial<Link> & { readonly name: string }, op: 'add' | 'remove' = 'add'): Change => ({
  kind: 'link',
  op,
  netns: HOST,
  link: { up: true, kind: { type: 'bridge' }, ...value },
});
const apply = (changes: readonly Change[], keepGoing = false): readonly Applied[] => applyList(machine, changes, keepGoing);
const states = (results: readonly Applied[]): readonly string[] =>
  results.map((result) => (result.state === 'failed' ? result.error.message : result.state));

test('an index that somebody has is not used, and what names the link follows', () => {
  assert.deepEqual(states(apply([link({ name: 'tb0' })])), ['changed']);
  const [shown] = JSON.parse(ip('-j', 'link', 'show', 'tb0')) as { ifindex: number }[];
  ip('link', 'add', 'taken', 'index', String((shown?.ifindex ?? 0) + 1), 'type', 'bridge');
  const changes: readonly Change[] = [
    link({ name: 'tb1', alias: 'moor:test:x' }),
    { kind: 'address', op: 'add', netns: HOST, device: 'tb1', address: parseIfAddress('192.0.2.1/24') },
    link({ name: 'tv0', master: 'tb1', kind: { type: 'veth', peer: { name: 'tb2', netns: HOST } } }),
  ];
  assert.deepEqual(states(apply(changes)), ['changed', 'changed', 'changed']);
  assert.match(ip('addr', 'show', 'tb1'), /192\.0\.2\.1\/24/);
  assert.match(ip('link', 'show', 'tv0'), /master tb1/);
  assert.doesNotMatch(ip('addr', 'show', 'taken'), /192\.0\.2/);
});

test('where a link was is only a guess: one that has its name by now is found, one that lost it is not taken for it', () => {
  const port = link({ name: 'tv0', master: 'tb0', kind: { type: 'veth', peer: { name: 'tb2', netns: HOST } } });
  assert.deepEqual(states(apply([link({ name: 'tb0' })])), ['changed']);
  // Not made by the same list: this one has to find it.
  assert.deepEqual(states(apply([port])), ['changed']);
  ip('link', 'del', 'tv0');
  ip('link', 'set', 'tb0', 'down');
  ip('link', 'set', 'tb0', 'name', 'tb1');
  assert.match(states(apply([port]))[0] ?? '', /no device tb0$/);
  ip('link', 'add', 'tb0', 'type', 'bridge');
  assert.deepEqual(states(apply([port])), ['changed']);
  assert.match(ip('link', 'show', 'tv0'), /master tb0/);
});

test('a default route that takes the place of another is there before that goes', async () => {
  apply([
    link({ name: 'tv0', kind: { type: 'veth', peer: { name: 'tb2', netns: HOST } } }),
    { kind: 'link-set', netns: HOST, name: 'tb2', value: { up: true }, old: { up: false } },
    ...['192.0.2.1/24', '2001:db8::1/64'].map(
      (address): Change => ({
        kind: 'address',
        op: 'add',
        netns: HOST,
        device: 'tv0',
        address: parseIfAddress(address),
        nodad: true,
      }),
    ),
  ]);
  const route = (op: 'add' | 'remove', destination: string, via: string): Change => ({
    kind: 'route',
    op,
    netns: HOST,
    route: { destination: parsePrefix(destination), via: parseIp(via), device: 'tv0' },
  });
  for (const [destination, one, two] of [
    ['0.0.0.0/0', '192.0.2.2', '192.0.2.3'],
    ['::/0', '2001:db8::2', '2001:db8::3'],
  ] as const) {
    apply([route('add', destination, one)]);
    const monitor = spawn('ip', ['-o', 'monitor', 'route'], { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      const lines = createInterface({ input: monitor.stdout })[Symbol.asyncIterator]();
      const next = async (): Promise<string> => String((await lines.next()).value);
      // It listens when it tells of something.
      const marks = setInterval(() => void execFileSync('ip', ['route', 'replace', 'blackhole', '198.51.100.0/24']), 20);
      while (!(await next()).includes('198.51.100.0/24'));
      clearInterval(marks);
      const changes = [route('remove', destination, one), route('add', destination, two)];
      assert.deepEqual(states(apply(changes)), ['changed', 'changed']);
      const seen: string[] = [];
      while (seen.length < 2) {
        const line = await next();
        if (!line.includes('default')) continue;
        const gone = line.startsWith('Deleted');
        // For a moment IPv6 has both, and shares between them.
        assert.ok(line.includes(gone ? one : two), line);
        seen.push(gone ? 'gone' : 'there');
      }
      assert.deepEqual(seen, ['there', 'gone']);
    } finally {
      monitor.kill();
    }
    const shown = ip(destination === '::/0' ? '-6' : '-4', 'route', 'show', 'default');
    assert.match(shown, new RegExp(`^default via ${two} [^\\n]*\\n$`));
    // Once more: the old one has gone, the new one is there.
    assert.deepEqual(states(apply([route('remove', destination, one), route('add', destination, two)])), ['already', 'already']);
    ip('route', 'del', 'blackhole', '198.51.100.0/24');
  }
});

const [major = 0, minor = 0] = release().split('.').map(Number);
const olderKernel = major < 6 || (major === 6 && minor < 8) ? 'Linux before 6.8 cannot be asked for it' : false;

test('a new port of a bridge forwards when the list is through', { skip: olderKernel }, () => {
  // sysfs says what is, without making it so.
  const device = (name: string, file: string): string => readFileSync(`/sys/class/net/${name}/${file}`, 'utf8').trim();
  for (let i = 0; i < 40; i++) {
    const changes: readonly Change[] = [
      link({ name: 'tb0' }),
      link({ name: 'tv0', master: 'tb0', kind: { type: 'veth', peer: { name: 'tb2', netns: HOST } } }),
      { kind: 'link-set', netns: HOST, name: 'tb2', value: { up: true }, old: { up: false } },
    ];
    assert.deepEqual(states(apply(changes)), ['changed', 'changed', 'changed']);
    // BR_STATE_FORWARDING, <linux/if_bridge.h>
    const found = [device('tv0', 'brport/state'), device('tv0', 'operstate'), device('tb0', 'operstate')];
    assert.deepEqual(found, ['3', 'up', 'up'], `time ${i}`);
    apply([link({ name: 'tv0' }, 'remove'), link({ name: 'tb0' }, 'remove')]);
  }
});

test('a key that may only be read is right or refused', () => {
  const key = 'kernel/osrelease';
  const value = readFileSync(`/proc/sys/${key}`, 'utf8').trim();
  const sysctl = (wanted: string): Change => ({ kind: 'sysctl', netns: HOST, key, value: wanted, old: null });
  assert.deepEqual(states(apply([sysctl(value)])), ['already']);
  assert.match(states(apply([sysctl('0')]))[0] ?? '', /^sysctl -w kernel\.osrelease=0: .*\((?:EACCES|EPERM)\)$/);
});

test('a link that cannot be finished is not left half made', () => {
  const [result] = apply([link({ name: 'tb0', alias: 'x'.repeat(300) })]);
  assert.ok(result?.state === 'failed', JSON.stringify(result));
  assert.ok(!names().includes('tb0'));
  const [port] = apply([link({ name: 'tb1', isolated: true })]);
  assert.ok(port?.state === 'failed', 'a bridge is no port of a bridge');
  assert.ok(!names().includes('tb1'));
});

test('a table with many elements is made at once; one that cannot be is told, and does not keep the others', () => {
  const table = { family: 'inet', name: 'moor_apply_test' } as const;
  const named = {
    ...table,
    sets: [
      { name: 'nets', key: 'ipv4_addr', flags: ['interval'] },
      { name: 'names', key: 'ifname', value: 'verdict' },
    ],
    chains: [],
  } as const;
  const element = (set: string, key: string, value?: string): Change => ({
    kind: 'nft-element',
    op: 'add',
    table,
    element: { set, key, ...(value === undefined ? {} : { value }) },
  });
  const list = (count: number, wrong?: Change): Change[] => [
    { kind: 'nft-table', op: 'add', table: named },
    ...Array.from({ length: count }, (_, i) => element('nets', `10.${i}.0.0/16`)),
    ...(wrong === undefined ? [] : [wrong]),
    ...Array.from({ length: count }, (_, i) => element('names', `"if${i}"`, 'accept')),
  ];
  const listed = (): number =>
    execFileSync('nft', ['list', 'table', 'inet', table.name], { encoding: 'utf8' }).match(/10\.\d+\.0\.0\/16|"if\d+" : accept/g)
      ?.length ?? 0;
  const remove = (): readonly Applied[] => apply([{ kind: 'nft-table', op: 'remove', table: named }]);
  try {
    assert.deepEqual([...new Set(states(apply(list(200))))], ['changed']);
    assert.equal(listed(), 400);
    assert.deepEqual([...new Set(states(apply(list(200))))], ['already']);
    for (const [wrong, why] of [
      [element('nets', 'no address'), /no address|resolve/],
      [element('nets', '10.7.1.0/24'), /conflicting|overlaps/],
      [element('nosuchset', '1.2.3.4'), /No such file/],
      [element('nets', '10.0.0.0/8 }; flush ruleset; {'), /./],
    ] as const) {
      remove();
      const results = states(apply(list(100, wrong), true));
      assert.match(results[101] ?? '', why);
      assert.deepEqual([...new Set(results.toSpliced(101, 1))], ['changed'], JSON.stringify(wrong));
      assert.equal(listed(), 200);
    }
  } finally {
    remove();
  }
});

test('many removals at once: those that cannot be, do not keep the others', () => {
  apply([link({ name: 'tb0' }), link({ name: 'tb1' })]);
  const results = apply(
    ['tb0', 'lo', 'nosuch', 'tb1'].map((name) => link({ name }, 'remove')),
    true,
  );
  assert.deepEqual(
    results.map(({ state }) => state),
    ['changed', 'failed', 'already', 'changed'],
  );
  assert.deepEqual(
    names().filter((name) => name.startsWith('tb')),
    [],
  );
});

test('the other end of a pair is somebody else’s', () => {
  ip('link', 'add', 'tb0', 'type', 'bridge');
  const [result] = apply([link({ name: 'tv0', kind: { type: 'veth', peer: { name: 'tb0', netns: HOST } } })]);
  assert.ok(result?.state === 'failed' && result.error.kind === 'conflict', JSON.stringify(result));
  assert.match(result.error.message, /tb0 in host is not the other end of tv0$/);
  assert.ok(!names().includes('tv0'));
});

test('errors carry the whole change and what the kernel said', () => {
  const [result] = apply([
    {
      kind: 'route',
      op: 'add',
      netns: HOST,
      route: { destination: '198.51.100.0/24' as never, via: parseIp('203.0.113.1'), device: 'lo' },
    },
  ]);
  assert.ok(result?.state === 'failed');
  assert.equal(
    result.error.message,
    'ip route add 198.51.100.0/24 via 203.0.113.1 dev lo: Nexthop has invalid gateway (ENETUNREACH)',
  );
  assert.equal(result.error.kernel?.extack, 'Nexthop has invalid gateway');
  assert.equal(result.error.kernel.operation, 'ip route add 198.51.100.0/24 via 203.0.113.1 dev lo');
});

test('sysctl: keys stay below /proc/sys', () => {
  for (const key of ['net/../kernel/hostname', '../etc/passwd', 'net', '/net/ipv4/ip_forward', 'net/ipv4/ip_forward\n']) {
    const [result] = apply([{ kind: 'sysctl', netns: HOST, key, value: '1', old: null }]);
    assert.ok(result?.state === 'failed' && result.error.kind === 'invalid', key);
  }
});

test('nft: text that could be more than it says is refused before anything is sent', () => {
  const table = { family: 'inet', name: 'moortest' } as const;
  const results = apply([
    { kind: 'nft-table', op: 'add', table: { ...table, sets: [], chains: [] } },
    { kind: 'nft-element', op: 'add', table, element: { set: 's', key: '"a" }; flush ruleset' } },
  ]);
  assert.equal(results[0]?.state, 'skipped');
  assert.ok(results[1]?.state === 'failed' && results[1].error.kind === 'invalid');
  assert.equal(execFileSync('nft', ['list', 'tables'], { encoding: 'utf8' }), '');
});
