import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIp, parsePrefix } from '../base/ip.ts';
import { parseMac } from '../base/mac.ts';
import { type Change, HOST } from '../contracts/change.ts';
import { describe } from '../contracts/describe.ts';
import { transition } from './transition.ts';

/** What a peer has with vxlan. */
function peer(
  n: number,
  { mac = n, at = n, mtu }: { readonly mac?: number; readonly at?: number; readonly mtu?: number } = {},
): Change[] {
  const subnet = `10.${64 + (n >> 8)}.${n & 255}.0`;
  const lladdr = parseMac(`02:00:00:00:${(mac >> 8).toString(16).padStart(2, '0')}:${(mac & 255).toString(16).padStart(2, '0')}`);
  const via = parseIp(subnet);
  const route = {
    destination: parsePrefix(`${subnet}/24`),
    via,
    device: 'vx',
    onlink: true,
    ...(mtu === undefined ? {} : { mtu }),
  };
  return [
    {
      kind: 'fdb',
      op: 'add',
      netns: HOST,
      entry: { device: 'vx', mac: lladdr, destination: parseIp(`10.9.${at >> 8}.${at & 255}`) },
    },
    { kind: 'neighbour', op: 'add', netns: HOST, neighbour: { device: 'vx', address: via, mac: lladdr, state: 'permanent' } },
    { kind: 'route', op: 'add', netns: HOST, route },
  ];
}
const lines = (batches: readonly (readonly Change[])[]): string[] => batches.flat().map(describe);

test('nothing, when nothing differs', () => {
  assert.deepEqual(transition(peer(1), peer(1)), []);
});

test('what is new comes, what is gone goes, last of it first', () => {
  assert.deepEqual(lines(transition(peer(1), peer(2))), [
    'bridge fdb append 02:00:00:00:00:02 dev vx dst 10.9.0.2 self permanent',
    'ip neigh replace 10.64.2.0 lladdr 02:00:00:00:00:02 dev vx nud permanent',
    'ip route add 10.64.2.0/24 via 10.64.2.0 dev vx onlink',
    'ip route del 10.64.1.0/24 via 10.64.1.0 dev vx onlink',
    'ip neigh del 10.64.1.0 dev vx',
    'bridge fdb del 02:00:00:00:00:01 dev vx dst 10.9.0.1 self',
  ]);
});

test('a peer at another address, one with another MTU, one with another MAC address: in pairs', () => {
  assert.deepEqual(lines(transition(peer(1), peer(1, { at: 9 }))), [
    'bridge fdb del 02:00:00:00:00:01 dev vx dst 10.9.0.1 self',
    'bridge fdb append 02:00:00:00:00:01 dev vx dst 10.9.0.9 self permanent',
  ]);
  assert.deepEqual(lines(transition(peer(1), peer(1, { mtu: 1350 }))), [
    'ip route del 10.64.1.0/24 via 10.64.1.0 dev vx onlink',
    'ip route add 10.64.1.0/24 via 10.64.1.0 dev vx mtu 1350 onlink',
  ]);
  assert.deepEqual(lines(transition(peer(1), peer(1, { mac: 7 }))), [
    'bridge fdb append 02:00:00:00:00:07 dev vx dst 10.9.0.1 self permanent',
    'ip neigh del 10.64.1.0 dev vx',
    'ip neigh replace 10.64.1.0 lladdr 02:00:00:00:00:07 dev vx nud permanent',
    'bridge fdb del 02:00:00:00:00:01 dev vx dst 10.9.0.1 self',
  ]);
});

test('a subnet that goes from one peer to another', () => {
  const [, , route] = peer(1);
  assert.ok(route?.kind === 'route');
  const other: Change = { ...route, route: { ...route.route, via: parseIp('10.9.0.77'), device: 'eth1', onlink: false } };
  assert.deepEqual(lines(transition([...peer(3), route], [...peer(3), other])), [
    'ip route del 10.64.1.0/24 via 10.64.1.0 dev vx onlink',
    'ip route add 10.64.1.0/24 via 10.9.0.77 dev eth1',
  ]);
});

test('ten thousand peers: in batches, and no pair is torn', () => {
  const numbers = Array.from({ length: 10_000 }, (_, i) => i);
  const all = numbers.flatMap((n) => peer(n));
  const batches = transition(
    all,
    numbers.flatMap((n) => peer(n, { at: n + 1, mtu: 1350 })),
  );
  assert.equal(batches.flat().length, 4 * numbers.length);
  for (const batch of batches) {
    assert.ok(batch.length > 0 && batch.length <= 1000);
    for (let i = 0; i < batch.length; i += 2) {
      const [gone, come] = [batch[i], batch[i + 1]];
      assert.ok(
        gone && come && 'op' in gone && 'op' in come && gone.op === 'remove' && come.op === 'add' && gone.kind === come.kind,
      );
    }
  }
  assert.ok(transition([], all).every((batch) => batch.length <= 1000));
});
