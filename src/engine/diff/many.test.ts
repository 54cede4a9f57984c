import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIp, parsePrefix } from '../../base/ip.ts';
import { parseMac } from '../../base/mac.ts';
import { type Change, type FdbEntry, HOST, type Neighbour, type Route } from '../../contracts/change.ts';
import { describe as line } from '../../contracts/describe.ts';
import type { HostFacts, NetnsState } from '../../contracts/kernel.ts';
import { Actual } from './actual.ts';
import { missing } from './missing.ts';

const PEERS = 20_000;
const FACTS: HostFacts = {
  uplink: '',
  uplinkMtu: 1500,
  routes: [],
  addresses: [],
  bridgeNf: null,
  sysctls: {},
  foreignForward: [],
  resolvConf: '',
  hostname: 'host',
};

const each = <T>(make: (i: number) => T): T[] => Array.from({ length: PEERS }, (_, i) => make(i));
const address = (i: number, last = 0) => parseIp(`10.${64 + (i >> 8)}.${i & 255}.${last}`);
const mac = (i: number) =>
  parseMac(`02:00:00:00:${(i >> 8).toString(16).padStart(2, '0')}:${(i & 255).toString(16).padStart(2, '0')}`);

test('of the entries of twenty thousand hosts, those that are wrong', () => {
  const routes = each(
    (i): Route => ({ destination: parsePrefix(`${address(i)}/24`), via: address(i), device: 'vx', onlink: true }),
  );
  const neighbours = each((i): Neighbour => ({ device: 'vx', address: address(i), mac: mac(i), state: 'permanent' }));
  const fdb = each((i): FdbEntry => ({ device: 'vx', mac: mac(i), destination: address(i, 9) }));
  const desired: Change[] = [
    ...fdb.map((entry): Change => ({ kind: 'fdb', op: 'add', netns: HOST, entry })),
    ...neighbours.map((neighbour): Change => ({ kind: 'neighbour', op: 'add', netns: HOST, neighbour })),
    ...routes.map((route): Change => ({ kind: 'route', op: 'add', netns: HOST, route })),
  ];
  const state: NetnsState = {
    netns: HOST,
    identity: 'host',
    links: [],
    addresses: [],
    rules: [],
    routes: routes.flatMap((route, i) => (i === 7 ? [] : i === 19_999 ? [{ ...route, via: address(3) }] : [route])),
    neighbours: neighbours.map((entry, i) =>
      i === 8 ? { ...entry, mac: mac(4) } : i === 9 ? { ...entry, device: 'eth0' } : entry,
    ),
    fdb: fdb.filter((_, i) => i !== 10),
  };
  assert.deepEqual(
    missing(desired, new Actual([state], [], FACTS), { unseen: false }).map(({ change, why }) => `${line(change)}: ${why}`),
    [
      'bridge fdb append 02:00:00:00:00:0a dev vx dst 10.64.10.9 self permanent: it was deleted',
      'ip neigh del 10.64.8.0 dev vx: it pointed to 02:00:00:00:00:04',
      'ip neigh replace 10.64.8.0 lladdr 02:00:00:00:00:08 dev vx nud permanent: it pointed to 02:00:00:00:00:04',
      'ip neigh replace 10.64.9.0 lladdr 02:00:00:00:00:09 dev vx nud permanent: it was deleted',
      'ip route add 10.64.7.0/24 via 10.64.7.0 dev vx onlink: it was deleted',
      'ip route del 10.142.31.0/24 via 10.64.3.0 dev vx onlink: it went via 10.64.3.0 on vx',
      'ip route add 10.142.31.0/24 via 10.142.31.0 dev vx onlink: it went via 10.64.3.0 on vx',
    ],
  );
});
