import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Id } from '../../base/ids.ts';
import { parseIfAddress, parseIp, parsePrefix } from '../../base/ip.ts';
import { parseMac } from '../../base/mac.ts';
import { type Change, HOST, type Link } from '../../contracts/change.ts';
import type { HostFacts, LinkState, NetnsState } from '../../contracts/kernel.ts';
import { ownerAlias } from '../../model/names.ts';
import type { NftTable, NftTableState } from '../../nft/types.ts';
import { Actual } from './actual.ts';
import { missing } from './missing.ts';

const SPACE = '/exec/netns/a';
const OWNER = 'ab'.repeat(32) as Id;
const facts = (sysctls: Record<string, string> = {}): HostFacts => ({
  uplink: '',
  uplinkMtu: 1500,
  routes: [],
  addresses: [],
  bridgeNf: null,
  sysctls,
  foreignForward: [],
  resolvConf: '',
  hostname: 'h',
});
const link = (name: string, part: Partial<LinkState> = {}): LinkState => ({
  index: 2,
  name,
  type: 'veth',
  up: true,
  mtu: 1500,
  mac: parseMac('02:00:00:00:00:01'),
  master: '',
  alias: '',
  isolated: false,
  hairpin: false,
  ...part,
});
const space = (netns: string, part: Partial<NetnsState> = {}): NetnsState => ({
  netns,
  identity: netns,
  links: [],
  addresses: [],
  routes: [],
  rules: [],
  neighbours: [],
  fdb: [],
  ...part,
});

const VETH: Link = {
  name: 'vetha',
  kind: { type: 'veth', peer: { name: 'eth0', netns: SPACE, mac: parseMac('02:00:00:00:00:02'), mtu: 1500 } },
  up: true,
  mtu: 1500,
  master: 'br0',
  alias: ownerAlias('', OWNER),
};
const veth: Change = { kind: 'link', op: 'add', netns: HOST, link: VETH };
const address: Change = { kind: 'address', op: 'add', netns: SPACE, device: 'eth0', address: parseIfAddress('10.0.0.2/24') };
const route: Change = {
  kind: 'route',
  op: 'add',
  netns: SPACE,
  route: { destination: parsePrefix('0.0.0.0/0'), via: parseIp('10.0.0.1'), device: 'eth0' },
};
const DESIRED = [veth, address, route];
const connected = { destination: parsePrefix('10.0.0.0/24'), device: 'eth0', source: parseIp('10.0.0.2') };
const hostEnd = link('vetha', { master: 'br0', alias: ownerAlias('', OWNER) });
const eth0 = link('eth0', { mac: parseMac('02:00:00:00:00:02') });
const inside = (part: Partial<NetnsState> = {}): NetnsState =>
  space(SPACE, {
    links: [eth0],
    addresses: [{ device: 'eth0', address: parseIfAddress('10.0.0.2/24'), kernel: false }],
    routes: [connected, { destination: parsePrefix('0.0.0.0/0'), via: parseIp('10.0.0.1'), device: 'eth0' }],
    ...part,
  });

interface Given {
  readonly states?: readonly (NetnsState | null)[];
  readonly tables?: readonly (NftTableState | null)[];
  readonly sysctls?: Record<string, string>;
  readonly unseen?: boolean;
}
const diff = (desired: readonly Change[], given: Given = {}): { change: Change; why: string }[] =>
  missing(
    desired,
    new Actual(given.states ?? [space(HOST, { links: [hostEnd] }), inside()], given.tables ?? [], facts(given.sysctls)),
    {
      unseen: given.unseen ?? false,
    },
  );

test('what is there and right is not touched', () => {
  assert.deepEqual(diff(DESIRED), []);
});

test('what is gone is made again, and what hung off it too', () => {
  const repairs = diff(DESIRED, { states: [space(HOST), inside({ links: [] })] });
  assert.deepEqual(
    repairs.map(({ change }) => change),
    DESIRED,
  );
  assert.equal(repairs[0]?.why, 'it was deleted');
  assert.equal(repairs[1]?.why, 'its device was made anew: it was deleted');
});

