import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIp } from '../../base/ip.ts';
import type { TunnelPeer } from '../../contracts/tunnel.ts';
import { Counters } from './counters.ts';
import type { Carried } from './fastpath/open.ts';
import { SlotTable } from './slots.ts';

const peer = (name: string, address = '192.0.2.1'): TunnelPeer => ({
  name,
  endpoint: { address: parseIp(address), port: 1 },
  subnets: [],
  own: true,
});

test('a peer keeps its place and its counters; who comes gets a free place, and counts from 0', () => {
  const counters = new Counters(8);
  const table = new SlotTable(counters);
  const past = (): Carried => ({ left: { packets: 0, bytes: 0 }, arrived: { packets: 0, bytes: 0 } });
  const names = (list: readonly string[]): readonly (string | undefined)[] =>
    table.assign(list.map((name) => peer(name))).map((slot) => slot?.name);
  assert.deepEqual(names(['a', 'b', 'c']), ['a', 'b', 'c']);
  counters.sent(0, 1, 100);
  counters.sent(1, 2, 200);
  assert.deepEqual(names(['c', 'b']), [undefined, 'b', 'c']);
  assert.deepEqual(Object.keys(table.counts(past)).sort(), ['b', 'c']);
  assert.deepEqual(names(['b', 'd', 'c', 'e']), ['d', 'b', 'c', 'e']);
  const sent = Object.fromEntries(Object.entries(table.counts(past)).map(([name, { sentBytes }]) => [name, sentBytes]));
  assert.deepEqual(sent, { d: 0, b: 200, c: 0, e: 0 });
  // The same one somewhere else.
  assert.equal(table.assign([peer('b', '192.0.2.9')])[1]?.endpoint.address, '192.0.2.9');
  assert.equal(table.counts(past)['b']?.sentBytes, 200);
});
