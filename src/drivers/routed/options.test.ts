import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bridgeOptions, parseOptions } from './options.ts';

const parse = (options: Readonly<Record<string, string>> = {}) => parseOptions({ options });
const refused = (options: Readonly<Record<string, string>>, message: string): void =>
  assert.throws(() => parse(options), { kind: 'invalid', message });

test('defaults are flannel’s', () => {
  assert.deepEqual(parse(), {
    backend: 'vxlan',
    vni: 1,
    port: 8472,
    directRouting: false,
    checksums: 'auto',
    flannelPrefix: null,
  });
  assert.deepEqual(parse({ backend: 'udp' }), {
    backend: 'udp',
    vni: 1,
    port: 8285,
    directRouting: false,
    checksums: 'auto',
    flannelPrefix: null,
  });
  for (const backend of ['host-gw', 'alloc'])
    assert.deepEqual(parse({ backend }), {
      backend,
      vni: 1,
      port: 0,
      directRouting: false,
      checksums: 'auto',
      flannelPrefix: null,
    });
});

test('what is given', () => {
  const options = {
    vni: '16777215',
    port: '4789',
    'direct-routing': 'true',
    'checksum-offload': 'off',
    'flannel-prefix': '/coreos.com/network',
  };
  assert.deepEqual(parse(options), {
    backend: 'vxlan',
    vni: 16_777_215,
    port: 4789,
    directRouting: true,
    checksums: 'off',
    flannelPrefix: '/coreos.com/network',
  });
  assert.equal(parse({ backend: 'udp', port: '1' }).port, 1);
  const subnets = {
    'subnet-len': '24',
    'subnet-min': '10.244.1.0',
    'subnet-max': '10.244.9.0',
    'subnet-len6': '64',
    'subnet-min6': 'fd44::',
  };
  parse({ ...subnets, 'subnet-max6': 'fd44:0:0:9::' });
});

test('what is not known', () => {
  refused(
    { colour: 'blue' },
    'unknown option colour for driver routed: the known ones are backend, subnet-len, subnet-len6, subnet-min, subnet-min6, subnet-max, ' +
      'subnet-max6, vni, port, direct-routing, checksum-offload, flannel-prefix, com.docker.network.bridge.name, com.docker.network.bridge.enable_icc, ' +
      'com.docker.network.bridge.enable_ip_masquerade, com.docker.network.bridge.host_binding_ipv4, com.docker.network.driver.mtu, ' +
      'com.docker.network.container_iface_prefix',
  );
});

test('what another backend has', () => {
  refused({ backend: 'host-gw', vni: '5' }, 'option vni is only for backend vxlan, not for host-gw');
  refused({ backend: 'alloc', port: '5' }, 'option port is only for backend vxlan and udp, not for alloc');
  refused({ backend: 'udp', 'direct-routing': '1' }, 'option direct-routing is only for backend vxlan, not for udp');
});

test('bad values name option, value and rule', () => {
  const bad = (key: string, value: string, rule: string): void =>
    refused({ [key]: value }, `invalid value ${JSON.stringify(value)} for option ${key}: it must be ${rule}`);
  bad('backend', 'hostgw', 'one of vxlan, host-gw, udp, alloc');
  for (const vni of ['0', '16777216', '-1', '1.5', '', ' 1']) bad('vni', vni, 'a number from 1 to 16777215');
  for (const port of ['0', '65536', 'http']) bad('port', port, 'a number from 1 to 65535');
  bad('direct-routing', 'yes', 'a boolean: 1, t, T, TRUE, true, True, 0, f, F, FALSE, false, False');
  bad('checksum-offload', 'no', 'one of auto, on, off');
  bad('subnet-len', '31', 'a number from 1 to 30');
  bad('subnet-len6', '127', 'a number from 1 to 126');
  bad('subnet-min', '10.244.1.0/24', 'an IPv4 address, the first one of a subnet');
  bad('subnet-max', 'fd44::', 'an IPv4 address, the first one of a subnet');
  bad('subnet-max6', '10.244.1.0', 'an IPv6 address, the first one of a subnet');
  for (const prefix of ['coreos.com/network', '/coreos.com/', '/', '/a b'])
    bad('flannel-prefix', prefix, 'a path of keys that starts with a slash and does not end in one: /coreos.com/network');
});

test('the bridge gets its own', () => {
  const mtu = { 'com.docker.network.driver.mtu': '1400' };
  assert.deepEqual(bridgeOptions({ backend: 'udp', port: '9', ...mtu }), mtu);
});
