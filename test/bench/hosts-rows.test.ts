import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MEASURES, rowsOf, type Samples, WHO, type Who } from './hosts-rows.ts';

/** Everybody has 1 in each round, and some have other numbers. */
function samples(special: Partial<Record<Who, number[]>>): Samples {
  const all = Object.fromEntries(WHO.map((who) => [who, special[who] ?? [1, 1, 1]])) as Record<Who, number[]>;
  return Object.fromEntries(MEASURES.map((measure) => [measure, all])) as Samples;
}

test('ratios are of numbers of one round', () => {
  // Medians are 6 and 2, and 2 is no ratio of any round.
  const rows = rowsOf(samples({ udp: [6, 3, 9], 'kernel vxlan': [2, 1, 9] }));
  const at = rows.findIndex(({ what }) => what === 'TCP, 1 x, offloads on, udp');
  assert.equal(rows[at + 1]?.what, '- over kernel vxlan by hand');
  assert.deepEqual(rows[at + 1]?.values.moorline, { samples: 3, median: 3, min: 1, max: 3 });
});

test('udp stands beside every other tunnel, and IPv6 beside IPv4', () => {
  const rows = rowsOf(samples({ udp: [20, 20, 20], 'udp 6': [19, 19, 19], tinc: [2.5, 2.5, 2.5], 'wireguard-go': [5, 5, 5] }));
  const at = rows.findIndex(({ what }) => what === 'TCP, 4 x, offloads off, udp');
  const said = rows.slice(at + 1, at + 9).map(({ what, values, budget }) => [what, values.moorline?.median, budget]);
  assert.deepEqual(said, [
    ['- over kernel vxlan by hand', 20, undefined],
    ['- over socat', 20, 10],
    ['- over tinc', 8, 10],
    ['- over tinc, no crypto', 20, 10],
    ['- over nebula', 20, 10],
    ['- over wireguard-go', 4, 3],
    ['- with IPv6', 19, undefined],
    ['- - over IPv4', 0.95, 0.95],
  ]);
});