test('a way out by a device that stays gives way to one by a device that is made anew', () => {
  const other = { ...route.route, via: parseIp('10.9.0.1'), device: 'eth1' };
  const states = [space(HOST), inside({ links: [], routes: [connected, other] })];
  const repairs = diff(DESIRED, { states });
  assert.deepEqual(
    repairs.map(({ change }) => change),
    [veth, address, { ...route, op: 'remove', route: other }, route],
  );
  assert.equal(repairs[2]?.why, 'it went via 10.9.0.1 on eth1');
  // One that goes with its device need not be removed.
  const gone = [space(HOST), inside({ links: [], routes: [{ ...other, device: 'eth0' }] })];
  assert.deepEqual(
    diff(DESIRED, { states: gone }).map(({ change }) => change),
    DESIRED,
  );
});

test('a namespace that is gone has nothing', () => {
  const wanted: Change[] = [{ kind: 'netns', op: 'add', path: SPACE }, ...DESIRED];
  const changes = diff(wanted, { states: [space(HOST), null] }).map(({ change }) => change);
  assert.deepEqual(changes, wanted);
  assert.deepEqual(diff([{ kind: 'netns-pin', op: 'add', path: SPACE, source: '/proc/1/ns/net' }]), []);
});

test('a veth pair whose other end was moved away is made anew', () => {
  const repairs = diff(DESIRED, { states: [space(HOST, { links: [hostEnd] }), inside({ links: [] })] });
  assert.deepEqual(
    repairs.slice(0, 2).map(({ change }) => change),
    [{ ...veth, op: 'remove' }, veth],
  );
  assert.equal(repairs.length, 4);
});

test('with a lost IPv6 address, what turns IPv6 on there is looked at', () => {
  const key = (device: string): Change => ({
    kind: 'sysctl',
    netns: SPACE,
    key: `net/ipv6/conf/${device}/disable_ipv6`,
    value: '0',
    old: null,
  });
  const [on, other] = [key('eth0'), key('eth1')];
  const six: Change = { kind: 'address', op: 'add', netns: SPACE, device: 'eth0', address: parseIfAddress('fd00::2/64') };
  assert.deepEqual(
    diff([on, other, address, six]).map(({ change }) => change),
    [on, six],
  );
  assert.deepEqual(diff([on, other, address]), []);
});

test('a veth pair whose end here was moved away or renamed goes by its other end, if that is ours, and is made anew', () => {
  const here = (links: readonly LinkState[]) =>
    diff([veth, address], { states: [space(HOST), inside({ links })] }).map(({ change }) => change);
  const kind = { type: 'veth', peer: { name: 'vetha', netns: HOST } } as const;
  const left: Change = { kind: 'link', op: 'remove', netns: SPACE, link: { name: 'eth0', kind, up: false } };
  assert.deepEqual(here([eth0]), [left, veth, address]);
  assert.deepEqual(here([{ ...eth0, mac: parseMac('02:00:00:00:00:99') }]), [veth, address]);
  assert.deepEqual(here([]), [veth, address]);
});

test('attributes that differ are set back, with the old value', () => {
  const states = [space(HOST, { links: [{ ...hostEnd, master: '', up: false }] }), inside({ links: [{ ...eth0, mtu: 9000 }] })];
  assert.deepEqual(diff(DESIRED, { states }), [
    {
      change: {
        kind: 'link-set',
        netns: HOST,
        name: 'vetha',
        value: { up: true, master: 'br0' },
        old: { up: false, master: '' },
      },
      why: 'it was down, its master was none',
    },
    {
      change: { kind: 'link-set', netns: SPACE, name: 'eth0', value: { mtu: 1500 }, old: { mtu: 9000 } },
      why: 'its mtu was 9000',
    },
  ]);
  const set: Change = { kind: 'link-set', netns: SPACE, name: 'eth0', value: { up: true }, old: { up: false } };
  assert.deepEqual(diff([set]), []);
  assert.equal(diff([set], { states: [space(HOST), inside({ links: [{ ...eth0, up: false }] })] }).length, 1);
});

