import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newId } from '../base/ids.ts';
import type { NetworkDriver } from '../contracts/driver.ts';
import type { HostFacts } from '../contracts/kernel.ts';
import type { Network } from '../model/network.ts';
import type { Endpoint } from '../model/sandbox.ts';
import { createHostDriver } from './host/index.ts';
import { createNullDriver } from './none/index.ts';

const network = ({ type }: NetworkDriver, options: Record<string, string> = {}): Network => ({
  id: newId(),
  name: 'only',
  created: '2026-01-01T00:00:00.000Z',
  driver: type,
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

for (const [driver, type] of [
  [createHostDriver(), 'host'],
  [createNullDriver(), 'null'],
] as const) {
  test(`${type}: the kernel is left alone`, () => {
    assert.equal(driver.type, type);
    assert.equal(driver.capabilities.creatable, false);
    const facts = {} as HostFacts;
    assert.deepEqual(driver.planNetwork(network(driver), facts), []);
    const join = { endpoint: {} as Endpoint, netns: 'host' } as const;
    assert.deepEqual(driver.planJoin(network(driver), join, facts), { changes: [], gateway4: null, gateway6: null });
  });

  test(`${type}: there is one network of the kind, without options`, () => {
    const first = network(driver);
    driver.check(first, [first, { ...network(driver), driver: 'bridge' }]);
    assert.throws(() => driver.check(network(driver), [first]), {
      kind: 'forbidden',
      message: `only one instance of "${type}" network is allowed`,
    });
    assert.throws(() => driver.check(network(driver, { 'com.docker.network.driver.mtu': '1400' }), []), {
      kind: 'invalid',
      message: `unknown option com.docker.network.driver.mtu for driver ${type}: it has none`,
    });
  });
}
