import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { network } from './fixture.testing.ts';
import { bridgeOf, OPTION, parseOptions } from './options.ts';

const parse = (options: Record<string, string>, ipv6 = false) => parseOptions(network({ options, ipv6 }));

test('without options', () => {
  assert.deepEqual(parse({}), {
    bridge: 'br-1a2b3c4d5e6f',
    icc: true,
    masquerade: true,
    hostBinding: null,
    gatewayMode: { 4: 'nat', 6: 'nat' },
    trusted: [],
    mtu: null,
    prefix: 'eth',
  });
});

test('every option', () => {
  const options = {
    [OPTION.name]: 'br.blue_1',
    [OPTION.icc]: 'false',
    [OPTION.masquerade]: 'F',
    [OPTION.hostBinding]: '127.0.0.1',
    [OPTION.gatewayMode4]: 'nat-unprotected',
    [OPTION.gatewayMode6]: 'routed',
    [OPTION.trusted]: 'vxlan.1:eth3',
    [OPTION.mtu]: '9000',
    [OPTION.prefix]: 'net',
  };
  assert.deepEqual(parse(options), {
    bridge: 'br.blue_1',
    icc: false,
    masquerade: false,
    hostBinding: '127.0.0.1',
    gatewayMode: { 4: 'nat-unprotected', 6: 'routed' },
    trusted: ['vxlan.1', 'eth3'],
    mtu: 9000,
    prefix: 'net',
  });
});

test('booleans are those of Go', () => {
  for (const text of ['1', 't', 'T', 'TRUE', 'true', 'True']) assert.equal(parse({ [OPTION.icc]: text }).icc, true, text);
  for (const text of ['0', 'f', 'F', 'FALSE', 'false', 'False']) assert.equal(parse({ [OPTION.icc]: text }).icc, false, text);
});

test('an unknown option is named, and so are the known ones', () => {
  assert.throws(() => parse({ 'com.docker.network.bridge.inhibit_ipv4': 'true' }), {
    kind: 'invalid',
    message:
      'unknown option com.docker.network.bridge.inhibit_ipv4 for driver bridge: the known ones are ' +
      'com.docker.network.bridge.name, com.docker.network.bridge.enable_icc, com.docker.network.bridge.enable_ip_masquerade, ' +
      'com.docker.network.bridge.host_binding_ipv4, com.docker.network.bridge.gateway_mode_ipv4, ' +
      'com.docker.network.bridge.gateway_mode_ipv6, com.docker.network.bridge.trusted_host_interfaces, ' +
      'com.docker.network.driver.mtu, com.docker.network.container_iface_prefix, ' +
      'com.docker.network.bridge.default_bridge',
  });
});

test('default_bridge is for the predefined network', () => {
  const options = { [OPTION.defaultBridge]: 'true' };
  assert.equal(parseOptions(network({ options, predefined: true })).icc, true);
  assert.throws(() => parse(options), /default_bridge is only for the predefined network/);
});

describe('a bad value is named with its option and the rule', () => {
  const cases: readonly (readonly [key: string, value: string, message: string])[] = [
    [OPTION.icc, 'yes', 'must be a boolean: 1, t, T, TRUE, true, True, 0, f, F, FALSE, false, False'],
    [OPTION.masquerade, '', 'must be a boolean: 1, t, T, TRUE, true, True, 0, f, F, FALSE, false, False'],
    [OPTION.name, 'sixteen-letters-', "must be 1 to 15 of the characters [A-Za-z0-9_.-], the first one not '.' or '-'"],
    [OPTION.name, 'br*', "must be 1 to 15 of the characters [A-Za-z0-9_.-], the first one not '.' or '-'"],
    [OPTION.name, 'a"; drop', "must be 1 to 15 of the characters [A-Za-z0-9_.-], the first one not '.' or '-'"],
    [OPTION.name, '../etc', "must be 1 to 15 of the characters [A-Za-z0-9_.-], the first one not '.' or '-'"],
    [OPTION.name, 'all', 'must not be a name that the kernel reserves'],
    [OPTION.hostBinding, 'localhost', 'must be an IP address'],
    [OPTION.hostBinding, '010.0.0.1', 'must be an IP address'],
    [OPTION.trusted, 'eth3:a b', "must be 1 to 15 of the characters [A-Za-z0-9_.-], the first one not '.' or '-'"],
    [OPTION.mtu, '67', 'must be a number of bytes from 68 to 65535'],
    [OPTION.mtu, '65536', 'must be a number of bytes from 68 to 65535'],
    [OPTION.mtu, '1e3', 'must be a number of bytes from 68 to 65535'],
    [OPTION.mtu, '', 'must be a number of bytes from 68 to 65535'],
    [OPTION.mtu, '-5', 'must be a number of bytes from 68 to 65535'],
    [OPTION.prefix, 'thirteenchars', "must be 1 to 12 of the characters [A-Za-z0-9_.-], the first one a letter or '_'"],
    [OPTION.prefix, 'a/b', "must be 1 to 12 of the characters [A-Za-z0-9_.-], the first one a letter or '_'"],
  ];
  for (const [key, value, rule] of cases) {
    test(`${key}=${value}`, () => {
      assert.throws(() => parse({ [key]: value }), {
        kind: 'invalid',
        message: `invalid value ${JSON.stringify(value.split(':').at(-1))} for option ${key}: it ${rule}`,
      });
    });
  }
});

test('gateway modes, in the words of Docker', () => {
  assert.throws(() => parse({ [OPTION.gatewayMode6]: 'open' }), {
    kind: 'invalid',
    message: 'failed to parse com.docker.network.bridge.gateway_mode_ipv6 value: open (unknown gateway mode open)',
  });
  const options = { [OPTION.gatewayMode4]: 'isolated' };
  assert.throws(() => parse(options), {
    kind: 'invalid',
    message: "gateway mode 'isolated' can only be used for an internal network",
  });
  assert.equal(parseOptions(network({ options, internal: true })).gatewayMode[4], 'isolated');
});

test('an empty name, an empty prefix and an MTU of 0 are not set, as in Docker', () => {
  const options = { [OPTION.name]: '', [OPTION.prefix]: '', [OPTION.mtu]: '0' };
  assert.deepEqual(parse(options), parse({}));
  assert.equal(bridgeOf(network({ options })), 'br-1a2b3c4d5e6f');
  assert.equal(parse(options, true).mtu, null);
});

test('ports may bind to an IPv6 address by default, whatever the name of the option says', () => {
  assert.equal(parse({ [OPTION.hostBinding]: '::1' }).hostBinding, '::1');
});

test('the limits of the MTU, which are higher with IPv6', () => {
  assert.equal(parse({ [OPTION.mtu]: '68' }).mtu, 68);
  assert.equal(parse({ [OPTION.mtu]: '65535' }).mtu, 65535);
  assert.equal(parse({ [OPTION.mtu]: '1280' }, true).mtu, 1280);
  assert.throws(() => parse({ [OPTION.mtu]: '1279' }, true), /from 1280 \(with IPv6\) to 65535/);
});

test('a long value is cut in the message', () => {
  assert.throws(
    () => parse({ [OPTION.name]: 'x'.repeat(4096) }),
    (error: Error) => error.message.length < 300,
  );
});
