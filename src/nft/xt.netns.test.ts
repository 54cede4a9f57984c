/** What iptables puts into the kernel, read back in nft's terms. */
import '../../test/support/isolated.ts';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { openNftRunner } from '../kernel/nft-run.ts';
import { readRuleset } from '../kernel/ruleset.ts';
import type { Json } from './json.ts';

const match = (left: Json, right: Json, op = '=='): Json => ({ match: { op, left, right } });
const payload = (protocol: string, field: string): Json => ({ payload: { protocol, field } });
const state = (right: readonly string[], op = 'in'): Json => match({ ct: { key: 'xt state' } }, right, op);
const mark: Json = { meta: { key: 'mark' } };
const accept: Json = { accept: null };
const TCP = match({ meta: { key: 'l4proto' } }, 'tcp');

/** Arguments of iptables behind the chain -> statements, without counters. */
const RULES: readonly (readonly [table: string, words: string, expr: readonly Json[]])[] = [
  ['filter', '-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT', [state(['established', 'related']), accept]],
  ['filter', '-m conntrack ! --ctstate NEW,DNAT -j ACCEPT', [state(['new', 'dnat'], 'not in'), accept]],
  [
    'filter',
    '-m conntrack --ctstatus SEEN_REPLY,CONFIRMED -j ACCEPT',
    [match({ ct: { key: 'status' } }, ['seen-reply', 'confirmed'], 'in'), accept],
  ],
  ['filter', '-m conntrack --ctdir REPLY -j ACCEPT', [match({ ct: { key: 'direction' } }, 'reply'), accept]],
  ['filter', '-m conntrack --ctorigdst 192.0.2.1 -j ACCEPT', [{ xt: { type: 'match', name: 'conntrack' } }, accept]],
  ['filter', '-m state --state INVALID -j DROP', [state(['invalid']), { drop: null }]],
  [
    'filter',
    '-m addrtype --dst-type LOCAL -j ACCEPT',
    [match({ fib: { result: 'type', flags: ['daddr'] } }, { set: ['local'] }), accept],
  ],
  [
    'filter',
    '-m addrtype ! --src-type LOCAL --limit-iface-in -j ACCEPT',
    [match({ fib: { result: 'type', flags: ['saddr', 'iif'] } }, { set: ['local'] }, '!='), accept],
  ],
  [
    'filter',
    '-p tcp -m multiport --dports 80,8000:8100 -j ACCEPT',
    [TCP, match(payload('th', 'dport'), { set: [80, { range: [8000, 8100] }] }), accept],
  ],
  ['filter', '-p tcp -m multiport ! --sports 22 -j ACCEPT', [TCP, match(payload('th', 'sport'), { set: [22] }, '!='), accept]],
  ['filter', '-p tcp -m multiport --ports 22 -j ACCEPT', [TCP, { xt: { type: 'match', name: 'multiport' } }, accept]],
  [
    'filter',
    '-m iprange --src-range 10.0.0.1-10.0.0.5 ! --dst-range 10.0.1.1-10.0.1.5 -j ACCEPT',
    [
      match(payload('ip', 'saddr'), { range: ['10.0.0.1', '10.0.0.5'] }),
      match(payload('ip', 'daddr'), { range: ['10.0.1.1', '10.0.1.5'] }, '!='),
      accept,
    ],
  ],
  ['filter', '-m connmark --mark 5/7 -j ACCEPT', [match({ '&': [{ ct: { key: 'mark' } }, 7] }, 5), accept]],
  [
    'filter',
    '-m comment --comment text -m limit --limit 3/min -j LOG --log-prefix x',
    [{ limit: { rate: 3, burst: 5, per: 'minute' } }],
  ],
  ['filter', '-m recent --name n --set', []],
  ['filter', '-m recent --name n --update --seconds 30 --hitcount 6 -j DROP', [{ limit: { inv: true } }, { drop: null }]],
  ['filter', '-m recent --name n --rcheck -j ACCEPT', [{ xt: { type: 'match', name: 'recent' } }, accept]],
  ['filter', '-m statistic --mode random --probability 0.5 -j ACCEPT', [{ xt: { type: 'match', name: 'statistic' } }, accept]],
  ['filter', '-p tcp -j REJECT --reject-with tcp-reset', [TCP, { reject: null }]],
  ['mangle', '-j MARK --set-xmark 0x10/0xff', [{ mangle: { key: mark, value: { '^': [{ '&': [mark, 0xffffff00] }, 0x10] } } }]],
  ['mangle', '-j NFQUEUE --queue-num 3', [{ xt: { type: 'target', name: 'NFQUEUE' } }]],
  ['raw', '-j CT --notrack', [{ notrack: null }]],
  ['nat', '-p tcp -j DNAT --to-destination 172.18.0.2:80', [TCP, { dnat: { addr: '172.18.0.2', port: 80 } }]],
  ['nat', '-j DNAT --to-destination 172.18.0.2', [{ dnat: { addr: '172.18.0.2' } }]],
  ['nat', '-p tcp -j DNAT --to-destination 172.18.0.2:80-90', [TCP, { dnat: { addr: '172.18.0.2', port: { range: [80, 90] } } }]],
  ['nat', '-j DNAT --to-destination 172.18.0.2-172.18.0.9', [{ xt: { type: 'target', name: 'DNAT' } }]],
  ['nat', '-p tcp -j REDIRECT --to-ports 81', [TCP, { redirect: { port: 81 } }]],
];

const RULES6: readonly (readonly [table: string, words: string, expr: readonly Json[]])[] = [
  ['filter', '-m rt --rt-type 0 -j DROP', [match({ meta: { key: 'l4proto' } }, 'ipv6-route'), { drop: null }]],
  ['nat', '-p tcp -j DNAT --to-destination [fd00::2]:80', [TCP, { dnat: { addr: 'fd00::2', port: 80 } }]],
  ['nat', '-p tcp -j REDIRECT --to-ports 81', [TCP, { redirect: { port: 81 } }]],
];

for (const [program, family, rules] of [
  ['iptables', 'ip', RULES],
  ['ip6tables', 'ip6', RULES6],
] as const) {
  test(`${program}: matches and targets`, () => {
    const tables = [...new Set(rules.map(([table]) => table))];
    try {
      for (const [table, words] of rules)
        execFileSync(
          program,
          ['-t', table, '-A', 'PREROUTING', ...words.split(' ')].map((word) =>
            table === 'filter' && word === 'PREROUTING' ? 'FORWARD' : word,
          ),
        );
      using nft = openNftRunner(true);
      const { tables: read } = readRuleset(nft);
      for (const name of tables) {
        const [chain] = read.find((table) => table.family === family && table.name === name)?.chains.values() ?? [];
        const said = chain?.rules.map(({ expr }) =>
          expr.filter((statement) => !JSON.stringify(statement).startsWith('{"counter"')),
        );
        assert.deepEqual(
          said,
          rules.filter(([table]) => table === name).map(([, , expr]) => expr),
        );
      }
    } finally {
      for (const name of tables) execFileSync('nft', [`delete table ${family} ${name}`]);
    }
  });
}
