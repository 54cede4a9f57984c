import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { addressOf, familyOf, parseIp } from '../../base/ip.ts';
import type { PortBinding } from '../../model/ports.ts';
import type { NftElement } from '../../nft/types.ts';
import { DUAL, ENDPOINT6, endpoint, facts, INSTANCE, network } from './fixture.testing.ts';
import { createBridgeDriver } from './index.ts';
import { loopbackOf } from './loopback.ts';
import { OPTION } from './options.ts';

const driver = createBridgeDriver({ instance: INSTANCE });
const END = endpoint(ENDPOINT6);

const elements = (ports: readonly PortBinding[], options: Readonly<Record<string, string>> = {}): NftElement[] =>
  (driver.planPorts?.(network({ ...DUAL, options }), { endpoint: END, ports }, facts()) ?? []).flatMap((change) =>
    change.kind === 'nft-element' ? [change.element] : [],
  );

/** What the shortcut would do with a port: `::1 8080 -> fd00:7::a 80`. */
const ways = (list: readonly NftElement[]): string[] =>
  list
    .flatMap((element) => {
      const found = loopbackOf(element);
      if (found?.target === null || found === null) return [];
      const { at, target } = found;
      return Array.from({ length: at.ports.to - at.ports.from + 1 }, (_, i) => at.ports.from + i).map(
        (port) => `${at.address} ${port} -> ${target.address} ${target.port ?? port}`,
      );
    })
    .toSorted();

const binding: fc.Arbitrary<PortBinding> = fc
  .record({
    protocol: fc.constantFrom('tcp' as const, 'udp' as const, 'sctp' as const),
    hostAddress: fc.constantFrom('0.0.0.0', '127.0.0.1', '127.1.2.3', '198.51.100.1', '::', '::1', '2001:db8::1').map(parseIp),
    host: fc.integer({ min: 1, max: 60_000 }),
    shift: fc.constantFrom(0, 0, 1, 100),
    length: fc.integer({ min: 1, max: 12 }),
  })
  .map(({ protocol, hostAddress, host, shift, length }) => ({
    protocol,
    hostAddress,
    hostPorts: { from: host, to: host + length - 1 },
    containerPorts: { from: host + shift, to: host + shift + length - 1 },
  }));

test('any binding: TCP that the loopback is asked for goes where translation leads it, and nothing else does', () => {
  fc.assert(
    fc.property(binding, (one) => {
      const inside = addressOf((familyOf(one.hostAddress) === 4 ? END.ipv4 : END.ipv6) ?? assert.fail());
      const concerned = one.protocol === 'tcp' && /^(0\.0\.0\.0|127\..*|::1?)$/.test(one.hostAddress);
      const { from, to } = one.hostPorts;
      const shift = one.containerPorts.from - from;
      const expected = Array.from(
        { length: concerned ? to - from + 1 : 0 },
        (_, i) => `${one.hostAddress} ${from + i} -> ${inside} ${from + i + shift}`,
      );
      assert.deepEqual(ways(elements([one])), expected.toSorted());
    }),
  );
});

test('gateway mode routed publishes nothing at the loopback', () => {
  const one = { from: 80, to: 80 };
  const ports = [{ protocol: 'tcp', hostAddress: parseIp('0.0.0.0'), hostPorts: one, containerPorts: one }] as const;
  assert.deepEqual(ways(elements(ports)), ['0.0.0.0 80 -> 192.168.7.10 80']);
  assert.deepEqual(ways(elements(ports, { [OPTION.gatewayMode4]: 'routed' })), []);
});

test('what somebody else put into our maps, in a form that is not ours, is left to translation', () => {
  for (const [set, key, value] of [
    ['port4', 'tcp . 80', 'nowhere'],
    ['port4', '80', '192.168.7.10 . 80'],
    ['port4', 'tcp . http', '192.168.7.10 . 80'],
    ['range4_at', 'tcp . 127.0.0.0/8 . 80-90', '192.168.7.10'],
    ['port4_at', 'tcp . 128.0.0.1 . 80', '192.168.7.10 . 80'],
    ['entering', '"br-1"', 'goto enter'],
  ] as const) {
    assert.equal(loopbackOf({ set, key, value }), null, key);
  }
  assert.deepEqual(loopbackOf({ set: 'range4', key: 'tcp . 80-90' }), {
    at: { address: '0.0.0.0', ports: { from: 80, to: 90 } },
    target: null,
  });
});
