import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { MoorError } from '../../base/errors.ts';
import { formatIp, familyOf, type IpAddress, type Prefix, prefixContains } from '../../base/ip.ts';
import { usableRange } from '../../model/subnet.ts';
import { AddressSet } from './addresses.ts';

const ip = (text: string): IpAddress => text as IpAddress;
const set = (subnet: string, range: string | null = null): AddressSet => new AddressSet(subnet as Prefix, range as Prefix | null);

/**
 * The rule, the slow way: of the free addresses, one that came back unused; else one that never was in use, from where the last one
 * was upwards; else the one that was released first.
 */
class Model {
  readonly held = new Map<IpAddress, 'turn' | 'early' | 'again'>();
  readonly released: IpAddress[] = [];
  readonly returned: IpAddress[] = [];
  readonly all: readonly IpAddress[];
  #at = 0;

  constructor(subnet: Prefix, range: Prefix) {
    const { first, last } = usableRange(subnet);
    const addresses: IpAddress[] = [];
    for (let value = first; value <= last; value++) addresses.push(formatIp(familyOf(subnet), value));
    this.all = addresses.filter((address) => prefixContains(range, address));
  }

  take(): IpAddress | undefined {
    const fresh = [...this.all.slice(this.#at), ...this.all.slice(0, this.#at)].find((one) => this.#isFresh(one));
    const next = this.returned[0] ?? fresh ?? this.released[0];
    if (next === undefined) return undefined;
    if (next === fresh && !this.returned.includes(next)) this.#at = (this.all.indexOf(next) + 1) % this.all.length;
    this.#hold(next, 'turn');
    return next;
  }

  takeNamed(address: IpAddress): void {
    this.#hold(address, this.returned.includes(address) ? 'turn' : this.#isFresh(address) ? 'early' : 'again');
  }

  release(address: IpAddress, unused: boolean): void {
    const way = this.held.get(address);
    if (way === undefined) return;
    this.held.delete(address);
    if (!unused || way === 'again') this.released.push(address);
    else if (way === 'turn') this.returned.push(address);
    else if (this.all.indexOf(address) < this.#at) this.released.push(address);
  }

  #isFresh(address: IpAddress): boolean {
    return !this.held.has(address) && !this.released.includes(address) && !this.returned.includes(address);
  }

  #hold(address: IpAddress, way: 'turn' | 'early' | 'again'): void {
    for (const list of [this.released, this.returned]) if (list.includes(address)) list.splice(list.indexOf(address), 1);
    this.held.set(address, way);
  }
}

test('no address is reused while another is free, the one released first comes first', () => {
  const shapes = fc.constantFrom<readonly [string, string]>(
    ['10.0.0.0/28', '10.0.0.0/28'],
    ['10.0.0.0/28', '10.0.0.8/29'],
    ['10.0.0.0/28', '10.0.0.0/30'],
    ['10.0.0.0/31', '10.0.0.0/31'],
    ['10.0.0.7/32', '10.0.0.7/32'],
    ['fd00::/124', 'fd00::/124'],
    ['fd00::/64', 'fd00::8/125'],
  );
  const operation = fc.oneof(
    { weight: 4, arbitrary: fc.constant({ type: 'take' as const }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('named' as const), index: fc.nat({ max: 15 }) }) },
    {
      weight: 4,
      arbitrary: fc.record({ type: fc.constant('release' as const), index: fc.nat({ max: 15 }), unused: fc.boolean() }),
    },
  );
  fc.assert(
    fc.property(shapes, fc.array(operation, { maxLength: 120 }), ([subnet, range], operations) => {
      const addresses = set(subnet, range === subnet ? null : range);
      const model = new Model(subnet.endsWith('/64') ? ('fd00::/124' as Prefix) : (subnet as Prefix), range as Prefix);
      const { first } = usableRange(subnet as Prefix);
      for (const [turn, step] of operations.entries()) {
        const owner = `owner ${turn}`;
        if (step.type === 'take') {
          const expected = model.take();
          if (expected === undefined) {
            assert.throws(
              () => addresses.take(owner),
              (error) => error instanceof MoorError && error.kind === 'exhausted',
            );
            continue;
          }
          assert.equal(addresses.take(owner), expected);
        } else if (step.type === 'named') {
          const address = model.all[step.index % model.all.length];
          assert.ok(address !== undefined);
          if (model.held.has(address)) assert.throws(() => addresses.take(owner, { address }), /Address already in use/);
          else {
            assert.equal(addresses.take(owner, { address }), address);
            model.takeNamed(address);
          }
        } else {
          const address = [...model.held.keys()][step.index] ?? formatIp(familyOf(subnet as Prefix), first);
          addresses.release(address, step.unused);
          model.release(address, step.unused);
        }
        assert.equal(addresses.used, BigInt(model.held.size));
      }
      assert.equal(addresses.size, BigInt(model.all.length));
    }),
    { numRuns: 500, seed: 7 },
  );
});