test('a foreign link under our name is not taken for ours', () => {
  for (const part of [{ alias: '' }, { type: 'dummy' }]) {
    const states = [space(HOST, { links: [{ ...hostEnd, ...part }] }), inside()];
    assert.deepEqual(
      diff(DESIRED, { states }).map(({ change }) => change),
      [veth],
    );
    const set: Change = { kind: 'link-set', netns: HOST, name: 'vetha', value: { up: true }, old: { up: false } };
    const down = [space(HOST, { links: [{ ...hostEnd, ...part, up: false }] }), inside()];
    assert.deepEqual(
      diff([veth, set, { ...address, netns: HOST, device: 'vetha' }], { states: down }).map(({ change }) => change),
      [veth],
    );
  }
});

test('a flushed subnet route comes back before what needs it, not on a device that is down', () => {
  const back: Change = { kind: 'route', op: 'add', netns: SPACE, route: connected };
  const flushed = diff(DESIRED, { states: [space(HOST, { links: [hostEnd] }), inside({ routes: [] })] });
  assert.deepEqual(
    flushed.map(({ change }) => change),
    [back, route],
  );
  const down = inside({ routes: [], links: [{ ...eth0, up: false }] });
  assert.deepEqual(diff([veth, address], { states: [space(HOST, { links: [hostEnd] }), down] }), []);
});

test('a route that goes elsewhere is replaced', () => {
  const wrong = { destination: parsePrefix('0.0.0.0/0'), via: parseIp('10.0.0.254'), device: 'eth0' };
  assert.deepEqual(diff([route], { states: [space(HOST), inside({ routes: [connected, wrong] })] }), [
    { change: { ...route, op: 'remove', route: wrong }, why: 'it went via 10.0.0.254 on eth0' },
    { change: route, why: 'it went via 10.0.0.254 on eth0' },
  ]);
  const narrow = { ...route.route, mtu: 1300 };
  assert.deepEqual(
    diff([route], { states: [space(HOST), inside({ routes: [connected, narrow] })] }).map(({ why }) => why),
    ['its MTU was 1300', 'its MTU was 1300'],
  );
  const straight = { destination: parsePrefix('0.0.0.0/0'), device: 'eth0' };
  assert.deepEqual(
    diff([route], { states: [space(HOST), inside({ routes: [connected, straight] })] }).map(({ why }) => why),
    ['it went straight to eth0', 'it went straight to eth0'],
  );
  // Another metric is another place.
  const beside = { ...wrong, metric: 50 };
  assert.deepEqual(
    diff([route], { states: [space(HOST), inside({ routes: [beside] })] }).map(({ change }) => change),
    [route],
  );
});

test('IPv6 routes without a metric are those of metric 1024', () => {
  const six: Change = {
    kind: 'route',
    op: 'add',
    netns: SPACE,
    route: { destination: parsePrefix('::/0'), via: parseIp('fd00::1'), device: 'eth0' },
  };
  const have = { destination: parsePrefix('::/0'), via: parseIp('fd00::1'), device: 'eth0', metric: 1024 };
  assert.deepEqual(diff([six], { states: [space(HOST), inside({ routes: [have] })] }), []);
});

test('rules, neighbours and forwarding entries', () => {
  const rule: Change = { kind: 'rule', op: 'add', netns: HOST, rule: { family: 4, priority: 100, table: 7, fwmark: 1 } };
  const neighbour: Change = {
    kind: 'neighbour',
    op: 'add',
    netns: HOST,
    neighbour: { device: 'vx', address: parseIp('10.0.0.9'), mac: parseMac('02:00:00:00:00:09'), state: 'permanent' },
  };
  const fdb: Change = {
    kind: 'fdb',
    op: 'add',
    netns: HOST,
    entry: { device: 'vx', mac: parseMac('02:00:00:00:00:09'), destination: parseIp('203.0.113.1') },
  };
  assert.deepEqual(
    diff([rule, neighbour, fdb], { states: [space(HOST)] }).map(({ change }) => change),
    [rule, neighbour, fdb],
  );
  const there = space(HOST, { rules: [rule.rule], neighbours: [neighbour.neighbour], fdb: [fdb.entry] });
  assert.deepEqual(diff([rule, neighbour, fdb], { states: [there] }), []);
  const wrong = { ...neighbour.neighbour, mac: parseMac('02:00:00:00:00:0a') };
  assert.deepEqual(
    diff([neighbour], { states: [space(HOST, { neighbours: [wrong] })] }).map(({ change }) => change),
    [{ ...neighbour, op: 'remove', neighbour: wrong }, neighbour],
  );
});

