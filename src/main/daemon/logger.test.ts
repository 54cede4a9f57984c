import assert from 'node:assert/strict';
import { test } from 'node:test';
import { textLine } from './logger.ts';

test('a line of text: time, level, sentence, fields', () => {
  const line = textLine(
    JSON.stringify({
      level: 30,
      time: '2026-11-30T04:51:43.000Z',
      network: 'a1b2',
      name: 'my net',
      ms: 3,
      msg: 'created network',
    }),
  );
  assert.equal(line, '2026-11-30T04:51:43.000Z INFO  created network network=a1b2 name="my net" ms=3\n');
});

test('a name with a line break cannot forge a line', () => {
  const line = textLine(JSON.stringify({ level: 40, time: 't', name: 'x\n2026 INFO  fake', msg: 'a\nb' }));
  assert.equal(line.split('\n').length, 2);
});

test('the stack is shown for errors only', () => {
  const err = { message: 'boom', stack: 'Error: boom\n    at x' };
  assert.equal(textLine(JSON.stringify({ level: 40, time: 't', err, msg: 'm' })), 't WARN  m error=boom\n');
  assert.equal(
    textLine(JSON.stringify({ level: 50, time: 't', err, msg: 'm' })),
    't ERROR m error=boom\n    Error: boom\n    at x\n',
  );
});
