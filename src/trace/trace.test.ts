/** Rulesets as nft lists them, followed without a kernel: what cannot be decided, and what is very large. Packets are the test in test/netns/exposure-*. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIfAddress, parsePrefix } from '../base/ip.ts';
import type { Json } from '../nft/json.ts';
import { parseRuleset, type Ruleset } from '../nft/ruleset.ts';
import { Host, valueOfIp } from './host.ts';
import { type Intervals, one } from './intervals.ts';
import { ownerOf } from './owner.ts';
import { Tracer } from './path.ts';
import { type Piece, pieces } from './pieces.ts';

const HOST = new Host({
  links: ['lo', 'eth0', 'br0'].map((name, at) => ({
    index: at + 1,
    name,
    type: name === 'br0' ? 'bridge' : '',
    up: true,
    mtu: 1500,
    mac: '',
    master: '',
    alias: '',
    isolated: false,
    hairpin: false,
  })),
  addresses: [
    { device: 'eth0', address: parseIfAddress('192.0.2.1/24'), kernel: false },
    { device: 'br0', address: parseIfAddress('10.1.0.1/24'), kernel: false },
  ],
  routes: [
    { destination: parsePrefix('0.0.0.0/0'), device: 'eth0' },
    { destination: parsePrefix('192.0.2.0/24'), device: 'eth0' },
    { destination: parsePrefix('10.1.0.0/24'), device: 'br0' },
  ],
  sysctls: { 'net/ipv4/ip_forward': '1' },
});

const rule = (expr: readonly Json[], chain = 'forward'): Json => ({ rule: { family: 'ip', table: 't', chain, handle: 7, expr } });
const forward = (policy: string): Json => ({
  chain: { family: 'ip', table: 't', name: 'forward', handle: 1, type: 'filter', hook: 'forward', prio: 0, policy },
});

function ruleset(...entries: readonly Json[]): Ruleset {
  return parseRuleset([{ family: 'ip', name: 't', handle: 1 }], { listings: [JSON.stringify({ nftables: entries })] });
}

function ask(rules: Ruleset, peer: Intervals = one(valueOfIp('192.0.2.9'))): readonly Piece[] {
  const assumed = {
    address: valueOfIp('10.1.0.2'),
    port: 80n,
    by: { family: 'inet', table: 'moor', chain: 'published', handle: null },
  };
  const probe = {
    family: 4,
    protocol: 'tcp',
    device: HOST.device('eth0'),
    peer,
    address: valueOfIp('192.0.2.1'),
    port: 8080,
    assumed,
  } as const;
  return pieces(peer, new Tracer(rules, HOST).trace(probe));
}

const verdicts = (list: readonly Piece[]): readonly string[] =>
  list.map(({ verdict, on }) => verdict?.type ?? `depends on ${on.join(', ')}`);
const UNKNOWN: Json = { xt: { type: 'match', name: 'statistic' } };
const NUMGEN: Json = { match: { op: '==', left: { numgen: { mode: 'random', mod: 2, offset: 0 } }, right: 0 } };
const accept: Json = { accept: null };
const drop: Json = { drop: null };

test('what cannot be decided matters only where it makes a difference', () => {
  const cases: readonly (readonly [policy: string, rules: readonly (readonly Json[])[], said: string])[] = [
    ['accept', [[UNKNOWN, drop]], 'depends on xt match statistic'],
    ['accept', [[UNKNOWN, accept]], 'reaches'],
    ['drop', [[UNKNOWN, drop]], 'dropped'],
    ['drop', [[UNKNOWN, accept], [accept]], 'reaches'],
    ['accept', [[UNKNOWN, { counter: null }], [NUMGEN, { reject: null }], [drop]], 'depends on numgen'],
    [
      'accept',
      [
        [UNKNOWN, { mangle: { key: { meta: { key: 'mark' } }, value: 1 } }],
        [{ match: { op: '==', left: { meta: { key: 'mark' } }, right: 1 } }, drop],
      ],
      'depends on xt match statistic',
    ],
    ['accept', [[{ nonsense: { of: 'tomorrow' } }, drop]], 'depends on nonsense'],
    ['accept', [[{ queue: { num: 3 } }]], 'reaches'],
    ['accept', [[{ jump: { target: 'nowhere' } }]], 'reaches'],
    [
      'accept',
      [[{ match: { op: '==', left: { payload: { protocol: 'tcp', field: 'sport' } }, right: 2000 } }, drop]],
      'depends on the source port',
    ],
  ];
  for (const [policy, rules, said] of cases)
    assert.deepEqual(verdicts(ask(ruleset(forward(policy), ...rules.map((expr) => rule(expr))))), [said], JSON.stringify(rules));
});

test('marks of connections, and groups of devices', () => {
  const ctMark = { ct: { key: 'mark' } };
  const set = { mangle: { key: ctMark, value: { '|': [ctMark, 4096] } } };
  const marked = { match: { op: '==', left: { '&': [ctMark, 4096] }, right: 4096 } };
  const group = (op: string, right: number): Json => ({ match: { op, left: { meta: { key: 'oifgroup' } }, right } });
  const syn = { match: { op: 'in', left: { payload: { protocol: 'tcp', field: 'flags' } }, right: 'syn' } };
  const established = { match: { op: 'in', left: { ct: { key: 'state' } }, right: 'established' } };
  const cases: readonly (readonly [rules: readonly (readonly Json[])[], said: string])[] = [
    // The request sets it, and its answer and what follows are known by it.
    [
      [
        [marked, accept],
        [{ match: { op: 'in', left: { ct: { key: 'state' } }, right: 'new' } }, set, accept],
      ],
      'reaches',
    ],
    [[[marked, accept], [established, drop], [accept]], 'dropped'],
    // What follows has no SYN.
    [[[syn, accept], [marked, accept], [drop]], 'dropped'],
    [[[syn, set, accept], [marked, accept], [drop]], 'reaches'],
    [[[group('!=', 5), accept]], 'reaches'],
    [[[group('==', 5), accept]], 'dropped'],
    [[[group('==', 0), accept]], 'reaches'],
  ];
  for (const [rules, said] of cases)
    assert.deepEqual(verdicts(ask(ruleset(forward('drop'), ...rules.map((expr) => rule(expr))))), [said], JSON.stringify(rules));
});

test('a blocklist of 100,000 addresses is one look', () => {
  const elem = Array.from({ length: 100_000 }, (_, at) => `${11 + (at % 80)}.${(at >> 8) & 255}.${at & 255}.${at % 250}`);
  const set = { set: { family: 'ip', table: 't', name: 'blocked', type: 'ipv4_addr', handle: 2, elem } };
  const listed = rule([{ match: { op: '==', left: { payload: { protocol: 'ip', field: 'saddr' } }, right: '@blocked' } }, drop]);
  const [some = '', other = '203.0.113.1'] = [elem[5000]];
  const said = ask(ruleset(forward('accept'), set, listed), [[1n, (1n << 32n) - 1n]]);
  const of = (address: string): string | undefined =>
    said.find(({ peer }) => peer.some(([from, to]) => from <= valueOfIp(address) && valueOfIp(address) <= to))?.verdict?.type;
  assert.deepEqual([said.length, of(some), of(other)], [2, 'dropped', 'reaches']);
});

test('many rules that each may match do not multiply', () => {
  const many = Array.from({ length: 200 }, (_, at) =>
    rule([UNKNOWN, { mangle: { key: { meta: { key: 'mark' } }, value: { '|': [{ meta: { key: 'mark' } }, 1 << (at % 20)] } } }]),
  );
  assert.deepEqual(verdicts(ask(ruleset(forward('drop'), ...many, rule([accept])))), ['reaches']);
});

test('whose rules they are', () => {
  const table = (name: string, ...chains: readonly string[]): Parameters<typeof ownerOf>[1] => ({
    family: 'ip',
    name,
    handle: 1,
    sets: new Map(),
    chains: new Map(chains.map((chain) => [chain, { name: chain, handle: 1, hook: null, rules: [] }])),
  });
  const cases: readonly (readonly [
    table: string,
    chain: string,
    handle: number | null,
    chains: readonly string[],
    owner: string,
  ])[] = [
    ['moor', 'forward', 1, [], 'Moorline'],
    ['moor_keep', 'prerouting', 1, [], 'Moorline'],
    ['firewalld', 'filter_FORWARD', 5, [], 'firewalld'],
    ['filter', 'DOCKER-USER', 5, [], 'Docker'],
    ['filter', 'ufw6-user-forward', 5, [], 'ufw'],
    ['filter', 'FORWARD', null, ['DOCKER', 'DOCKER-USER'], 'Docker'],
    ['filter', 'FORWARD', null, ['DOCKER', 'ufw-user-forward'], 'ufw'],
    ['filter', 'FORWARD', 9, ['DOCKER', 'ufw-user-forward'], 'hand-written rules'],
    ['filter', 'INPUT', null, ['DOCKER'], 'hand-written rules'],
    ['filter', 'LIBVIRT_FWI', 9, [], 'libvirt'],
    ['f2b-table', 'f2b-chain', 9, [], 'fail2ban'],
    ['mine', 'forward', null, [], 'hand-written rules'],
  ];
  for (const [name, chain, handle, chains, owner] of cases)
    assert.equal(ownerOf({ family: 'ip', table: name, chain, handle }, table(name, ...chains), 'moor'), owner);
});
