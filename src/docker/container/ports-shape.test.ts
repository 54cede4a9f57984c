import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIp } from '../../base/ip.ts';
import type { PortBinding } from '../../model/ports.ts';
import { portList, portsShape } from './ports-shape.ts';

const one = { from: 80, to: 80 };
const PORTS: readonly PortBinding[] = [
  { protocol: 'tcp', hostAddress: parseIp('0.0.0.0'), hostPorts: { from: 8080, to: 8080 }, containerPorts: one },
  { protocol: 'tcp', hostAddress: parseIp('::'), hostPorts: { from: 8080, to: 8080 }, containerPorts: one, routed: true },
];

test('a port of a routed family has no port of the host', () => {
  assert.deepEqual(portsShape(['80/tcp', '81/udp'], PORTS), {
    '80/tcp': [
      { HostIp: '0.0.0.0', HostPort: '8080' },
      { HostIp: '::', HostPort: '' },
    ],
    '81/udp': null,
  });
  assert.deepEqual(portList([], PORTS), [
    { IP: '0.0.0.0', PrivatePort: 80, PublicPort: 8080, Type: 'tcp' },
    { IP: '::', PrivatePort: 80, Type: 'tcp' },
  ]);
});
