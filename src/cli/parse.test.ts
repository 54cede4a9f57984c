import assert from 'node:assert/strict';
import { it } from 'node:test';
import { flag, integer, list, longName, strings, text } from './command.ts';
import { parseWords } from './parse.ts';

const OPTIONS = {
  internal: flag('', { short: 'i' }),
  noTrunc: flag(''),
  quiet: flag('', { short: 'q' }),
  driver: text('DRIVER', '', { short: 'd', also: 'type' }),
  gwPriority: integer('NUMBER', ''),
  opt: list('KEY=VALUE', '', { short: 'o' }),
  subnet: strings('CIDR', ''),
} as const;

const parse = (line: string, stopAtArgument = false) => parseWords(line.split(' ').filter(Boolean), OPTIONS, { stopAtArgument });

it('gives what was not said as undefined, and lists as empty', () => {
  assert.deepEqual(parse('').values, {
    internal: undefined,
    noTrunc: undefined,
    quiet: undefined,
    driver: undefined,
    gwPriority: undefined,
    opt: [],
    subnet: [],
  });
});

const CASES: readonly (readonly [line: string, values: Readonly<Record<string, unknown>>, args?: readonly string[]])[] = [
  ['--driver bridge net', { driver: 'bridge' }, ['net']],
  ['net --driver=bridge', { driver: 'bridge' }, ['net']],
  ['-d bridge', { driver: 'bridge' }],
  ['-dbridge', { driver: 'bridge' }],
  ['-d=bridge', { driver: 'bridge' }],
  ['-iqd bridge', { internal: true, quiet: true, driver: 'bridge' }],
  ['--internal=false -q=0', { internal: false, quiet: false }],
  ['--internal=T --no-trunc', { internal: true, noTrunc: true }],
  ['--internal false', { internal: true }, ['false']],
  ['--driver a --driver b', { driver: 'b' }],
  ['--driver= x', { driver: '' }, ['x']],
  ['-o a=1,b=2 --opt c=3', { opt: ['a=1,b=2', 'c=3'] }],
  ['--subnet 10.0.0.0/24,10.1.0.0/24 --subnet fd00::/64', { subnet: ['10.0.0.0/24', '10.1.0.0/24', 'fd00::/64'] }],
  ['--gw-priority -5', { gwPriority: -5 }],
  ['a - b', {}, ['a', '-', 'b']],
  ['a -- -d --x', {}, ['a', '-d', '--x']],
];
for (const [line, values, args = []] of CASES) {
  it(line, () => {
    const parsed = parse(line);
    const given = Object.entries(parsed.values).filter(
      ([, value]) => value !== undefined && !(Array.isArray(value) && value.length === 0),
    );
    assert.deepEqual(Object.fromEntries(given), values);
    assert.deepEqual(parsed.args, args);
  });
}

it('leaves what follows the first argument alone when that is somebody else’s', () => {
  const parsed = parse('-q ping -c 1 -- --driver x', true);
  assert.deepEqual(parsed.args, ['ping', '-c', '1', '--', '--driver', 'x']);
  assert.equal(parsed.values['quiet'], true);
  assert.deepEqual(parse('-q -- ping -c', true).args, ['ping', '-c']);
});

const REFUSED: readonly (readonly [line: string, message: string])[] = [
  ['--subent 10.0.0.0/24', 'unknown flag: --subent (did you mean --subnet?)'],
  ['--zzz', 'unknown flag: --zzz'],
  ['-qz', "unknown shorthand flag: 'z' in -qz"],
  ['--driver', 'flag needs an argument: --driver'],
  ['-qd', "flag needs an argument: 'd' in -qd"],
  ['--internal=maybe', 'invalid argument "maybe" for "--internal" flag: it should be true or false'],
  ['--gw-priority 1.5', 'invalid argument "1.5" for "--gw-priority" flag: it should be a whole number'],
  [
    '--gw-priority 99999999999999999999',
    'invalid argument "99999999999999999999" for "--gw-priority" flag: it should be a whole number',
  ],
];
for (const [line, message] of REFUSED) {
  it(`refuses ${line}`, () => {
    assert.throws(() => parse(line), { kind: 'invalid', message });
  });
}

it('takes the other name of an option, in both ways', () => {
  assert.equal(parse('--type bridge').values['driver'], 'bridge');
  assert.equal(parse('--type=bridge').values['driver'], 'bridge');
});

it('makes long names of keys', () => {
  assert.deepEqual(['ipRange', 'ip6', 'gwPriority', 'noTrunc'].map(longName), ['ip-range', 'ip6', 'gw-priority', 'no-trunc']);
});
