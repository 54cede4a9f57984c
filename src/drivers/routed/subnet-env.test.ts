import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DUAL, driver, host, network, text } from './fixture.testing.ts';
import { subnetEnv } from './subnet-env.ts';

test('subnet.env says what flanneld says, byte for byte (WriteSubnetFile, pkg/subnet/subnet.go)', () => {
  assert.equal(
    subnetEnv(network(), { mtu: 1450, masquerade: false }),
    'FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n',
  );
  assert.equal(
    subnetEnv(network({}, DUAL), { mtu: 1430, masquerade: true }),
    'FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_IPV6_NETWORK=fd44::/48\nFLANNEL_IPV6_SUBNET=fd44:0:0:1::1/64\n' +
      'FLANNEL_MTU=1430\nFLANNEL_IPMASQ=true\n',
  );
});

test('it is part of the network’s plan, under the name that goes with the prefix', () => {
  const files = (options: Readonly<Record<string, string>>, part = {}): string[] =>
    text(driver.planNetwork(network(options, part), host())).filter((line) => line.includes('.env'));
  const [line = ''] = files({ 'flannel-prefix': '/coreos.com/network' });
  assert.match(line, /\/run\/flannel\/subnet\.env/);
  assert.match(line, /FLANNEL_MTU=1450.*FLANNEL_IPMASQ=true/s);
  assert.match(files({ 'flannel-prefix': '/other/net' })[0] ?? '', /\/run\/flannel\/other-net\.env/);
  const masquerade = { 'com.docker.network.bridge.enable_ip_masquerade': 'false', 'com.docker.network.driver.mtu': '1300' };
  assert.match(files({ 'flannel-prefix': '/a', ...masquerade })[0] ?? '', /FLANNEL_MTU=1300.*FLANNEL_IPMASQ=false/s);
  assert.deepEqual(files({}), []);
  assert.deepEqual(files({ 'flannel-prefix': '/coreos.com/network' }, { pools: [] }), []);
});
