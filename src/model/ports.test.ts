import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { formatIp, type IpAddress } from '../base/ip.ts';
import { coalesce, partAll } from './ports-list.ts';
import { parseBinding, parseContainerPorts, parsePortSpec, portCount } from './ports-parse.ts';
import { bindingText, notPublishedText, specText } from './ports-text.ts';
import type { PortProtocol, PortRange, PortSpec } from './ports.ts';

const one = (port: number): PortRange => ({ from: port, to: port });
const spec = (more: Partial<PortSpec>): PortSpec => ({
  protocol: 'tcp',
  containerPorts: one(80),
  hostPorts: null,
  hostAddress: null,
  ...more,
});

describe('what -p takes', () => {
  for (const [text, expected] of [
    ['80', spec({})],
    ['80/', spec({})],
    ['80/UDP', spec({ protocol: 'udp' })],
    [':80', spec({})],
    ['0:80', spec({})],
    ['8080:80', spec({ hostPorts: one(8080) })],
    ['127.0.0.1::80', spec({ hostAddress: '127.0.0.1' as IpAddress })],
    ['127.0.0.1:8080:80/sctp', spec({ protocol: 'sctp', hostAddress: '127.0.0.1' as IpAddress, hostPorts: one(8080) })],
    ['[::1]:8080:80', spec({ hostAddress: '::1' as IpAddress, hostPorts: one(8080) })],
    ['[0:0::1]::80', spec({ hostAddress: '::1' as IpAddress })],
    ['::1:8080:80', spec({ hostAddress: '::1' as IpAddress, hostPorts: one(8080) })],
    ['[::ffff:10.0.0.1]:8080:80', spec({ hostAddress: '10.0.0.1' as IpAddress, hostPorts: one(8080) })],
    ['8000-8010:80', spec({ hostPorts: { from: 8000, to: 8010 } })],
    [
      '8000-8010:9000-9010/udp',
      spec({ protocol: 'udp', hostPorts: { from: 8000, to: 8010 }, containerPorts: { from: 9000, to: 9010 } }),
    ],
    ['9000-9010', spec({ containerPorts: { from: 9000, to: 9010 } })],
  ] as const) {
    test(text, () => assert.deepEqual(parsePortSpec(text), expected));
  }

  // As Docker's command line 28.2 prints them.
  for (const [text, message] of [
    ['', 'no port specified: <empty>'],
    ['8080:', 'no port specified: 8080:<empty>'],
    ['abc', 'invalid containerPort: abc'],
    ['0', 'invalid containerPort: 0'],
    ['99999', 'invalid containerPort: 99999'],
    ['80-70', 'invalid containerPort: 80-70'],
    ['-80', 'invalid containerPort: -80'],
    ['+80', 'invalid containerPort: +80'],
    ['x:80', 'invalid hostPort: x'],
    ['80/foo', 'invalid proto: foo'],
    ['1.2.3:80:80', 'invalid IP address: 1.2.3'],
    ['a:b:c:d', 'invalid IP address: a:b'],
    [':::80', 'invalid IP address: :'],
    ['[fe80::1%eth0]:80:80', 'invalid IP address: fe80::1%eth0'],
    ['90:80-81', 'invalid ranges specified for container and host Ports: 80-81 and 90'],
    ['80-83:80-81', 'invalid ranges specified for container and host Ports: 80-81 and 80-83'],
  ] as const) {
    test(JSON.stringify(text), () => assert.throws(() => parsePortSpec(text), { kind: 'invalid', message }));
  }

  test('text of any length and kind is parsed or refused in one short line', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0-9:/.[\]-]*$/)), (text) => {
        try {
          const { containerPorts, hostPorts } = parsePortSpec(text);
          for (const range of [containerPorts, hostPorts]) {
            if (range !== null) assert.ok(range.from >= 1 && range.from <= range.to && range.to <= 65_535, text);
          }
        } catch (error) {
          assert.ok(
            error instanceof Error && error.message.length < 250 && (error as { kind?: string }).kind === 'invalid',
            text,
          );
        }
      }),
    );
  });
});

