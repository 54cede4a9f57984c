import assert from 'node:assert/strict';
import { it } from 'node:test';
import { encodeFilters, parseDriverOptions, parseEnvironment, parseLabels, parseMap } from './pairs.ts';

it('splits at the first =', () => {
  assert.deepEqual(parseMap(['a=b=c', 'd', 'a=z']), { a: 'z', d: '' });
});

it('refuses a label without a name, and driver options without a value', () => {
  assert.deepEqual(parseLabels(['a', 'b=1']), { a: '', b: '1' });
  assert.throws(() => parseLabels(['=x']), {
    message: `invalid argument "=x" for "--label" flag: invalid label '=x': empty name`,
  });
  assert.throws(() => parseDriverOptions(['x']), { message: 'invalid key/value pair format in driver options' });
});

it('takes environment variables from the present one, and later words first', () => {
  const present = { HOME: '/root', PATH: '/bin', GONE: undefined };
  assert.deepEqual(parseEnvironment(['HOME', 'PATH=/x', 'A=', 'GONE', 'NEVER', 'A=2'], present), {
    HOME: '/root',
    PATH: '/x',
    A: '2',
  });
  assert.throws(() => parseEnvironment(['=x'], present), { kind: 'invalid' });
});

it('encodes filters as the API wants them', () => {
  assert.equal(encodeFilters([]), undefined);
  assert.equal(encodeFilters(['driver=bridge', 'label=a=b', 'Driver=null']), '{"driver":["bridge","null"],"label":["a=b"]}');
  assert.throws(() => encodeFilters(['x']), {
    message: 'invalid argument "x" for "--filter" flag: bad format of filter (expected name=value)',
  });
});
