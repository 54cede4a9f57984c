/** Notifications, on this thread: what waits in the socket is under the test's control. */
import '../../test/support/isolated.ts';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { parseIfAddress, parseIp, parsePrefix } from '../base/ip.ts';
import { type Change, HOST } from '../contracts/change.ts';
import type { KernelEvent } from '../contracts/kernel.ts';
import { type Machine, applyList } from './apply.ts';
import { openNftRunner } from './nft-run.ts';
import { Spaces } from './spaces.ts';
import { Watch } from './watch.ts';
import { Watched } from './watched.ts';

const root = mkdtempSync(join(tmpdir(), 'moor-watch-'));
after(() => rmSync(root, { recursive: true, force: true }));

const ip = (...args: readonly string[]): string => execFileSync('ip', args, { encoding: 'utf8' });
const nft = (...args: readonly string[]): string => execFileSync('nft', args, { encoding: 'utf8' });

const TABLE = { family: 'inet', name: 'moortest' } as const;
const BRIDGE: Change = {
  kind: 'link',
  op: 'add',
  netns: HOST,
  link: { name: 'tb0', up: true, alias: 'moor:test:x', kind: { type: 'bridge' } },
};
const ADDRESS: Change = { kind: 'address', op: 'add', netns: HOST, device: 'tb0', address: parseIfAddress('192.0.2.1/24') };

interface Setup extends Disposable {
  readonly watch: Watch;
  readonly apply: (changes: readonly Change[]) => void;
  /** Events since the last call. */
  readonly news: () => readonly KernelEvent[];
}

function setup(forceProgram = false): Setup {
  const stack = new DisposableStack();
  const spaces = stack.use(new Spaces());
  const runner = stack.use(openNftRunner(forceProgram));
  const machine: Machine = { spaces, nft: runner, roots: [root] };
  const events: KernelEvent[] = [];
  const watch = stack.use(new Watch({ spaces, nft: runner, emit: (event) => events.push(event) }));
  return {
    watch,
    apply(changes) {
      watch.before();
      const results = applyList(machine, changes, false);
      assert.deepEqual(
        results.map(({ state }) => state),
        changes.map(() => 'changed'),
      );
      watch.after(changes, results);
    },
    news() {
      watch.drain();
      return events.splice(0);
    },
    [Symbol.dispose]: () => stack.dispose(),
  };
}

const undo = (change: Change): Change => ({ ...change, op: 'remove' }) as Change;
const table = {
  kind: 'nft-table',
  op: 'add',
  table: { ...TABLE, sets: [{ name: 's', key: 'ifname' }], chains: [] },
} as const satisfies Change;
const element: Change = { kind: 'nft-element', op: 'add', table: TABLE, element: { set: 's', key: '"tb0"' } };

for (const forceProgram of [false, true]) {
  test(`our own changes are no news (${forceProgram ? 'nft program' : 'libnftables'}), those of others are`, () => {
    using it = setup(forceProgram);
    it.apply([table, BRIDGE, ADDRESS, element]);
    assert.deepEqual(it.news(), []);
    it.apply([undo(element)]);
    assert.deepEqual(it.news(), []);
    nft('add', 'element', 'inet', 'moortest', 's', '{ "x" }');
    assert.deepEqual(it.news(), [{ type: 'nft', table: TABLE }]);
    ip('addr', 'del', '192.0.2.1/24', 'dev', 'tb0');
    assert.deepEqual(it.news()[0], { type: 'address', netns: HOST, device: 'tb0' });
    it.apply([ADDRESS]);
    assert.deepEqual(it.news(), []);
    ip('link', 'set', 'tb0', 'down');
    assert.deepEqual(it.news()[0], { type: 'link', netns: HOST, name: 'tb0', gone: false });
    ip('link', 'set', 'tb0', 'up');
    it.news();
    ip('link', 'set', 'tb0', 'mtu', '1400');
    assert.deepEqual(it.news(), [{ type: 'link', netns: HOST, name: 'tb0', gone: false }]);
    it.apply([{ kind: 'link-set', netns: HOST, name: 'tb0', value: { mtu: 1450 }, old: { mtu: 1400 } }]);
    assert.deepEqual(it.news(), []);
    ip('route', 'add', 'blackhole', '198.51.100.0/24');
    assert.deepEqual(it.news(), [{ type: 'route', netns: HOST, device: '' }]);
    ip('route', 'del', 'blackhole', '198.51.100.0/24');
    it.news();
    it.apply([undo(ADDRESS), undo(BRIDGE), undo(table)]);
    assert.deepEqual(it.news(), []);
  });
}