test("keys and entries of Docker's port maps", () => {
  assert.deepEqual(parseContainerPorts('53/udp'), { protocol: 'udp', containerPorts: one(53) });
  assert.deepEqual(parseContainerPorts('80-82'), { protocol: 'tcp', containerPorts: { from: 80, to: 82 } });
  assert.throws(() => parseContainerPorts('x/tcp'), { message: 'invalid containerPort: x' });
  assert.throws(() => parseContainerPorts('80/x'), { message: 'invalid proto: x' });
  const web = parseContainerPorts('80/tcp');
  assert.deepEqual(parseBinding(web, { hostIp: '', hostPort: '' }), spec({}));
  assert.deepEqual(
    parseBinding(web, { hostIp: '::1', hostPort: '8000-8001' }),
    spec({ hostAddress: '::1' as IpAddress, hostPorts: { from: 8000, to: 8001 } }),
  );
  assert.throws(() => parseBinding(web, { hostIp: 'x', hostPort: '' }), { message: 'invalid IP address: x' });
  assert.throws(() => parseBinding(web, { hostIp: '', hostPort: '1-x' }), { message: 'invalid hostPort: 1-x' });
});

const protocols = fc.constantFrom<PortProtocol>('tcp', 'udp', 'sctp');
const addresses = fc.option(
  fc.oneof(
    fc.bigInt(0n, 0xffffffffn).map((value) => formatIp(4, value)),
    // Above the IPv4-mapped ones.
    fc.bigInt(1n << 64n, (1n << 128n) - 1n).map((value) => formatIp(6, value)),
  ),
  { nil: null },
);
const specs: fc.Arbitrary<PortSpec> = fc
  .record({
    protocol: protocols,
    hostAddress: addresses,
    from: fc.integer({ min: 1, max: 60_000 }),
    count: fc.integer({ min: 1, max: 40 }),
    host: fc.option(fc.integer({ min: 1, max: 60_000 }), { nil: null }),
    choices: fc.integer({ min: 1, max: 3 }),
  })
  .map(({ protocol, hostAddress, from, count, host, choices }) => ({
    protocol,
    hostAddress,
    containerPorts: { from, to: from + count - 1 },
    hostPorts: host === null ? null : { from: host, to: host + (count === 1 ? choices : count) - 1 },
  }));

test('what is printed is read back as it was', () => {
  fc.assert(fc.property(specs, (value) => assert.deepEqual(parsePortSpec(specText(value)), value)));
  assert.equal(
    bindingText({
      protocol: 'tcp',
      hostAddress: '::' as IpAddress,
      hostPorts: { from: 1, to: 2 },
      containerPorts: { from: 3, to: 4 },
    }),
    '[::]:1-2->3-4/tcp',
  );
});

/** `tcp 1.2.3.4 8080>80` of every pair in a list; choices and free ports stand as they are. */
function pairs(list: readonly PortSpec[]): string[] {
  return list.flatMap(({ protocol, hostAddress, hostPorts, containerPorts }) => {
    const choice = hostPorts !== null && portCount(hostPorts) !== portCount(containerPorts);
    return Array.from({ length: portCount(containerPorts) }, (_, i) => {
      const host = hostPorts === null ? 'any' : choice ? `${hostPorts.from}-${hostPorts.to}` : hostPorts.from + i;
      return `${protocol} ${hostAddress ?? '*'} ${host}>${containerPorts.from + i}`;
    });
  });
}

/** As Docker's command line sends it: one entry a port. */
const singles = (value: PortSpec): PortSpec[] => {
  const { hostPorts, containerPorts } = value;
  if (hostPorts !== null && portCount(hostPorts) !== portCount(containerPorts)) return [value];
  return Array.from({ length: portCount(containerPorts) }, (_, i) => ({
    ...value,
    containerPorts: one(containerPorts.from + i),
    hostPorts: hostPorts === null ? null : one(hostPorts.from + i),
  }));
};

