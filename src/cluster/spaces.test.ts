import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MoorError } from '../base/errors.ts';
import { addressOf, formatIp, lengthOf, type Prefix, prefixContains, prefixesOverlap } from '../base/ip.ts';
import { freeSubnets, inSpace, subnetSpaces } from './spaces.ts';

const space = (range: string, options: Readonly<Record<string, string>> = {}): readonly (string | number)[] => {
  const [one] = subnetSpaces([range as Prefix], options);
  assert.ok(one);
  return [one.length, formatIp(one.family, one.min), formatIp(one.family, one.max)];
};

test('defaults are flannel’s', () => {
  assert.deepEqual(space('10.244.0.0/16'), [24, '10.244.1.0', '10.244.255.0']);
  assert.deepEqual(space('10.0.0.0/22'), [24, '10.0.1.0', '10.0.3.0']);
  assert.deepEqual(space('10.0.0.0/23'), [25, '10.0.0.128', '10.0.1.128']);
  assert.deepEqual(space('10.0.0.0/28'), [30, '10.0.0.4', '10.0.0.12']);
  assert.deepEqual(space('fd00::/48'), [64, 'fd00:0:0:1::', 'fd00:0:0:ffff::']);
  assert.deepEqual(space('fd00::/63'), [65, 'fd00::8000:0:0:0', 'fd00:0:0:1:8000::']);
  assert.deepEqual(space('10.244.0.0/16', { 'subnet-len': '26', 'subnet-min': '10.244.0.0', 'subnet-max': '10.244.0.128' }), [
    26,
    '10.244.0.0',
    '10.244.0.128',
  ]);
  assert.deepEqual(space('fd00::/48', { 'subnet-len': '26', 'subnet-len6': '80' })[0], 80);
});

test('what cannot be is refused, naming option and rule', () => {
  const refuses = (ranges: string, options: Readonly<Record<string, string>>, text: RegExp): void =>
    assert.throws(
      () => subnetSpaces(ranges === '' ? [] : (ranges.split(' ') as Prefix[]), options),
      (error) => error instanceof MoorError && error.kind === 'invalid' && text.test(error.message),
    );
  refuses('', {}, /needs a --subnet/);
  refuses('10.0.0.0/29', {}, /invalid range 10\.0\.0\.0\/29: too small to be divided, at most \/28/);
  refuses('fd00::/125', {}, /at most \/124/);
  refuses('10.0.0.0/16 10.1.0.0/16', {}, /one --subnet of a family/);
  refuses('10.0.0.0/16', { 'subnet-len': '17' }, /invalid option subnet-len=17: 18 to 30 in 10\.0\.0\.0\/16/);
  refuses('10.0.0.0/16', { 'subnet-len': '31' }, /18 to 30/);
  refuses('10.0.0.0/16', { 'subnet-len': 'x' }, /18 to 30/);
  refuses('10.0.0.0/16', { 'subnet-min': '10.0.1.1' }, /invalid option subnet-min=10\.0\.1\.1: not the first address of a \/24/);
  refuses('10.0.0.0/16', { 'subnet-min': '10.1.0.0' }, /it is not in 10\.0\.0\.0\/16/);
  refuses('10.0.0.0/16', { 'subnet-max': 'fd00::' }, /not an IPv4 address/);
  refuses('10.0.0.0/16', { 'subnet-min': '10.0.9.0', 'subnet-max': '10.0.8.0' }, /it is above 10\.0\.8\.0/);
  refuses('fd00::/48', { 'subnet-min6': '10.0.0.0' }, /not an IPv6 address/);
});

test('subnets of a space lie in its range, do not overlap, and are all that it has', () => {
  const shapes = fc
    .tuple(fc.integer({ min: 8, max: 28 }), fc.integer({ min: 2, max: 6 }), fc.boolean())
    .map(([outer, more, six]): readonly [Prefix, number] =>
      six
        ? [`fd00::/${outer + 32}` as Prefix, outer + 32 + more]
        : ['10.0.0.0/8'.replace('/8', `/${outer}`) as Prefix, Math.min(30, outer + more)],
    );
  fc.assert(
    fc.property(shapes, ([range, length]) => {
      const [one] = subnetSpaces([range], { 'subnet-len': String(length), 'subnet-len6': String(length) });
      assert.ok(one);
      const all = freeSubnets(one, () => false, 1_000);
      assert.equal(all.length, 2 ** (length - lengthOf(range)) - 1);
      for (const [i, subnet] of all.entries()) {
        assert.ok(inSpace(one, subnet) && prefixContains(range, addressOf(subnet)) && lengthOf(subnet) === length);
        const next = all[i + 1];
        assert.ok(next === undefined || !prefixesOverlap(subnet, next));
      }
      const taken = new Set(all.slice(0, 3));
      assert.deepEqual(
        freeSubnets(one, (subnet) => taken.has(subnet), 2),
        all.slice(3, 5),
      );
    }),
    { numRuns: 200, seed: 7 },
  );
});
