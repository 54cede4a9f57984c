import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newId } from '../../base/ids.ts';
import type { Network } from '../../model/network.ts';
import { createNullDriver } from './index.ts';
import { planJoin, planNetwork } from './plan.ts';

const network = (options: Record<string, string> = {}): Network => ({
  id: newId(),
  name: 'none',
  created: '2026-01-01T00:00:00.000Z',
  driver: 'null',
  scope: 'local',
  ipv4: true,
  ipv6: false,
  internal: false,
  attachable: false,
  options,
  labels: {},
  ipamDriver: 'default',
  ipamOptions: {},
  pools: [],
  predefined: true,
});

test('the kernel is left alone', () => {
  assert.deepEqual(planNetwork(), []);
  assert.deepEqual(planJoin(), { changes: [], gateway4: null, gateway6: null });
});

test('there is one network of the kind', () => {
  const driver = createNullDriver();
  const first = network();
  assert.equal(driver.capabilities.creatable, false);
  driver.check(first, [first, { ...network(), driver: 'bridge' }]);
  assert.throws(() => driver.check(network(), [first]), {
    kind: 'forbidden',
    message: 'only one instance of "null" network is allowed',
  });
});

test('an option is refused by name', () => {
  assert.throws(() => createNullDriver().check(network({ 'com.docker.network.driver.mtu': '1400' }), []), {
    kind: 'invalid',
    message: 'unknown option com.docker.network.driver.mtu for driver null: it has none',
  });
});
