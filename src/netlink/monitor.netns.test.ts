import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import type { IfAddress, IpAddress, Prefix } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';
import { openNft } from '../sys/libnftables.ts';
import { withNetns } from '../sys/netns.ts';
import { pollReadable } from '../sys/poll.ts';
import { setThreadName } from '../sys/process.ts';
import { addAddress, deleteAddress } from './address.ts';
import { Lab } from './lab.testing.ts';
import { addLink, deleteLink, setLink } from './link.ts';
import { type Monitor, openNftMonitor, openRouteMonitor } from './monitor.ts';
import { setNeighbour } from './neighbour.ts';
import { setNsid } from './nsid.ts';
import { addRoute, deleteRoute } from './route.ts';

/** Notifications are queued before the change returns, but for a few that the kernel sends later (carrier, link-local addresses). */
function all<E>(
  monitor: Monitor<E>,
  enough: (events: readonly unknown[]) => boolean,
): readonly ReturnType<Monitor<E>['drain']>[number][] {
  const events = [...monitor.drain()];
  while (!enough(events)) {
    assert.notEqual(pollReadable([monitor.fd], 5000).length, 0, `waited in vain; so far ${JSON.stringify(events)}`);
    events.push(...monitor.drain());
  }
  return events;
}

test('links, addresses, routes and neighbours are reported, from other namespaces with their id', () => {
  using lab = new Lab();
  const host = lab.namespace('host');
  const inner = lab.namespace('inner');
  const stranger = lab.namespace('stranger');
  host.apply(setNsid(inner.netns, 42));
  using monitor = openRouteMonitor({ allNsid: true, neighbours: true, netns: host.netns });
  assert.deepEqual(monitor.drain(), []);
  assert.deepEqual(pollReadable([monitor.fd], 0), []);

  host.apply(
    addLink({ name: 'br0', index: 10, kind: { type: 'bridge' } }),
    addLink({
      name: 'a',
      index: 11,
      master: 10,
      up: true,
      kind: { type: 'veth', peer: { name: 'b', index: 12, netns: inner.netns } },
    }),
    setLink(11, { alias: 'moor:x' }),
  );
  inner.apply(
    setLink(12, { up: true }),
    addAddress(12, '10.0.0.2/24' as IfAddress),
    addRoute({ destination: '10.5.0.0/16' as Prefix, via: '10.0.0.1' as IpAddress, table: 100 }),
    setNeighbour({ index: 12, address: '10.0.0.7' as IpAddress, mac: '02:42:0a:00:00:07' as Mac, state: 'permanent' }),
    deleteRoute({ destination: '10.5.0.0/16' as Prefix, table: 100 }),
    deleteAddress(12, '10.0.0.2/24' as IfAddress),
  );
  stranger.apply(addLink({ name: 'nobody', kind: { type: 'bridge' } }));
  host.apply(deleteLink(11));
  assert.deepEqual(pollReadable([monitor.fd], 0), [0]);
  const has = (events: readonly unknown[], wanted: object): boolean =>
    events.some((event) => Object.entries(wanted).every(([key, value]) => (event as Record<string, unknown>)[key] === value));
  const last = (nsid: number | null, index: number): object => ({ type: 'link', nsid, gone: true, index, port: false });
  const events = all(monitor, (found) => has(found, last(null, 11)) && has(found, last(42, 12)));
  const wanted: readonly object[] = [
    { type: 'link', nsid: null, gone: false, index: 10, name: 'br0' },
    { type: 'link', nsid: null, gone: false, index: 11, name: 'a', master: 10, up: true, port: false },
    { type: 'link', nsid: null, gone: false, index: 11, port: true },
    { type: 'link', nsid: null, gone: false, index: 11, alias: 'moor:x' },
    { type: 'link', nsid: 42, gone: false, index: 12, name: 'b', up: true },
    { type: 'address', nsid: 42, gone: false, index: 12, address: '10.0.0.2' },
    { type: 'route', nsid: 42, gone: false, index: 12, destination: '10.0.0.0/24', table: 254, via: null, protocol: 2 },
    {
      type: 'route',
      nsid: 42,
      gone: false,
      index: 12,
      destination: '10.5.0.0/16',
      table: 100,
      metric: 0,
      via: '10.0.0.1',
      protocol: 4,
    },
    { type: 'neighbour', nsid: 42, gone: false, index: 12, address: '10.0.0.7' },
    { type: 'route', nsid: 42, gone: true, index: 12, destination: '10.5.0.0/16', table: 100 },
    { type: 'address', nsid: 42, gone: true, index: 12, address: '10.0.0.2' },
    { type: 'link', nsid: null, gone: true, index: 11, port: true },
  ];
  for (const event of wanted) assert.ok(has(events, event), `no ${JSON.stringify(event)} in ${JSON.stringify(events)}`);
  assert.ok(!has(events, { name: 'nobody' }));
});

test('lost notifications are reported as an overrun, and listening goes on', () => {
  using lab = new Lab();
  const host = lab.namespace('host');
  using monitor = openRouteMonitor({ netns: host.netns, receiveBuffer: 32 << 10 });
  host.apply(...Array.from({ length: 500 }, (_, i) => addAddress(1, `10.1.${i >> 8}.${i & 255}/32` as IfAddress)));
  const events = monitor.drain();
  assert.ok(
    events.some(({ type }) => type === 'overrun'),
    `${events.length} events and no overrun`,
  );
  host.apply(addAddress(1, '10.255.255.1/32' as IfAddress));
  assert.ok(monitor.drain().some((event) => event.type === 'address' && event.address === '10.255.255.1'));
});

test('nftables transactions are reported with who made them', () => {
  using lab = new Lab();
  const host = lab.namespace('host');
  using monitor = openNftMonitor({ netns: host.netns });
  const { nft: opened, reason } = withNetns(host.netns, openNft);
  assert.ok(opened, `no libnftables: ${reason}`);
  using nft = opened;
  const name = readFileSync('/proc/thread-self/comm', 'utf8').trim();
  setThreadName('moor-test-1');
  try {
    const script =
      'add table inet moor; add set inet moor s { type ipv4_addr; }; add element inet moor s { 10.0.0.1 }; add chain inet moor c; add rule inet moor c accept';
    assert.deepEqual(nft.run(script), { rc: 0, output: '', error: '' });
  } finally {
    writeFileSync('/proc/thread-self/comm', name);
  }
  const ours = monitor.drain();
  const object = (what: string, gone = false) => ({ type: 'nft', nsid: null, object: what, gone, family: 'inet', table: 'moor' });
  assert.deepEqual(ours.slice(0, -1), [object('table'), object('set'), object('element'), object('chain'), object('rule')]);
  const end = ours.at(-1);
  assert.ok(end?.type === 'generation');
  assert.equal(end.process, 'moor-test-1');
  assert.ok(end.pid > 0);

  host.run('nft flush ruleset');
  const theirs = monitor.drain();
  assert.deepEqual(theirs.slice(0, -1).at(-1), object('table', true));
  const flush = theirs.at(-1);
  assert.ok(flush?.type === 'generation');
  assert.equal(flush.process, 'nft');
  assert.equal(flush.id, end.id + 1);
});