test('gateway, then upwards, as users of Docker expect', () => {
  const addresses = set('192.168.7.0/24');
  assert.equal(addresses.take('gateway', { address: ip('192.168.7.1') }), '192.168.7.1');
  assert.equal(addresses.take('a'), '192.168.7.2');
  assert.equal(addresses.take('fixed', { address: ip('192.168.7.4') }), '192.168.7.4');
  assert.equal(addresses.take('b'), '192.168.7.3');
  assert.equal(addresses.take('c'), '192.168.7.5');
  addresses.release(ip('192.168.7.3'));
  assert.equal(addresses.take('d'), '192.168.7.6', 'not the one just released');
});

test('an owner that asks again gets what it holds', () => {
  const addresses = set('192.168.7.0/24');
  assert.equal(addresses.take('a'), '192.168.7.1');
  assert.equal(addresses.take('a'), '192.168.7.1');
  assert.equal(addresses.take('a', { address: ip('192.168.7.1') }), '192.168.7.1');
  assert.throws(
    () => addresses.take('a', { address: ip('192.168.7.9') }),
    /^MoorError: cannot give 192.168.7.9 to a: it holds 192.168.7.1 in/,
  );
  assert.throws(
    () => addresses.take('b', { address: ip('192.168.7.1') }),
    /^MoorError: Address already in use: 192.168.7.1 is held by a$/,
  );
  addresses.release(ip('192.168.7.1'));
  addresses.release(ip('192.168.7.1'));
  assert.equal(addresses.used, 0n);
});

test('what is given back unused leaves the order as it was', () => {
  const addresses = set('192.168.7.0/29');
  assert.equal(addresses.take('a'), '192.168.7.1');
  assert.equal(addresses.take('tried'), '192.168.7.2');
  addresses.release(ip('192.168.7.2'), true);
  addresses.take('tried by name', { address: ip('192.168.7.3') });
  addresses.release(ip('192.168.7.3'), true);
  assert.deepEqual(
    ['b', 'c', 'd', 'e', 'f'].map((owner) => addresses.take(owner)),
    ['192.168.7.2', '192.168.7.3', '192.168.7.4', '192.168.7.5', '192.168.7.6'],
  );
  for (const last of [5, 2, 3]) addresses.release(ip(`192.168.7.${last}`));
  assert.equal(addresses.take('tried'), '192.168.7.5');
  addresses.release(ip('192.168.7.5'), true);
  assert.deepEqual(
    ['g', 'h', 'i'].map((owner) => addresses.take(owner)),
    ['192.168.7.5', '192.168.7.2', '192.168.7.3'],
  );
});

test('a range limits only what is given out by itself', () => {
  const addresses = set('10.0.0.0/16', '10.0.5.0/30');
  assert.equal(addresses.size, 4n);
  assert.equal(addresses.take('fixed', { address: ip('10.0.200.1') }), '10.0.200.1');
  assert.deepEqual(
    ['a', 'b', 'c', 'd'].map((owner) => addresses.take(owner)),
    ['10.0.5.0', '10.0.5.1', '10.0.5.2', '10.0.5.3'],
  );
  assert.throws(() => addresses.take('e'), /no available addresses/);
  addresses.release(ip('10.0.200.1'));
  assert.throws(() => addresses.take('e'), /no available addresses/);
  addresses.release(ip('10.0.5.2'));
  assert.equal(addresses.take('e'), '10.0.5.2');
});

test('addresses that no host can have are refused', () => {
  const refuses = (subnet: string, address: string, text: RegExp): void =>
    assert.throws(
      () => set(subnet).take('a', { address: ip(address) }),
      (error) => error instanceof MoorError && error.kind === 'invalid' && text.test(error.message),
    );
  refuses('10.0.0.0/24', '10.0.1.1', /requested address is out of range: 10.0.1.1 is not in 10.0.0.0\/24/);
  refuses('10.0.0.0/24', 'fd00::1', /out of range/);
  refuses('10.0.0.0/24', '10.0.0.0', /network address/);
  refuses('10.0.0.0/24', '10.0.0.255', /broadcast address/);
  refuses('fd00::/64', 'fd00::', /anycast/);
  assert.equal(set('fd00::/64').take('a', { address: ip('fd00::ffff:ffff:ffff:ffff') }), 'fd00::ffff:ffff:ffff:ffff');
});

