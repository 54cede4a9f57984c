import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { LogEntry, LogQuery } from '../../contracts/containers.ts';
import { normalTime, parseLine } from './line.ts';
import { readLogs } from './read.ts';

const all: LogQuery = { follow: false, tail: 'all', since: null, until: null };
const never = new AbortController().signal;

interface Log extends Disposable {
  readonly path: string;
  readonly end: AbortController;
  readonly read: (query?: Partial<LogQuery>, signal?: AbortSignal) => AsyncGenerator<LogEntry>;
  readonly texts: (query?: Partial<LogQuery>) => Promise<readonly string[]>;
}

function log(content?: string): Log {
  const directory = mkdtempSync(join(tmpdir(), 'moor-log-'));
  const path = join(directory, 'log');
  if (content !== undefined) writeFileSync(path, content);
  const end = new AbortController();
  const read: Log['read'] = (query, signal = never) => readLogs({ path, ended: end.signal }, { ...all, ...query }, signal);
  return {
    path,
    end,
    read,
    async texts(query) {
      const found: string[] = [];
      for await (const { data } of read(query)) found.push(Buffer.from(data).toString());
      return found;
    },
    [Symbol.dispose]: () => rmSync(directory, { recursive: true }),
  };
}

const at = (second: number, rest: string): string =>
  `2026-11-30T10:00:${String(second).padStart(2, '0')}.500000000+00:00 ${rest}`;
const next = async (lines: AsyncGenerator<LogEntry>): Promise<string> => {
  const result = await lines.next();
  assert.ok(!result.done, 'the log has ended');
  return Buffer.from(result.value.data).toString();
};

describe('a line', () => {
  test('keeps its bytes, its stream and its nanoseconds', () => {
    const bytes = Buffer.concat([
      Buffer.from('2026-11-30T12:34:56.123456789+02:00 stderr F '),
      Buffer.from([0xff, 0x00, 0x0d, 0x0a]),
    ]);
    assert.deepEqual(parseLine(bytes), {
      time: '2026-11-30T10:34:56.123456789Z',
      stream: 'stderr',
      partial: false,
      data: Buffer.from([0xff, 0x00, 0x0d, 0x0a]),
    });
    assert.deepEqual(parseLine(Buffer.from(at(1, 'stdout P piece \n')))?.data, Buffer.from('piece '));
    for (const bad of ['', '\n', 'x y\n', 'yesterday stdout F a\n', at(1, 'stdin F a\n'), at(1, 'stdout F no end')]) {
      assert.equal(parseLine(Buffer.from(bad)), null, bad);
    }
  });

  test('has a time that sorts', () => {
    assert.equal(normalTime('2026-11-30T10:00:00Z'), '2026-11-30T10:00:00.000000000Z');
    assert.equal(normalTime('2026-11-30T23:30:00.5-01:00'), '2026-12-01T00:30:00.500000000Z');
    assert.equal(normalTime('2026-11-30'), null);
  });
});