for (const forceProgram of [false, true]) {
  test(`tables in a sandbox: ours are no news (${forceProgram ? 'nft program' : 'libnftables'}), those of others are, with where`, () => {
    using it = setup(forceProgram);
    const path = join(root, `netns/inner-${forceProgram}`);
    const netns: Change = { kind: 'netns', op: 'add', path };
    const rules = [{ expr: 'udp dport 53 accept', comment: 'dns' }];
    const inner = { ...table, table: { ...TABLE, sets: [], chains: [{ name: 'c', rules }] }, netns: path };
    it.apply([netns]);
    it.watch.observe([path]);
    it.apply([inner, table]);
    it.apply([undo(table)]);
    assert.deepEqual(it.news(), []);
    execFileSync('nsenter', [`--net=${path}`, 'nft', 'flush', 'ruleset']);
    assert.deepEqual(it.news(), [{ type: 'nft', table: TABLE, netns: path }]);
    it.apply([inner]);
    it.apply([undo(inner)]);
    assert.deepEqual(it.news(), []);
    it.watch.forget([path]);
    execFileSync('nsenter', [`--net=${path}`, 'nft', 'add', 'table', 'inet', 'other']);
    assert.deepEqual(it.news(), [], 'nobody asked about this one any more');
    it.apply([undo(netns)]);
  });
}

test('a route that goes another way is news, and so is the end of ours after one of another metric came and went', () => {
  using it = setup();
  const via = (last: number): Change => ({
    kind: 'route',
    op: 'add',
    netns: HOST,
    route: { destination: parsePrefix('198.51.100.0/24'), via: parseIp(`192.0.2.${last}`), device: 'tb0' },
  });
  it.apply([BRIDGE, ADDRESS, via(7)]);
  assert.deepEqual(it.news(), []);
  const told = [{ type: 'route', netns: HOST, device: 'tb0' }];
  ip('route', 'replace', '198.51.100.0/24', 'via', '192.0.2.8');
  assert.deepEqual(it.news(), told);
  it.apply([undo(via(8)), via(7)]);
  assert.deepEqual(it.news(), []);
  ip('route', 'add', '198.51.100.0/24', 'via', '192.0.2.9', 'metric', '100');
  assert.deepEqual(it.news(), told);
  ip('route', 'del', '198.51.100.0/24', 'via', '192.0.2.9', 'metric', '100');
  assert.deepEqual(it.news(), told);
  ip('route', 'del', '198.51.100.0/24', 'via', '192.0.2.7');
  assert.deepEqual(it.news(), told);
  ip('link', 'del', 'tb0');
});

test('what somebody undoes is news, although it is our own change and its echo has not been read', () => {
  using it = setup();
  it.apply([BRIDGE, ADDRESS]);
  it.apply([undo(ADDRESS), ADDRESS]);
  ip('addr', 'del', '192.0.2.1/24', 'dev', 'tb0');
  ip('addr', 'add', '192.0.2.1/24', 'dev', 'tb0');
  ip('link', 'set', 'tb0', 'down');
  // The next list begins with what is waiting.
  it.watch.before();
  assert.ok(it.news().some((event) => event.type === 'link' && event.name === 'tb0' && !event.gone));
  ip('link', 'del', 'tb0');
  assert.deepEqual(it.news().at(-1), { type: 'link', netns: HOST, name: 'tb0', gone: true });
});

test('lost notifications: everything is read anew, and the next one is understood', () => {
  using it = setup();
  it.apply([BRIDGE, ADDRESS]);
  const file = join(root, 'batch');
  writeFileSync(file, Array.from({ length: 12_000 }, (_, i) => `link set tb0 mtu ${1400 + (i % 2)}\n`).join(''));
  ip('-batch', file);
  ip('addr', 'del', '192.0.2.1/24', 'dev', 'tb0');
  const events = it.news();
  assert.ok(
    events.some(({ type }) => type === 'overrun'),
    JSON.stringify(events.slice(0, 5)),
  );
  it.apply([ADDRESS]);
  assert.deepEqual(it.news(), []);
  ip('addr', 'del', '192.0.2.1/24', 'dev', 'tb0');
  assert.deepEqual(it.news()[0], { type: 'address', netns: HOST, device: 'tb0' });
  ip('link', 'del', 'tb0');
});

test('what is told of the other end of a pair after its removal is no news', () => {
  using spaces = new Spaces();
  const watched = new Watched('/run/netns/x');
  const told = { type: 'link', nsid: 1, index: 4711, name: 'eth0', master: 0, alias: '', mtu: 1500, port: false } as const;
  spaces.host.bear('eth0', told.index);
  watched.absorbPeer('add', { name: 'eth0' }, spaces.host);
  watched.absorbPeer('remove', { name: 'eth0' }, null);
  assert.equal(watched.compare({ ...told, gone: false, up: false }), null, 'it goes down');
  assert.equal(watched.compare({ ...told, gone: true, up: false }), null, 'it goes');
  const news = watched.compare({ ...told, gone: false, up: true });
  assert.deepEqual(news, { type: 'link', netns: '/run/netns/x', name: 'eth0', gone: false }, 'the next one under its index');
});
