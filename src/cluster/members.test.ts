import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { IpAddress, Prefix } from '../base/ip.ts';
import type { Peer } from '../model/node.ts';
import { type Claim, Members } from './members.ts';

const SELF = 'n0';
const subnet = (i: number): Prefix => `10.0.${i}.0/24` as Prefix;
const reached = (owner: string, address: number): { node: string; address: IpAddress; own: true } => ({
  node: owner,
  address: `192.0.2.${address}` as IpAddress,
  own: true,
});

/** The same from scratch: each subnet is of the lowest key that claims it; an entry counts whole or not at all. */
function expected(claims: ReadonlyMap<string, Claim>, nodes: ReadonlyMap<string, number>): readonly Peer[] {
  const sorted = [...claims.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
  const holder = new Map<Prefix, string>();
  for (const claim of sorted) for (const one of claim.subnets) if (!holder.has(one)) holder.set(one, claim.key);
  const valid = sorted.filter(({ key, subnets }) => subnets.every((one) => holder.get(one) === key));
  return [...nodes]
    .filter(([owner]) => owner !== SELF && valid.some((claim) => claim.owner === owner))
    .map(([owner, address]) => ({
      ...reached(owner, address),
      subnets: valid.flatMap((claim) => (claim.owner === owner ? claim.subnets : [])).sort(),
    }))
    .sort((a, b) => (a.node < b.node ? -1 : 1));
}

const owner = fc.nat({ max: 5 }).map((i) => `n${i}`);
const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      type: fc.constant('claim' as const),
      key: fc.nat({ max: 9 }),
      owner,
      subnets: fc.uniqueArray(fc.nat({ max: 5 }), { minLength: 1, maxLength: 2 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('unclaim' as const), key: fc.nat({ max: 9 }) }) },
  {
    weight: 4,
    arbitrary: fc.record({ type: fc.constant('node' as const), owner, address: fc.option(fc.integer({ min: 1, max: 9 })) }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('look' as const) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('hold' as const), on: fc.boolean() }) },
);

test('after any changes the peers are those that follow from all entries at once', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const claims = new Map<string, Claim>();
      const nodes = new Map<string, number>();
      let holding = false;
      const members = new Members({
        self: SELF,
        reach: (name) => (nodes.has(name) ? reached(name, nodes.get(name) ?? 0) : null),
        holding: () => holding,
        onConflict: () => {},
      });
      for (const one of steps) {
        const before = members.list();
        let changed = false;
        if (one.type === 'claim') {
          const key = `k${one.key}`;
          const claim: Claim = { key, owner: one.owner, subnets: one.subnets.map(subnet), part: { inUse: false } };
          claims.set(key, claim);
          changed = members.set(key, claim);
        } else if (one.type === 'unclaim') {
          claims.delete(`k${one.key}`);
          changed = members.set(`k${one.key}`, null);
        } else if (one.type === 'node') {
          if (one.address === null) nodes.delete(one.owner);
          else nodes.set(one.owner, one.address);
          changed = members.update(one.owner);
        } else if (one.type === 'hold') {
          holding = one.on;
          if (!holding) changed = members.releaseAll();
        }
        const now = members.list();
        // Nobody looks again when nothing is said to have changed.
        if (!changed) assert.equal(now, before);
        const right = expected(claims, nodes);
        if (!holding) assert.deepEqual(now, right);
        for (const peer of right) assert.deepEqual(now.find(({ node }) => node === peer.node)?.address, peer.address);
        const all = now.flatMap(({ subnets }) => subnets);
        assert.equal(new Set(all).size, all.length, 'a subnet of two peers');
      }
    }),
    { numRuns: 3_000, seed: 7 },
  );
});
