import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Timer, Timers } from './timers.ts';

/** What `timers.ts` says of its places. */
const TICK = 16;

const rethrow = (error: unknown): void => {
  throw error;
};

test('a timer that throws keeps none from firing', () => {
  const clock = { now: 0 };
  const heard: unknown[] = [];
  const timers = new Timers(clock, (error) => heard.push(error));
  let fired = 0;
  timers.start(new Timer(() => rethrow('broken')), 100);
  timers.start(new Timer(() => fired++), 100);
  clock.now = 1000;
  timers.run();
  assert.deepEqual([heard, fired, timers.wait()], [['broken'], 1, -1]);
});

test('a timer fires once, not early, and at most a tick after the loop looks', () => {
  const step = fc.oneof(
    fc.record({ start: fc.integer({ min: 0, max: 9 }), delay: fc.integer({ min: 0, max: 16_000 }) }),
    fc.record({ stop: fc.integer({ min: 0, max: 9 }) }),
    fc.record({ idle: fc.integer({ min: 0, max: 9_000_000 }) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const clock = { now: 12_345.6 };
      const timers = new Timers(clock, rethrow);
      const due = new Map<number, number>();
      const all = Array.from(
        { length: 10 },
        (_, i) =>
          new Timer(() => {
            const expected = due.get(i);
            assert.ok(expected !== undefined, `timer ${i} was not running`);
            assert.ok(clock.now >= expected, `timer ${i} is ${expected - clock.now} ms early`);
            assert.ok(clock.now < expected + 2 * TICK + 1, `timer ${i} is ${clock.now - expected} ms late`);
            due.delete(i);
          }),
      );
      /** As the loop: wait until something is due, or as long as nothing else happens. */
      const turn = (most: number): number => {
        const wait = timers.wait();
        const slept = wait < 0 ? most : Math.min(wait, most);
        clock.now += slept;
        return slept;
      };
      for (const part of steps) {
        const [timer] = 'start' in part ? [all[part.start]] : 'stop' in part ? [all[part.stop]] : [];
        if (timer && 'start' in part) {
          timers.start(timer, part.delay);
          due.set(part.start, clock.now + part.delay);
        } else if (timer && 'stop' in part) {
          timers.stop(timer);
          due.delete(part.stop);
        } else if ('idle' in part) {
          // While timers run; the rest is one long sleep.
          let left = part.idle;
          while (left > 0 && due.size > 0) {
            left -= turn(left);
            timers.run();
            if (timers.wait() === 0) break;
          }
          if (due.size === 0) clock.now += left;
        }
        timers.run();
      }
      while (due.size > 0) {
        turn(Infinity);
        timers.run();
      }
      assert.equal(timers.wait(), -1);
    }),
    { numRuns: 500 },
  );
});

test('a timer that another one stops, or starts anew, does not fire with it', () => {
  const clock = { now: 0 };
  const timers = new Timers(clock, rethrow);
  const fired: string[] = [];
  const second = new Timer(() => fired.push('second'));
  const third = new Timer(() => fired.push(`third ${clock.now}`));
  const first = new Timer(() => {
    fired.push('first');
    timers.stop(second);
    timers.start(third, 1000);
  });
  timers.start(first, 100);
  timers.start(second, 100);
  timers.start(third, 100);
  for (; timers.wait() >= 0; timers.run()) clock.now += Math.max(1, timers.wait());
  assert.deepEqual(fired, ['first', `third ${clock.now}`]);
});
