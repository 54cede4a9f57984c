import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIp } from '../base/ip.ts';
import { chooseGateways, gatewayChanges, type GatewayOffer, NO_GATEWAYS } from './gateway.ts';

const offer = (networkName: string, part: Partial<GatewayOffer> = {}): GatewayOffer => ({
  networkName,
  interfaceName: `if-${networkName}`,
  priority: 0,
  gateway4: parseIp('10.0.0.1'),
  gateway6: null,
  ...part,
});

test('no offer, no way out', () => {
  assert.deepEqual(chooseGateways([]), NO_GATEWAYS);
  assert.deepEqual(chooseGateways([offer('a', { gateway4: null })]), NO_GATEWAYS);
});

test('priority first, then the name, whatever the order', () => {
  const offers = [offer('b'), offer('a'), offer('c')];
  for (const list of [offers, offers.toReversed()]) assert.equal(chooseGateways(list).v4?.device, 'if-a');
  assert.equal(chooseGateways([...offers, offer('z', { priority: 1 })]).v4?.device, 'if-z');
  assert.equal(chooseGateways([offer('a', { priority: -1 }), offer('z')]).v4?.device, 'if-z');
});

test('each family for itself', () => {
  const six = parseIp('fd00::1');
  const chosen = chooseGateways([offer('a'), offer('b', { gateway4: null, gateway6: six })]);
  assert.equal(chosen.v4?.device, 'if-a');
  assert.deepEqual(chosen.v6, { via: six, device: 'if-b' });
});

test('the old route goes before the new one comes; the same one stays', () => {
  const a = chooseGateways([offer('a')]);
  const b = chooseGateways([offer('b')]);
  assert.deepEqual(gatewayChanges('/n', a, a), []);
  assert.deepEqual(
    gatewayChanges('/n', a, b).map(
      (change) => change.kind === 'route' && [change.op, change.route.device, change.route.destination],
    ),
    [
      ['remove', 'if-a', '0.0.0.0/0'],
      ['add', 'if-b', '0.0.0.0/0'],
    ],
  );
  const six = chooseGateways([offer('a', { gateway4: null, gateway6: parseIp('fd00::1') })]);
  assert.deepEqual(
    gatewayChanges('/n', NO_GATEWAYS, six).map((change) => change.kind === 'route' && change.route.destination),
    ['::/0'],
  );
});
