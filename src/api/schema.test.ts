import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Schema, validate } from './schema.ts';
import { networkBody, processBody, sandboxBody } from './schemas.ts';

test('bodies that are right', () => {
  for (const [schema, value] of [
    [
      networkBody,
      { name: 'a', ipv6: true, labels: { x: '1' }, pools: [{ subnet: '10.0.0.0/24', auxiliary: { r: '10.0.0.9' } }, {}] },
    ],
    [sandboxBody, {}],
    [sandboxBody, { adopt: { pid: 1 }, networks: [{ network: 'a', endpoint: { aliases: ['x'], gatewayPriority: -1 } }] }],
    [processBody, { pid: 1, startTime: '123', command: [] }],
  ] as const satisfies readonly (readonly [Schema, unknown])[]) {
    validate(schema, value);
  }
});

test('bodies that are wrong name the place and the rule', () => {
  for (const [schema, value, message] of [
    [networkBody, null, 'expected object, got null'],
    [networkBody, undefined, 'expected object, got undefined'],
    [networkBody, [], 'expected object, got array'],
    [networkBody, {}, 'field "name" is missing'],
    [networkBody, { name: null }, 'name: expected string, got null'],
    [networkBody, { name: 'a', toString: 'x' }, 'unknown field "toString"'],
    [networkBody, { name: 'a', labels: { x: 1 } }, 'labels.x: expected string, got number'],
    [networkBody, { name: 'a', pools: [{}, { subnet: 1 }] }, 'pools[1].subnet: expected string, got number'],
    [networkBody, { name: 'a', pools: {} }, 'pools: expected array, got object'],
    [networkBody, { name: 'a', ipv6: 'yes' }, 'ipv6: expected boolean, got string'],
    [sandboxBody, { adopt: {} }, 'adopt: expected 1 of path, pid'],
    [sandboxBody, { adopt: { pid: 1, path: '/x' } }, 'adopt: expected 1 of path, pid'],
    [sandboxBody, { adopt: { pid: 0 } }, 'adopt.pid: must be at least 1'],
    [
      sandboxBody,
      { networks: [{ network: 'a', endpoint: { gatewayPriority: 1.5 } }] },
      'networks[0].endpoint.gatewayPriority: expected integer, got 1.5',
    ],
    [processBody, { pid: 1, startTime: 'x', command: [] }, 'startTime: must match ^[0-9]+$'],
    [networkBody, JSON.parse('{"name":"a","__proto__":{}}'), 'unknown field "__proto__"'],
  ] as const) {
    assert.throws(() => validate(schema, value), { kind: 'invalid', message: `invalid request body: ${message}` });
  }
});
