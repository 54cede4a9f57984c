import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IfAddress, IpAddress } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';
import { addAddress } from './address.ts';
import { addFdb, deleteFdb, dumpFdb, type FdbSpec } from './fdb.ts';
import { failureOf, Lab, type LabNamespace } from './lab.testing.ts';
import { addLink, setLink } from './link.ts';
import { deleteNeighbour, dumpNeighbours, type NeighbourSpec, setNeighbour } from './neighbour.ts';

const ip = (text: string): IpAddress => text as IpAddress;
const mac = (text: string): Mac => text as Mac;

/** A bridge (10) with a veth port (11) and a vxlan device (20) without one; 10.0.0.1/24 and fd00::1/64 on the bridge. */
function withBridge(lab: Lab): LabNamespace {
  const host = lab.namespace('host');
  host.apply(
    addLink({ name: 'br0', index: 10, up: true, kind: { type: 'bridge' } }),
    addLink({ name: 'a', index: 11, master: 10, up: true, kind: { type: 'veth', peer: { name: 'b', index: 12 } } }),
    setLink(12, { up: true }),
    addLink({ name: 'vx', index: 20, up: true, kind: { type: 'vxlan', vni: 7, port: 4789, learning: false } }),
    addAddress(10, '10.0.0.1/24' as IfAddress),
    addAddress(10, 'fd00::1/64' as IfAddress, { nodad: true }),
  );
  return host;
}

const NEIGHBOURS: readonly NeighbourSpec[] = [
  { index: 10, address: ip('10.0.0.7'), mac: mac('02:42:0a:00:00:07'), state: 'permanent' },
  { index: 10, address: ip('fd00::7'), mac: mac('02:42:0a:00:00:08'), state: 'permanent' },
  { index: 12, address: ip('10.0.0.9'), mac: mac('02:42:0a:00:00:09'), state: 'reachable' },
];

test('neighbours are set, replaced, shown and deleted', () => {
  using lab = new Lab();
  const host = withBridge(lab);
  host.apply(...NEIGHBOURS.map((entry) => setNeighbour(entry)));
  const list = (): readonly unknown[] =>
    host
      .show('ip -j neigh show')
      .filter((item) => (item['state'] as string[])[0] !== 'NOARP')
      .map((item) => `${item['dst']} ${item['dev']} ${item['lladdr']} ${(item['state'] as string[])[0]}`)
      .toSorted();
  assert.deepEqual(list(), [
    '10.0.0.7 br0 02:42:0a:00:00:07 PERMANENT',
    '10.0.0.9 b 02:42:0a:00:00:09 REACHABLE',
    'fd00::7 br0 02:42:0a:00:00:08 PERMANENT',
  ]);
  const dumped = [...host.route.collect(dumpNeighbours(4)), ...host.route.collect(dumpNeighbours(6))];
  const order = (x: NeighbourSpec, y: NeighbourSpec): number => (x.address < y.address ? -1 : 1);
  assert.deepEqual(dumped.toSorted(order), NEIGHBOURS.toSorted(order));
  assert.deepEqual(host.route.collect(dumpNeighbours(4, { index: 12 })), [NEIGHBOURS[2]]);
  const moved = setNeighbour({ index: 10, address: ip('10.0.0.7'), mac: mac('02:42:0a:00:00:aa'), state: 'permanent' }, 'br0');
  assert.equal(moved.what, 'ip neigh replace 10.0.0.7 lladdr 02:42:0a:00:00:aa dev br0 nud permanent');
  host.apply(moved);
  assert.equal(host.route.collect(dumpNeighbours(4, { index: 10 }))[0]?.mac, '02:42:0a:00:00:aa');
  host.apply(...NEIGHBOURS.map((entry) => deleteNeighbour(entry)));
  // Deleted ENTRIES may linger as FAILED while something refers to them.
  assert.deepEqual([...host.route.collect(dumpNeighbours(4)), ...host.route.collect(dumpNeighbours(6))], []);
  assert.equal(failureOf(host.route, deleteNeighbour({ index: 10, address: ip('10.0.0.99') })).kernel?.code, 'ENOENT');
});

const ENTRIES: readonly FdbSpec[] = [
  { index: 11, mac: mac('02:42:0a:00:00:07'), on: 'master' },
  { index: 20, mac: mac('02:42:0a:00:00:08'), on: 'self', destination: ip('192.0.2.1') },
  { index: 20, mac: mac('00:00:00:00:00:00'), on: 'self', destination: ip('192.0.2.1') },
  { index: 20, mac: mac('00:00:00:00:00:00'), on: 'self', destination: ip('192.0.2.2') },
];

test('forwarding ENTRIES are added, shown and deleted, several destinations for the default one', () => {
  using lab = new Lab();
  const host = withBridge(lab);
  host.apply(...ENTRIES.map((entry) => addFdb(entry)));
  const static_ = host
    .show('bridge -j fdb show')
    .filter((item) => item['state'] === 'static' || (item['ifname'] === 'vx' && item['state'] === 'permanent'))
    .map((item) => [item['mac'], item['ifname'], item['dst'] ?? '-', item['master'] ?? '-'].join(' '));
  assert.deepEqual(static_.toSorted(), [
    '00:00:00:00:00:00 vx 192.0.2.1 -',
    '00:00:00:00:00:00 vx 192.0.2.2 -',
    '02:42:0a:00:00:07 a - br0',
    '02:42:0a:00:00:08 vx 192.0.2.1 -',
  ]);
  const key = ({ index, mac: m, on, destination }: FdbSpec): string => `${index} ${m} ${on} ${destination ?? ''}`;
  assert.deepEqual(host.route.collect(dumpFdb()).map(key).toSorted(), ENTRIES.map(key).toSorted());
  assert.deepEqual(host.route.collect(dumpFdb({ index: 20 })).length, 3);
  assert.equal(
    failureOf(host.route, addFdb(ENTRIES[0] as FdbSpec, 'a')).message,
    'bridge fdb add 02:42:0a:00:00:07 dev a master static: file already exists (EEXIST)',
  );
  host.apply(...ENTRIES.map((entry) => deleteFdb(entry)));
  assert.deepEqual(host.route.collect(dumpFdb()), []);
  assert.equal(failureOf(host.route, deleteFdb(ENTRIES[0] as FdbSpec)).kernel?.code, 'ENOENT');
});
