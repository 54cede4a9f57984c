import assert from 'node:assert/strict';
import { it } from 'node:test';
import { parseAttachments, splitCsv } from './attachment.ts';

const NONE = { aliases: [] };

it('leaves the default to the daemon', () => {
  assert.equal(parseAttachments([], NONE), undefined);
});

it('takes names, in order', () => {
  assert.deepEqual(parseAttachments(['front', 'back'], NONE), [{ network: 'front' }, { network: 'back' }]);
});

it('takes the long form', () => {
  const word =
    'name=front,ip=10.0.0.5,ip6=fd00::5,mac=02-42-AC-11-00-02,alias=www,alias=web,gw-priority=-1,interface=lan0,"driver-opt=a=b,c"';
  assert.deepEqual(parseAttachments([word], NONE), [
    {
      network: 'front',
      endpoint: {
        ipv4: '10.0.0.5',
        ipv6: 'fd00::5',
        mac: '02:42:ac:11:00:02',
        gatewayPriority: -1,
        interfaceName: 'lan0',
        aliases: ['www', 'web'],
        options: { a: 'b,c' },
      },
    },
  ]);
});

it('gives the plain options to the first network, or to the default one', () => {
  const plain = { ip: '10.0.0.5', macAddress: '02:42:ac:11:00:02', aliases: ['x'] };
  const endpoint = { ipv4: '10.0.0.5', mac: '02:42:ac:11:00:02', aliases: ['x'] };
  assert.deepEqual(parseAttachments(['a', 'b'], plain), [{ network: 'a', endpoint }, { network: 'b' }]);
  assert.deepEqual(parseAttachments([], plain), [{ network: 'bridge', endpoint }]);
});

const REFUSED: readonly (readonly [words: readonly string[], plain: Parameters<typeof parseAttachments>[1], message: string])[] =
  [
    [['ip=1.2.3.4'], NONE, 'invalid argument "ip=1.2.3.4" for "--network" flag: network name/id is not specified'],
    [['name=a,foo'], NONE, 'invalid argument "name=a,foo" for "--network" flag: invalid field foo'],
    [['name=a,foo=1'], NONE, 'invalid argument "name=a,foo=1" for "--network" flag: invalid field key foo'],
    [
      ['name=a,gw-priority=x'],
      NONE,
      'invalid argument "name=a,gw-priority=x" for "--network" flag: invalid gw-priority (x): invalid syntax',
    ],
    [['a', 'a'], NONE, 'network "a" is specified multiple times'],
    [['host', 'a'], NONE, 'conflicting options: cannot attach both user-defined and non-user-defined network-modes'],
    [
      ['name=a,ip=10.0.0.1'],
      { aliases: [], ip: '10.0.0.2' },
      'conflicting options: cannot specify both --ip and per-network IPv4 address',
    ],
    [['a'], { aliases: [], macAddress: 'zz' }, 'zz is not a valid mac address'],
    [['"name=a'], NONE, 'invalid value "name=a: a quote is not closed'],
  ];
for (const [words, plain, message] of REFUSED) {
  it(`refuses ${words.join(' ')}`, () => {
    assert.throws(() => parseAttachments(words, plain), { kind: 'invalid', message });
  });
}

it('splits one CSV record', () => {
  assert.deepEqual(splitCsv('a,"b,""c""",,d"e'), ['a', 'b,"c"', '', 'd"e']);
});