const TABLE: NftTable = {
  family: 'inet',
  name: 'moor',
  sets: [{ name: 'bridges', key: 'ifname' }],
  chains: [
    {
      name: 'forward',
      hook: { type: 'filter', hook: 'forward', priority: 'filter - 10', policy: 'accept' },
      rules: [{ expr: 'accept', comment: 'one' }],
    },
  ],
};
const table: Change = { kind: 'nft-table', op: 'add', table: TABLE };
const element = (key: string, value?: string): Change => ({
  kind: 'nft-element',
  op: 'add',
  table: { family: 'inet', name: 'moor' },
  element: { set: 'bridges', key, ...(value === undefined ? {} : { value }) },
});
const state = (part: Partial<NftTableState> = {}): NftTableState => ({
  family: 'inet',
  name: 'moor',
  chains: { forward: ['one'] },
  sets: { bridges: { '"br0"': '' } },
  ...part,
});

test('the table and its elements', () => {
  const desired = [table, element('"br0"')];
  assert.deepEqual(diff(desired, { tables: [state()] }), []);
  assert.deepEqual(
    diff(desired, { tables: [null] }).map(({ change }) => change),
    desired,
  );
  const why = (given: NftTableState): string | undefined => diff([table], { tables: [given] })[0]?.why;
  assert.equal(why(state({ sets: {} })), 'its set bridges was deleted');
  assert.equal(why(state({ chains: {} })), 'its chain forward was deleted');
  assert.equal(why(state({ chains: { forward: ['one', ''] } })), 'the rules of its chain forward were changed');
  assert.equal(why(state({ chains: { forward: ['one'], wire: ['old'] } })), 'chain wire does not belong to it');
  assert.equal(why(state({ drops: ['forward'] })), 'the policy of its chain forward was drop');
  assert.deepEqual(
    diff([element('"br1"')], { tables: [state()] }).map(({ change }) => change),
    [element('"br1"')],
  );
  assert.deepEqual(
    diff([element('"br0"', 'accept')], { tables: [state({ sets: { bridges: { '"br0"': 'drop' } } })] }).map(
      ({ change }) => change,
    ),
    [{ ...element('"br0"', 'drop'), op: 'remove' }, element('"br0"', 'accept')],
  );
});

test('a rule in a chain of others is put back only while the chain exists', () => {
  const rule: Change = {
    kind: 'nft-rule',
    op: 'add',
    family: 'ip',
    table: 'filter',
    chain: 'DOCKER-USER',
    rule: { expr: 'accept', comment: 'moor' },
  };
  const filter = (rules: string[]): NftTableState => ({
    family: 'ip',
    name: 'filter',
    chains: { 'DOCKER-USER': rules },
    sets: {},
  });
  assert.equal(diff([rule], { tables: [filter([''])] }).length, 1);
  assert.deepEqual(diff([rule], { tables: [filter(['moor', ''])] }), []);
  assert.deepEqual(diff([rule], { tables: [null] }), []);
});

test('sysctls and files: what no snapshot shows is left to the executor, when asked for', () => {
  const key = 'net/ipv4/ip_forward';
  const sysctl: Change = { kind: 'sysctl', netns: HOST, key, value: '1', old: '0' };
  const inner: Change = { kind: 'sysctl', netns: SPACE, key: 'net/ipv6/conf/eth0/disable_ipv6', value: '1', old: null };
  const file: Change = { kind: 'file', path: '/x', value: 'a', old: null };
  assert.deepEqual(diff([sysctl], { sysctls: { [key]: '1' } }), []);
  assert.deepEqual(diff([sysctl], { sysctls: { [key]: '0' } }), [{ change: sysctl, why: 'it was 0' }]);
  assert.deepEqual(diff([inner, file, sysctl]), []);
  assert.deepEqual(
    diff([inner, file], { unseen: true }).map(({ change }) => change),
    [inner, file],
  );
  // A device that is made anew has lost its sysctls.
  assert.ok(diff([veth, inner], { states: [space(HOST), inside()] }).some(({ change }) => change === inner));
});
