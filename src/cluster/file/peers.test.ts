import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MoorError } from '../../base/errors.ts';
import { readPeers } from './peers.ts';

const GOOD = `# two hosts
peers:
  - name: n1
    address: 192.0.2.1
    subnet: 10.244.1.0/24
  - { name: n2, addresses: [192.0.2.2, "2001:db8::2"], subnets: [10.244.2.0/24, fd00:2::/64], port: 8285, vtep4: 02:00:00:00:00:02 }
`;

const refuses = (text: string, message: RegExp): Promise<void> =>
  assert.rejects(readPeers(text, 'peers.yaml'), (error) => {
    assert.ok(error instanceof MoorError && error.kind === 'invalid', String(error));
    assert.match(error.message, message);
    return true;
  });

test('hosts with one address or several, one subnet or several', async () => {
  assert.deepEqual(await readPeers(GOOD, 'peers.yaml'), [
    { name: 'n1', addresses: ['192.0.2.1'], subnets: ['10.244.1.0/24'], line: 3 },
    {
      name: 'n2',
      addresses: ['192.0.2.2', '2001:db8::2'],
      subnets: ['10.244.2.0/24', 'fd00:2::/64'],
      line: 6,
      port: 8285,
      vtep4: '02:00:00:00:00:02',
    },
  ]);
});

test('every fault is told with its line', async () => {
  const change = (from: string, to: string): string => {
    assert.ok(GOOD.includes(from));
    return GOOD.replace(from, to);
  };
  await refuses('', /^peers\.yaml:1: a list of hosts is wanted, under `peers`$/);
  await refuses('peers: 7', /^peers\.yaml:1: `peers` is no list$/);
  await refuses('peers:\n  - 7\n', /^peers\.yaml:2: a host is wanted/);
  await refuses('hosts: []', /^peers\.yaml:1: unknown field hosts$/);
  await refuses(
    change('subnet: 10.244.1.0/24', 'subnet: 10.244.1.7/24'),
    /^peers\.yaml:5: invalid subnet 10\.244\.1\.7\/24: it should be 10/,
  );
  await refuses(
    change('subnet: 10.244.1.0/24', 'subnet: 10.244.0.0/16'),
    /^peers\.yaml:6: subnet: 10\.244\.2\.0\/24 overlaps 10\.244\.0\.0\/16 on line 3$/,
  );
  await refuses(
    change('address: 192.0.2.1', 'address: 127.0.0.1'),
    /^peers\.yaml:4: address: 127\.0\.0\.1 is no host's address$/,
  );
  await refuses(
    change('address: 192.0.2.1', 'address: 192.0.2.2'),
    /^peers\.yaml:6: address: 192\.0\.2\.2 stands on line 3 already$/,
  );
  await refuses(change('"2001:db8::2"', '192.0.2.3'), /^peers\.yaml:6: addresses: one of a family at most$/);
  await refuses(change('    address: 192.0.2.1\n', ''), /^peers\.yaml:3: address is missing$/);
  await refuses(change('name: n1', 'nam: n1'), /^peers\.yaml:3: unknown field nam$/);
  await refuses(change('name: n1', 'name: true'), /^peers\.yaml:3: name: text is wanted, not true$/);
  await refuses(change('name: n1', 'name: 1'), /^peers\.yaml:3: name: text is wanted, not 1$/);
  await refuses(change('name: n1', 'name: n2'), /^peers\.yaml:6: name: n2 stands on line 3 already$/);
  await refuses(change('8285', '70000'), /^peers\.yaml:6: port: a number from 0 to 65535 is wanted, not 70000$/);
  await refuses(change('8285', '0'), /^peers\.yaml:6: port: 0 is no port$/);
  await refuses(change('02:00:00:00:00:02', '01:00:00:00:00:02'), /^peers\.yaml:6: .*multicast/);
  await refuses(change('    address: 192.0.2.1', '    address: 192.0.2.1\n    address: 192.0.2.9'), /^peers\.yaml:5: .*unique/);
  await refuses(change('    subnet: 10.244.1.0/24', '    subnet: [10.244.1.0/24'), /^peers\.yaml:\d+: /);
  await refuses(change('subnet: 10.244.1.0/24', 'subnet: *nowhere'), /^peers\.yaml:5: /);
  await refuses(`${GOOD}---\n${GOOD}`, /^peers\.yaml:\d+: /);
});

test('whatever the file holds, the answer is peers or an error with a line', async () => {
  const mutated = fc
    .array(fc.tuple(fc.nat({ max: GOOD.length }), fc.nat({ max: 12 }), fc.string({ maxLength: 6, unit: 'grapheme' })), {
      minLength: 1,
      maxLength: 4,
    })
    .map((edits) => edits.reduce((text, [at, cut, put]) => text.slice(0, at) + put + text.slice(at + cut), GOOD));
  await fc.assert(
    fc.asyncProperty(mutated, async (text) => {
      try {
        for (const { addresses, subnets } of await readPeers(text, 'f')) assert.ok(addresses.length > 0 && subnets.length > 0);
      } catch (error) {
        assert.ok(error instanceof MoorError && error.kind === 'invalid', String(error));
        assert.match(error.message, /^f:\d+: /);
      }
    }),
    { numRuns: 500, seed: 7 },
  );
});
