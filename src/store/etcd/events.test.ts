import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger } from '../../base/clock.ts';
import { EVENT_DELETE, type EventMessage, WATCH, type WatchMessage } from './api.ts';
import { Events } from './events.ts';
import { Keys } from './keys.ts';

const keys = new Keys('/p', silentLogger);

/** `a@5` or `-a@5` (deleted), as a server sends it. */
function event(text: string): EventMessage {
  const [, minus, key = '', revision = ''] = /^(-?)(.*)@(\d+)$/.exec(text) ?? [];
  const kv = {
    key: Buffer.from(`/p/${key}`),
    value: Buffer.from(minus ? '' : `v${revision}`),
    modRevision: Number(revision),
    createRevision: 0,
    lease: 0n,
  };
  return { type: minus ? EVENT_DELETE : 0, kv };
}

const empty = WATCH.response.decode(Buffer.alloc(0));
const message = (events: readonly string[], more: Partial<WatchMessage> = {}): WatchMessage => ({
  ...empty,
  events: events.map(event),
  ...more,
});
const take = (events: Events, given: WatchMessage): readonly string[] =>
  events.take(given).map(({ key, value, revision }) => `${value === null ? '-' : ''}${key}@${revision}`);

test('events in order; what was seen before is left out', () => {
  const events = new Events(keys, 4);
  assert.deepEqual(take(events, message(['a@3', 'a@4', 'a@5', '-b@5', 'c@7'])), ['a@5', '-b@5', 'c@7']);
  assert.equal(events.seen, 7);
  assert.deepEqual(take(events, message(['c@7', 'd@8'])), ['d@8']);
});

test('a commit that comes in pieces is told when it is whole', () => {
  const events = new Events(keys, 1);
  assert.deepEqual(take(events, message(['a@2', 'a@3', 'b@3'], { fragment: true })), ['a@2']);
  assert.equal(events.seen, 2);
  assert.deepEqual(take(events, message(['c@3'], { fragment: true })), []);
  assert.deepEqual(take(events, message(['d@3', 'a@4'], { fragment: true })), ['a@3', 'b@3', 'c@3', 'd@3']);
  assert.deepEqual(take(events, message(['b@4'])), ['a@4', 'b@4']);
  assert.equal(events.seen, 4);
});

test('a commit of which the connection brought only a part comes again, whole', () => {
  const events = new Events(keys, 1);
  assert.deepEqual(take(events, message(['a@2', 'b@2'], { fragment: true })), []);
  events.interrupt();
  assert.equal(events.seen, 1, 'the next watch begins with revision 2');
  assert.deepEqual(take(events, message(['a@2', 'b@2', 'c@2'])), ['a@2', 'b@2', 'c@2']);
});

test('a progress notification moves the place to go on from, the answer to a request for progress does not', () => {
  const events = new Events(keys, 5);
  const header = { clusterId: 1n, revision: 90 };
  assert.deepEqual(take(events, message([], { watchId: -1, header })), []);
  assert.deepEqual(take(events, message([], { watchId: 0, header, created: true })), []);
  assert.deepEqual(take(events, message([], { watchId: 0, header, canceled: true })), []);
  assert.equal(events.seen, 5);
  assert.deepEqual(take(events, message([], { watchId: 0, header })), []);
  assert.equal(events.seen, 90);
  assert.deepEqual(take(events, message([], { watchId: 0, header: { ...header, revision: 80 } })), []);
  assert.equal(events.seen, 90);
});

test('foreign keys and events without an entry are passed over, and count as seen', () => {
  const events = new Events(keys, 1);
  const given = message(['a b@2', '@3', 'ok@4', '/x@5']);
  assert.deepEqual(take(events, { ...given, events: [...given.events, { type: 0, kv: undefined }] }), ['ok@4']);
  assert.equal(events.seen, 5);
});
