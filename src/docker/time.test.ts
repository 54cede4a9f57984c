import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDuration, parseMoment, parseTimestamp } from './time.ts';

const NOW = Date.parse('2026-11-30T12:00:00Z');

test('Go durations', () => {
  for (const [text, ms] of [
    ['0', 0],
    ['1h30m', 5_400_000],
    ['10.5s', 10_500],
    ['-1m', -60_000],
    ['1ms', 1],
    ['1µs', 0.001],
    ['.5h', 1_800_000],
  ] as const) {
    assert.equal(parseDuration(text), ms, text);
  }
  for (const text of ['', '5', 'h', '1d', '1h 2m', '1h2', 'ten']) assert.equal(parseDuration(text), null, text);
});

test('points in time', () => {
  for (const [text, ms] of [
    ['1136073600', 1_136_073_600_000],
    ['1136073600.123456789', 1_136_073_600_123],
    ['1h', NOW - 3_600_000],
    ['2006-01-02T15:04:05Z', Date.parse('2006-01-02T15:04:05Z')],
    ['2006-01-02T15:04:05.123456789Z', Date.parse('2006-01-02T15:04:05.123Z')],
    ['2006-01-02T15:04:05+02:00', Date.parse('2006-01-02T13:04:05Z')],
    ['2006-01-02T15:04Z', Date.parse('2006-01-02T15:04:00Z')],
    ['2006-01-02', new Date(2006, 0, 2).getTime()],
    ['2006-01-02Z', Date.parse('2006-01-02T00:00:00Z')],
    ['2006-01-02T15', new Date(2006, 0, 2, 15).getTime()],
  ] as const) {
    assert.equal(parseTimestamp(text, NOW), ms, text);
  }
  for (const text of ['x', '2006-13-01', '2006-1-2', '12:00', '1d', 'NaN', '2006-01-02T25:00:00Z']) {
    assert.throws(
      () => parseTimestamp(text, NOW),
      { kind: 'invalid', message: /^failed to parse value as time or duration: "/ },
      text,
    );
  }
});

test('moments keep their nanoseconds', () => {
  const now = Date.UTC(2026, 10, 30, 12);
  assert.equal(parseMoment('1700000000.000000001', now), '2023-11-14T22:13:20.000000001Z');
  assert.equal(parseMoment('1700000000', now), '2023-11-14T22:13:20.000000000Z');
  assert.equal(parseMoment('2026-11-30T12:00:00.123456789+02:00', now), '2026-11-30T10:00:00.123456789Z');
  assert.equal(parseMoment('90s', now), '2026-11-30T11:58:30.000000000Z');
  assert.throws(() => parseMoment('soon', now), { message: 'failed to parse value as time or duration: "soon"' });
});
