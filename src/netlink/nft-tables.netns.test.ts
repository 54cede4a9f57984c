/** Tables by our own messages; nft(8) makes the first one, and tells what the others are. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '../sys/errors.ts';
import { ruleComment } from '../wire/netlink/nftables.ts';
import { Lab } from './lab.testing.ts';
import { dumpTable, removeTable, tableRequests, transactTable } from './nft-tables.ts';
import { NetlinkSocket } from './socket.ts';

const REF = { family: 'ip', name: 'names' } as const;
type Contents = Parameters<typeof tableRequests>[0]['contents'];
const makeTable = (socket: NetlinkSocket, contents: Contents, update: boolean) =>
  transactTable(socket, tableRequests({ ref: REF, contents }, update));

const COMMANDS = [
  'add table ip names',
  'add chain ip names queries { type filter hook output priority raw; policy accept; }',
  'add chain ip names other',
  'add rule ip names queries ip daddr != 127.0.0.11 accept comment "one"',
  'add rule ip names queries udp dport 53 udp dport set 14 comment "two"',
  'add rule ip names queries tcp dport 53 jump other',
  'add table ip beside',
  'add chain ip beside queries',
].join('; ');

/** Without handles, which count up. */
const listing = (text: string): string => text.replaceAll(/ # handle \d+/g, '');

test('what nft made in one namespace is made in another, completed there, and removed', () => {
  using lab = new Lab();
  const [first, second] = [lab.namespace('first'), lab.namespace('second')];
  first.run(`nft '${COMMANDS}'`);
  using from = NetlinkSocket.open('netfilter', first.netns);
  using into = NetlinkSocket.open('netfilter', second.netns);
  const contents = dumpTable(from, REF);
  assert.ok(contents);
  assert.deepEqual(
    contents.rules.map(({ chain, userdata }) => [chain, ruleComment(userdata)]),
    [
      ['queries', 'one'],
      ['queries', 'two'],
      ['queries', ''],
    ],
  );
  assert.equal(dumpTable(into, REF), null);
  assert.equal(makeTable(into, contents, false), null);
  const wanted = listing(first.run('nft -a list table ip names'));
  assert.match(wanted, /udp dport 53 udp dport set 14 comment "two"/);
  assert.equal(listing(second.run('nft -a list table ip names')), wanted);

  second.run('nft flush chain ip names queries; nft delete chain ip names other');
  assert.ok(hasCode(makeTable(into, contents, false), 'EEXIST'));
  assert.equal(makeTable(into, contents, true), null);
  assert.equal(makeTable(into, contents, true), null);
  // Chains are listed in the order in which they came.
  const lines = (text: string): readonly string[] => listing(text).split('\n').toSorted();
  assert.deepEqual(lines(second.run('nft -a list table ip names')), lines(wanted));

  assert.equal(removeTable(into, REF), null);
  assert.ok(hasCode(removeTable(into, REF), 'ENOENT'));
  assert.equal(second.run('nft list ruleset'), '');
});

test('all of a table is made, or nothing', () => {
  using lab = new Lab();
  const space = lab.namespace('space');
  using socket = NetlinkSocket.open('netfilter', space.netns);
  const chain = { name: 'c', hook: undefined, policy: undefined, type: undefined };
  const rule = { chain: 'nowhere', expressions: undefined, userdata: undefined };
  const error = makeTable(socket, { chains: [chain], rules: [rule] }, false);
  assert.ok(hasCode(error, 'ENOENT'), String(error));
  assert.equal(space.run('nft list ruleset'), '');
  assert.equal(makeTable(socket, { chains: [chain], rules: [] }, false), null);
  assert.deepEqual(dumpTable(socket, REF), { chains: [chain], rules: [] });
});
