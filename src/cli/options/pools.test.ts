import assert from 'node:assert/strict';
import { it } from 'node:test';
import { pairPools } from './pools.ts';

const pair = (options: Partial<Parameters<typeof pairPools>[0]>) =>
  pairPools({ subnets: [], ranges: [], gateways: [], auxiliary: {}, ...options });

it('needs nothing', () => {
  assert.deepEqual(pair({}), []);
});

it('gives everything to the subnet that contains it, whatever the order', () => {
  assert.deepEqual(
    pair({
      subnets: ['10.1.0.0/16', 'fd00:7::/64', '192.168.7.0/24'],
      ranges: ['192.168.7.128/25'],
      gateways: ['fd00:7::ffff', '192.168.7.254', '10.1.0.9'],
      auxiliary: { printer: '192.168.7.5', router: '192.168.7.6', nas: 'fd00:7::5' },
    }),
    [
      { subnet: '10.1.0.0/16', gateway: '10.1.0.9' },
      { subnet: 'fd00:7::/64', gateway: 'fd00:7::ffff', auxiliary: { nas: 'fd00:7::5' } },
      {
        subnet: '192.168.7.0/24',
        range: '192.168.7.128/25',
        gateway: '192.168.7.254',
        auxiliary: { printer: '192.168.7.5', router: '192.168.7.6' },
      },
    ],
  );
});

it('passes on what the daemon has to judge: host bits, any free subnet, a gateway with a length', () => {
  assert.deepEqual(pair({ subnets: ['10.0.0.5/24'], gateways: ['10.0.0.1/24'] }), [
    { subnet: '10.0.0.5/24', gateway: '10.0.0.1/24' },
  ]);
  assert.deepEqual(pair({ subnets: ['0.0.0.0/24'] }), [{ subnet: '0.0.0.0/24' }]);
});

const REFUSED: readonly (readonly [options: Parameters<typeof pair>[0], message: string])[] = [
  [{ gateways: ['10.0.0.1'] }, 'every ip-range or gateway must have a corresponding subnet'],
  [{ ranges: ['10.0.0.0/25'] }, 'every ip-range or gateway must have a corresponding subnet'],
  [{ subnets: ['10.0.0.0/8', '10.1.0.0/16'] }, 'multiple overlapping subnet configuration is not supported'],
  [{ subnets: ['10.0.0.0/24', '10.0.0.0/24'] }, 'multiple overlapping subnet configuration is not supported'],
  [{ subnets: ['10.0.0.0/33'] }, 'invalid subnet: invalid CIDR address: 10.0.0.0/33'],
  [{ subnets: ['10.0.0.0'] }, 'invalid subnet: invalid CIDR address: 10.0.0.0'],
  [{ subnets: ['fd00::/64'], gateways: ['10.0.0.1'] }, 'no matching subnet for gateway 10.0.0.1'],
  [{ subnets: ['10.0.0.0/24'], gateways: ['nonsense'] }, 'no matching subnet for gateway nonsense'],
  [{ subnets: ['10.0.0.0/24'], ranges: ['10.1.0.0/25'] }, 'no matching subnet for range 10.1.0.0/25'],
  [{ subnets: ['10.0.0.0/24'], auxiliary: { a: '10.1.0.1' } }, 'no matching subnet for aux-address 10.1.0.1'],
  [
    { subnets: ['10.0.0.0/24', '10.1.0.0/24'], gateways: ['10.0.0.1', '10.0.0.2'] },
    'cannot configure multiple gateways (10.0.0.2, 10.0.0.1) for the same subnet (10.0.0.0/24)',
  ],
  [
    { subnets: ['10.0.0.0/24', '10.1.0.0/24'], ranges: ['10.0.0.0/25', '10.0.0.128/25'] },
    'cannot configure multiple ranges (10.0.0.128/25, 10.0.0.0/25) on the same subnet (10.0.0.0/24)',
  ],
];
for (const [options, message] of REFUSED) {
  it(`refuses ${JSON.stringify(options)}`, () => {
    assert.throws(() => pair(options), { kind: 'invalid', message });
  });
}