test('point-to-point subnets give out every address', () => {
  const all = (subnet: string, count: number): string[] => {
    const addresses = set(subnet);
    return Array.from({ length: count }, (_, i) => addresses.take(String(i)));
  };
  assert.deepEqual(all('10.0.0.0/31', 2), ['10.0.0.0', '10.0.0.1']);
  assert.deepEqual(all('10.0.0.9/32', 1), ['10.0.0.9']);
  assert.deepEqual(all('fd00::/127', 2), ['fd00::', 'fd00::1']);
  assert.deepEqual(all('10.0.0.0/30', 2), ['10.0.0.1', '10.0.0.2']);
  assert.deepEqual(all('fd00::/126', 3), ['fd00::1', 'fd00::2', 'fd00::3']);
});

test('after a restart the order goes on behind what was given out', () => {
  const addresses = set('192.168.7.0/24');
  addresses.take('gateway', { address: ip('192.168.7.1') });
  addresses.take('x', { address: ip('192.168.7.9'), restored: true });
  addresses.take('y', { address: ip('192.168.7.4'), restored: true });
  addresses.take('fixed', { address: ip('192.168.7.200') });
  assert.equal(addresses.take('a'), '192.168.7.10');
  const full = set('10.0.0.0/29');
  full.take('last', { address: ip('10.0.0.6'), restored: true });
  full.take('other', { address: ip('10.0.0.3'), restored: true });
  assert.deepEqual(
    ['a', 'b', 'c', 'd'].map((owner) => full.take(owner)),
    ['10.0.0.1', '10.0.0.2', '10.0.0.4', '10.0.0.5'],
  );
});

test('a /16 is given out whole, and then again in the order of release', () => {
  const addresses = set('10.7.0.0/16');
  const given = Array.from({ length: 65_534 }, (_, i) => addresses.take(`e${i}`));
  assert.equal(new Set(given).size, 65_534);
  assert.throws(() => addresses.take('more'), /no available/);
  const order = [5, 60_000, 3, 65_533, 0].map((i) => given[i] ?? ip(''));
  for (const address of order) addresses.release(address);
  assert.deepEqual(
    order.map((_, i) => addresses.take(`again ${i}`)),
    order,
  );
});

test('a large range that is used over and over costs no more memory than a /16', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const addresses = set('10.0.0.0/8');
  const use = (times: number): void => {
    for (let i = 0; i < times; i++) addresses.release(addresses.take('one'));
  };
  use(1);
  collect();
  const before = process.memoryUsage().heapUsed;
  use(400_000);
  collect();
  const grown = process.memoryUsage().heapUsed - before;
  // 65,536 remembered at about 150 bytes each, twice that with the queue's waste; all 400,000 would be 60 MB.
  assert.ok(grown < 24e6, `${grown} bytes`);
  assert.equal(addresses.take('one'), '10.6.26.130', 'none came twice');
});

test('when a large range has been gone through, the longest released come first', () => {
  // 131,070 addresses, all used once; the first half of those released is forgotten.
  const addresses = set('10.0.0.0/15');
  const given = Array.from({ length: 131_070 }, (_, i) => addresses.take(`e${i}`));
  for (const address of given) addresses.release(address);
  const again = Array.from({ length: 131_070 }, (_, i) => addresses.take(`f${i}`));
  assert.deepEqual(again, given);
});

test('another set of the same subnet goes on where the first one was', () => {
  const first = set('10.0.0.0/29');
  assert.equal(first.turn, null, 'none was given out by itself');
  for (const owner of ['a', 'b', 'c']) first.take(owner);
  first.release(ip('10.0.0.3'));
  assert.equal(first.turn, '10.0.0.4');
  const second = set('10.0.0.0/29');
  // Who came after the turn was noted holds it, and so does one with a wish.
  for (const [owner, address] of [
    ['a', '10.0.0.1'],
    ['b', '10.0.0.2'],
    ['d', '10.0.0.4'],
  ] as const)
    second.take(owner, { address: ip(address), restored: true });
  second.resume(first.turn ?? ip('10.0.0.1'));
  assert.deepEqual(
    ['e', 'f', 'g'].map((owner) => second.take(owner)),
    ['10.0.0.5', '10.0.0.6', '10.0.0.3'],
  );
  const ranged = set('10.0.0.0/24', '10.0.0.128/25');
  ranged.resume(ip('10.0.0.5'));
  assert.equal(ranged.take('a'), '10.0.0.128', 'a turn outside the range is none');
});
