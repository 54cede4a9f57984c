import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EngineEvent } from '../contracts/engine.ts';
import { eventLine, matchesEvent } from './events.ts';
import { parseFilters } from './filters.ts';

const created: EngineEvent = {
  type: 'network',
  action: 'create',
  actorId: 'a1b2c3d4',
  attributes: { name: 'my_net2', type: 'bridge' },
  time: 1_796_014_800_123,
};

test('a line is what Docker writes, with nanoseconds to the last digit', () => {
  const line = eventLine(created);
  assert.equal(
    line,
    '{"Type":"network","Action":"create","Actor":{"ID":"a1b2c3d4","Attributes":{"name":"my_net2","type":"bridge"}},' +
      '"scope":"local","time":1796014800,"timeNano":1796014800123000000}\n',
  );
  assert.ok(JSON.parse(eventLine({ ...created, type: 'container', action: 'start' })));
});

test('filters', () => {
  const matches = (filters: Readonly<Record<string, readonly string[]>>): boolean =>
    matchesEvent(created, parseFilters(JSON.stringify(filters)));
  assert.equal(matches({}), true);
  assert.equal(matches({ type: ['network'] }), true);
  assert.equal(matches({ type: ['container'] }), false);
  assert.equal(matches({ type: ['container', 'network'] }), true);
  assert.equal(matches({ event: ['create'] }), true);
  assert.equal(matches({ event: ['destroy'] }), false);
  assert.equal(matches({ network: ['my_net2'] }), true);
  assert.equal(matches({ network: ['a1b2'] }), true, 'the start of an id');
  assert.equal(matches({ network: ['other'] }), false);
  assert.equal(matches({ container: ['x'] }), false);
  assert.equal(matches({ image: ['x'] }), false);
  assert.equal(matches({ scope: ['swarm'] }), false);
  assert.equal(matches({ label: ['type=bridge'] }), true);
});
