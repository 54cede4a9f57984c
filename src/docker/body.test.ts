import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readBody } from './body.ts';
import { endpointSpec, networkSpec } from './network-request.ts';

test('field names match whatever their case, null is absent, unknown fields are skipped', () => {
  const body = readBody({ name: 'a', INTERNAL: true, Labels: null, Colour: 3 });
  assert.equal(body.string('Name'), 'a');
  assert.equal(body.boolean('Internal'), true);
  assert.equal(body.stringMap('Labels'), undefined);
  assert.equal(readBody(null).string('Name'), undefined);
  assert.equal(readBody(undefined).string('Name'), undefined);
});

test('a wrong type names the field', () => {
  for (const [value, message] of [
    [{ Name: 1 }, 'invalid JSON: Name: expected string, got number'],
    [{ Internal: 'yes' }, 'invalid JSON: Internal: expected boolean, got string'],
    [{ Labels: ['a'] }, 'invalid JSON: Labels: expected object, got array'],
    [{ Labels: { a: 1 } }, 'invalid JSON: Labels.a: expected string, got number'],
    [{ IPAM: { Config: {} } }, 'invalid JSON: IPAM.Config: expected array, got object'],
    [{ IPAM: { Config: [{ Subnet: 5 }] } }, 'invalid JSON: IPAM.Config[0].Subnet: expected string, got number'],
    [{ IPAM: { Config: ['x'] } }, 'invalid JSON: IPAM.Config[0]: expected object, got string'],
    [[], 'invalid JSON: request body: expected object, got array'],
    ['x', 'invalid JSON: request body: expected object, got string'],
  ] as const) {
    assert.throws(() => networkSpec(readBody(value), true), { kind: 'invalid', message });
  }
});

test('a network as the CLI sends it', () => {
  const body = readBody({
    Name: 'my_net2',
    CheckDuplicate: true,
    Driver: 'bridge',
    Scope: '',
    EnableIPv4: false,
    EnableIPv6: null,
    IPAM: {
      Driver: 'default',
      Options: {},
      Config: [{ Subnet: '192.168.7.0/24', IPRange: '', Gateway: '192.168.7.1', AuxiliaryAddresses: { router: '192.168.7.2' } }],
    },
    Internal: false,
    Attachable: false,
    Ingress: false,
    ConfigOnly: false,
    ConfigFrom: null,
    Options: { 'com.docker.network.driver.mtu': '1400' },
    Labels: { __proto__: null, a: 'b' },
  });
  const wanted = {
    name: 'my_net2',
    driver: 'bridge',
    internal: false,
    attachable: false,
    options: { 'com.docker.network.driver.mtu': '1400' },
    labels: { a: 'b' },
    ipamDriver: 'default',
    ipamOptions: {},
    pools: [{ subnet: '192.168.7.0/24', gateway: '192.168.7.1', auxiliary: { router: '192.168.7.2' } }],
  };
  assert.deepEqual(networkSpec(body, false), wanted, 'before API 1.48 there is no EnableIPv4');
  assert.deepEqual(networkSpec(body, true), { ...wanted, ipv4: false });
});

test('what Docker has and we do not is refused with a sentence', () => {
  for (const value of [{ ConfigOnly: true }, { ConfigFrom: { Network: 'x' } }, { Ingress: true }]) {
    assert.throws(() => networkSpec(readBody({ Name: 'a', ...value }), true), { kind: 'unsupported', message: /not supported/ });
  }
  assert.throws(() => endpointSpec(readBody({ IPAMConfig: { LinkLocalIPs: ['169.254.1.1'] } })), { kind: 'unsupported' });
});

test('an endpoint as the CLI sends it', () => {
  assert.deepEqual(
    endpointSpec(
      readBody({
        IPAMConfig: { IPv4Address: '10.0.0.5', IPv6Address: '', LinkLocalIPs: [] },
        Links: ['a:b', ''],
        Aliases: ['web'],
        MacAddress: '',
        DriverOpts: { 'com.docker.network.endpoint.ifname': 'wan0', x: 'y' },
        GwPriority: 7,
        NetworkID: '',
      }),
    ),
    { ipv4: '10.0.0.5', aliases: ['web'], links: ['a:b'], gatewayPriority: 7, interfaceName: 'wan0', options: { x: 'y' } },
  );
  assert.deepEqual(endpointSpec(undefined), {});
  assert.throws(() => endpointSpec(readBody({ GwPriority: 1.5 })), {
    message: 'invalid JSON: GwPriority: expected integer, got number',
  });
});
