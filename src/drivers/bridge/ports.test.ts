import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseIp } from '../../base/ip.ts';
import type { Change } from '../../contracts/change.ts';
import { describe as line } from '../../contracts/describe.ts';
import { inversePlan } from '../../contracts/inverse.ts';
import type { PortBinding } from '../../model/ports.ts';
import { DUAL, ENDPOINT6, endpoint, facts, INSTANCE, network } from './fixture.testing.ts';
import { createBridgeDriver } from './index.ts';
import { OPTION } from './options.ts';

const driver = createBridgeDriver({ instance: INSTANCE });

const binding = (hostAddress: string, host: readonly [number, number], part: Partial<PortBinding> = {}): PortBinding => ({
  protocol: 'tcp',
  hostAddress: parseIp(hostAddress),
  hostPorts: { from: host[0], to: host[1] },
  containerPorts: { from: host[0], to: host[1] },
  ...part,
});

const plan = (
  ports: readonly PortBinding[],
  { end = endpoint(ENDPOINT6), host = facts(), options = {} } = {},
): readonly Change[] => driver.planPorts?.(network({ ...DUAL, options }), { endpoint: end, ports }, host) ?? [];
const text = (...args: Parameters<typeof plan>): string[] => plan(...args).map(line);

const LOCALNET = 'sysctl -w net.ipv4.conf.br-1a2b3c4d5e6f.route_localnet=1';

describe('ports', () => {
  test('of any address, of one, of localhost, over both families', () => {
    const to80 = { containerPorts: { from: 80, to: 80 } };
    assert.deepEqual(text([binding('0.0.0.0', [8080, 8080], to80), binding('::', [8080, 8080], to80)]), [
      LOCALNET,
      'nft add element inet moor port4 { tcp . 8080 : 192.168.7.10 . 80 }',
      'nft add element inet moor port6 { tcp . 8080 : fd00:7::a . 80 }',
    ]);
    assert.deepEqual(text([binding('198.51.100.1', [53, 53], { protocol: 'udp' }), binding('2001:db8::1', [53, 53])]), [
      'nft add element inet moor port4_at { udp . 198.51.100.1 . 53 : 192.168.7.10 . 53 }',
      'nft add element inet moor port6_at { tcp . 2001:db8::1 . 53 : fd00:7::a . 53 }',
    ]);
    assert.deepEqual(text([binding('127.0.0.1', [8080, 8080], to80)]), [
      LOCALNET,
      'nft add element inet moor port4_at { tcp . 127.0.0.1 . 8080 : 192.168.7.10 . 80 }',
    ]);
  });

  test('a range of the same numbers is one element', () => {
    assert.deepEqual(text([binding('::', [8000, 8999]), binding('198.51.100.1', [8000, 8999], { protocol: 'sctp' })]), [
      'nft add element inet moor range6 { tcp . 8000-8999 : fd00:7::a }',
      'nft add element inet moor range4_at { sctp . 198.51.100.1 . 8000-8999 : 192.168.7.10 }',
    ]);
  });

  test('a few ports in a row are no range', () => {
    assert.deepEqual(text([binding('198.51.100.1', [8000, 8003])]).length, 4);
    assert.deepEqual(text([binding('198.51.100.1', [8000, 8004])]), [
      'nft add element inet moor range4_at { tcp . 198.51.100.1 . 8000-8004 : 192.168.7.10 }',
    ]);
  });

  test('a range of other numbers is an element a port', () => {
    assert.deepEqual(text([binding('198.51.100.1', [8000, 8002], { containerPorts: { from: 80, to: 82 } })]), [
      'nft add element inet moor port4_at { tcp . 198.51.100.1 . 8000 : 192.168.7.10 . 80 }',
      'nft add element inet moor port4_at { tcp . 198.51.100.1 . 8001 : 192.168.7.10 . 81 }',
      'nft add element inet moor port4_at { tcp . 198.51.100.1 . 8002 : 192.168.7.10 . 82 }',
    ]);
  });

  test('of a family that the endpoint has no address of lead nowhere', () => {
    assert.deepEqual(text([binding('::', [80, 80])], { end: endpoint() }), []);
    assert.deepEqual(text([binding('0.0.0.0', [80, 80])], { end: endpoint({ ...ENDPOINT6, ipv4: null }) }), []);
  });

  test('of an endpoint whose frames are rewritten while they are bridged', () => {
    assert.deepEqual(text([binding('::', [80, 80])], { host: facts({ bridgeNf: true }) }), [
      'bridge link set dev vethabcdef0 hairpin on',
      'nft add element inet moor port6 { tcp . 80 : fd00:7::a . 80 }',
    ]);
  });

  test('go, and leave what others may count on', () => {
    const changes = plan([binding('0.0.0.0', [80, 80])], { end: endpoint(), host: facts({ bridgeNf: true }) });
    assert.deepEqual(inversePlan(changes).map(line), ['nft delete element inet moor port4 { tcp . 80 }']);
  });

  test('of a routed family are open at the sandbox itself, once', () => {
    const options = { [OPTION.gatewayMode6]: 'routed' };
    const ports = [
      binding('0.0.0.0', [80, 80]),
      binding('::', [80, 80]),
      binding('2001:db8::1', [81, 81], { containerPorts: { from: 80, to: 80 } }),
      binding('::', [8000, 8999]),
    ];
    assert.deepEqual(text(ports, { host: facts({ bridgeNf: true }), options }), [
      LOCALNET,
      'bridge link set dev vethabcdef0 hairpin on',
      'nft add element inet moor port4 { tcp . 80 : 192.168.7.10 . 80 }',
      'nft add element inet moor open6 { tcp . fd00:7::a . 80 }',
      'nft add element inet moor open_range6 { tcp . fd00:7::a . 8000-8999 }',
    ]);
  });

  test('with trusted interfaces are open there too', () => {
    assert.deepEqual(text([binding('127.0.0.1', [80, 80])], { options: { [OPTION.trusted]: 'eth3' } }), [
      LOCALNET,
      'nft add element inet moor port4_at { tcp . 127.0.0.1 . 80 : 192.168.7.10 . 80 }',
      'nft add element inet moor open4 { tcp . 192.168.7.10 . 80 }',
    ]);
  });
});