describe('neighbours', () => {
  test('a range that came as single ports, in any order, is one again', () => {
    fc.assert(
      fc.property(
        specs.chain((value) =>
          fc.tuple(fc.constant(value), fc.shuffledSubarray(singles(value), { minLength: singles(value).length })),
        ),
        ([value, entries]) => assert.deepEqual(coalesce(entries), [value]),
      ),
    );
  });

  test('joining changes no pair, and doubles go', () => {
    fc.assert(
      fc.property(fc.array(specs, { maxLength: 6 }), (list) => {
        const entries = list.flatMap(singles);
        assert.deepEqual(new Set(pairs(coalesce([...entries, ...entries]))), new Set(pairs(entries)));
      }),
    );
  });

  test('a shifted range is joined, one that does not run in parallel is not', () => {
    const shifted = [8080, 8081].map((port) => spec({ hostPorts: one(port), containerPorts: one(port - 8000) }));
    assert.deepEqual(coalesce(shifted), [spec({ hostPorts: { from: 8080, to: 8081 }, containerPorts: { from: 80, to: 81 } })]);
    const crossed = [spec({ hostPorts: one(8081) }), spec({ hostPorts: one(8080), containerPorts: one(81) })];
    assert.equal(coalesce(crossed).length, 2);
  });
});

describe('taking away', () => {
  test('all of a range leaves nothing; a part leaves exactly the rest', () => {
    fc.assert(
      fc.property(specs, fc.integer({ min: 0, max: 50 }), fc.integer({ min: 1, max: 50 }), (value, skip, length) => {
        const { from } = value.containerPorts;
        const containerPorts = { from: from + skip, to: from + skip + length - 1 };
        const selection: PortSpec = { ...value, hostAddress: null, hostPorts: null, containerPorts };
        const gone = (pair: string): boolean => {
          const port = Number(pair.slice(pair.indexOf('>') + 1));
          return port >= containerPorts.from && port <= containerPorts.to;
        };
        assert.deepEqual(
          pairs(partAll([value], [selection]).left),
          pairs([value]).filter((pair) => !gone(pair)),
        );
        assert.deepEqual(partAll([value], [value]).left, []);
      }),
    );
  });

  test('host ports and the host address narrow it down', () => {
    const range = spec({ hostPorts: { from: 8000, to: 8009 }, containerPorts: { from: 1000, to: 1009 } });
    const some = spec({ hostPorts: { from: 8004, to: 8005 }, containerPorts: { from: 1004, to: 1005 } });
    assert.deepEqual(pairs(partAll([range], [some]).left).length, 8);
    assert.deepEqual(partAll([range], [{ ...some, protocol: 'udp' }]).left, [range]);
    assert.deepEqual(partAll([range], [{ ...some, hostAddress: '127.0.0.1' as IpAddress }]).left, [range]);
    assert.deepEqual(partAll([range], [{ ...some, hostPorts: { from: 9000, to: 9001 } }]).left, [range]);
  });
});

describe('a port that is not published', () => {
  const binding = (hostPorts: PortRange, containerPorts: PortRange) => ({
    protocol: 'tcp' as const,
    hostAddress: '0.0.0.0' as IpAddress,
    hostPorts,
    containerPorts,
  });
  const ports = [binding(one(9090), one(80)), binding({ from: 7000, to: 7999 }, { from: 8000, to: 8999 })];
  for (const [word, expected] of [
    ['81', "No public port '81/tcp' published for web"],
    ['9090/udp', "No public port '9090/udp' published for web"],
    ['1:9090', "No public port '1:9090/tcp' published for web"],
    ['9090', "No public port '9090/tcp' published for web: port 9090 of the host leads to 80, so it is 9090:80/tcp"],
    [
      '7100-7199',
      "No public port '7100-7199/tcp' published for web: ports 7100-7199 of the host lead to 8100-8199, so it is 7100-7199:8100-8199/tcp",
    ],
  ] as const)
    test(word, () => assert.equal(notPublishedText(parsePortSpec(word), { name: 'web', ports }), expected));
});
