import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger } from '../base/clock.ts';
import type { EngineEvent } from '../contracts/engine.ts';
import { EventBus } from './events.ts';

const event = (n: number, label = ''): EngineEvent => ({
  type: 'container',
  action: 'create',
  actorId: String(n),
  attributes: { label },
  time: n,
});

function kept(bus: EventBus): string[] {
  const ids: string[] = [];
  bus.subscribe(({ actorId }) => ids.push(actorId), 0)();
  return ids;
}

test('so many are kept', () => {
  const bus = new EventBus(silentLogger);
  for (let n = 0; n < 300; n++) bus.emit(event(n));
  assert.deepEqual(
    kept(bus),
    Array.from({ length: 256 }, (_, i) => String(i + 44)),
  );
});

test('and so many bytes of them, the newest ones', () => {
  const bus = new EventBus(silentLogger);
  for (let n = 0; n < 100; n++) bus.emit(event(n, 'x'.repeat(100_000)));
  assert.deepEqual(kept(bus), ['90', '91', '92', '93', '94', '95', '96', '97', '98', '99']);
  const told: string[] = [];
  bus.subscribe(({ actorId }) => told.push(actorId));
  bus.emit(event(100, 'x'.repeat(2 << 20)));
  assert.deepEqual(told, ['100']);
  assert.deepEqual(kept(bus), []);
  bus.emit(event(101));
  assert.deepEqual(kept(bus), ['101']);
});