describe('reading', () => {
  test('gives everything, pieces as they are', async () => {
    using it = log(at(1, 'stdout F one\n') + at(2, 'stdout P tw\n') + at(2, 'stdout F o\n') + at(3, 'stderr F \n'));
    assert.deepEqual(await it.texts(), ['one\n', 'tw', 'o\n', '\n']);
  });

  test('of a log that is not there, or that ends in the middle of a line', async () => {
    using none = log();
    assert.deepEqual(await none.texts(), []);
    using half = log(`${at(1, 'stdout F one\n')}2026-11-30T10:0`);
    assert.deepEqual(await half.texts(), ['one\n']);
  });

  test('between two times', async () => {
    using it = log([1, 2, 3, 4].map((second) => at(second, `stdout F ${second}\n`)).join(''));
    assert.deepEqual(await it.texts({ since: '2026-11-30T10:00:02.5Z' }), ['2\n', '3\n', '4\n']);
    assert.deepEqual(await it.texts({ since: '2026-11-30T12:00:02.6+02:00', until: '2026-11-30T10:00:03.9Z' }), ['3\n']);
    await assert.rejects(it.texts({ since: 'noon' }), { kind: 'invalid' });
  });

  test('the last lines, also over many blocks; the pieces of a line are one', async () => {
    const lines = Array.from({ length: 5000 }, (_, index) => `${index} ${'x'.repeat(index % 97)}\n`);
    using it = log(lines.map((line) => at(1, `stdout F ${line}`)).join(''));
    for (const tail of [0, 1, 2, 10, 1500, 4999, 5000, 6000]) {
      assert.deepEqual(await it.texts({ tail }), tail === 0 ? [] : lines.slice(-tail), `tail ${tail}`);
    }
    using pieces = log(
      at(1, 'stdout F a\n') +
        at(1, 'stdout P b1\n') +
        at(1, 'stdout P b2\n') +
        at(1, 'stdout F b3\n') +
        at(1, 'stdout P c1\n') +
        at(1, 'stdout P c2\n'),
    );
    assert.deepEqual(await pieces.texts({ tail: 1 }), ['c1', 'c2']);
    assert.deepEqual(await pieces.texts({ tail: 2 }), ['b1', 'b2', 'b3\n', 'c1', 'c2']);
    assert.deepEqual(await pieces.texts({ tail: 3 }), ['a\n', 'b1', 'b2', 'b3\n', 'c1', 'c2']);
    using long = log(at(1, 'stdout F before\n') + at(1, `stdout F ${'y'.repeat(200_000)}\n`));
    assert.deepEqual(
      (await long.texts({ tail: 1 })).map((text) => text.length),
      [200_001],
    );
  });
});

describe('following', () => {
  test('goes on until the container has ended, with all that it wrote', async () => {
    using it = log(at(1, 'stdout F one\n'));
    const lines = it.read({ follow: true });
    assert.equal(await next(lines), 'one\n');
    const waiting = next(lines);
    appendFileSync(it.path, at(2, 'stdout F two'));
    appendFileSync(it.path, '\n');
    assert.equal(await waiting, 'two\n');
    appendFileSync(it.path, at(3, 'stdout F three\n'));
    it.end.abort();
    assert.equal(await next(lines), 'three\n');
    assert.equal((await lines.next()).done, true);
  });

  test('begins before the log does, and goes on where it is begun anew', async () => {
    using it = log();
    // All lines: with a tail of 0 it would matter whether the reader looks before or after the first one is there.
    const lines = it.read({ follow: true });
    const first = next(lines);
    await new Promise((resolve) => setImmediate(resolve));
    writeFileSync(it.path, at(1, 'stdout F first\n'));
    assert.equal(await first, 'first\n');
    // What conmon does when the log is full.
    appendFileSync(it.path, at(2, 'stdout F last of the old\n'));
    writeFileSync(`${it.path}.tmp`, '');
    renameSync(`${it.path}.tmp`, it.path);
    appendFileSync(it.path, at(3, 'stdout F new\n'));
    assert.equal(await next(lines), 'last of the old\n');
    assert.equal(await next(lines), 'new\n');
    it.end.abort();
    assert.equal((await lines.next()).done, true);
  });

  test('only new lines, and until it is told to stop', async () => {
    using it = log(at(1, 'stdout F old\n'));
    const stop = new AbortController();
    const lines = it.read({ follow: true, tail: 0 }, stop.signal);
    const waiting = next(lines);
    await new Promise((resolve) => setTimeout(resolve, 50)); // for the reader to have looked at the end
    appendFileSync(it.path, at(2, 'stdout F new\n'));
    assert.equal(await waiting, 'new\n');
    const over = lines.next();
    stop.abort();
    assert.equal((await over).done, true);
  });

  test('ends at a time that was set', async () => {
    using it = log('2020-01-01T00:00:00.000000000+00:00 stdout F old\n');
    const until = new Date(Date.now() + 100).toISOString();
    assert.deepEqual(await it.texts({ follow: true, until }), ['old\n']);
  });
});
