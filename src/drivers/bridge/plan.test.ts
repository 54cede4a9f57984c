import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseIfAddress, parsePrefix } from '../../base/ip.ts';
import type { Change } from '../../contracts/change.ts';
import { describe as line } from '../../contracts/describe.ts';
import { inversePlan, subsume } from '../../contracts/inverse.ts';
import { DUAL, ENDPOINT6, endpoint, facts, id, INSTANCE, NETNS, network, pool } from './fixture.testing.ts';
import { createBridgeDriver } from './index.ts';
import { OPTION } from './options.ts';
import { bridgeMac } from './plan.ts';

const driver = createBridgeDriver({ instance: INSTANCE });
const ALIAS = `moor::${id('1a2b3c4d5e6f')}`;
const ENDPOINT_ALIAS = `moor::${id('abcdef0123')}`;
const inside = `nsenter --net=${NETNS} `;

const text = (changes: readonly Change[]): string[] => changes.map(line);
const planNetwork = (part: Parameters<typeof network>[0] = {}, host = facts()) => driver.planNetwork(network(part), host);
const planJoin = (part: Parameters<typeof network>[0] = {}, end = endpoint(), host = facts()) =>
  driver.planJoin(network(part), { endpoint: end, netns: NETNS }, host);

describe('a network', () => {
  test('has rules that can be asked for alone', () => {
    const isRule = ({ kind }: Change): boolean => kind.startsWith('nft-');
    for (const part of [
      {},
      { ...DUAL, options: { [OPTION.name]: 'blue' } },
      { internal: true },
      { options: { [OPTION.icc]: 'false', [OPTION.masquerade]: 'false' } },
      { ...DUAL, options: { [OPTION.gatewayMode4]: 'routed', [OPTION.trusted]: 'vxlan1' } },
    ]) {
      const rules = driver.planNetworkRules?.(network(part), facts());
      assert.ok(rules !== undefined && rules.length >= 5);
      assert.deepEqual(rules, planNetwork(part).filter(isRule));
    }
  });

  test('reads like ip and nft', () => {
    assert.deepEqual(text(planNetwork()), [
      `ip link add br-1a2b3c4d5e6f mtu 1500 address 1a:2b:3c:4d:5e:6f alias ${ALIAS} up type bridge mcast_snooping 0`,
      'sysctl -w net.ipv6.conf.br-1a2b3c4d5e6f.disable_ipv6=1',
      'ip address add 192.168.7.1/24 dev br-1a2b3c4d5e6f',
      'nft add element inet moor bridges { "br-1a2b3c4d5e6f" }',
      'nft add element inet moor within { "br-1a2b3c4d5e6f" . "br-1a2b3c4d5e6f" : goto pass }',
      'nft add element inet moor same { "br-1a2b3c4d5e6f" . "br-1a2b3c4d5e6f" }',
      'nft add element inet moor leaving { "br-1a2b3c4d5e6f" : goto leave }',
      'nft add element inet moor entering { "br-1a2b3c4d5e6f" : goto enter }',
      'nft add element inet moor masqueraded { ipv4 . "br-1a2b3c4d5e6f" }',
    ]);
  });

  test('with IPv6, an MTU and a name, before anything was forwarded', () => {
    const options = { [OPTION.name]: 'blue', [OPTION.mtu]: '9000' };
    const host = facts({
      sysctls: { 'net/ipv4/ip_forward': '1', 'net/ipv6/conf/all/forwarding': '0', 'net/ipv6/conf/ens3/accept_ra': '1' },
    });
    assert.deepEqual(text(planNetwork({ ...DUAL, options }, host)), [
      `ip link add blue address 1a:2b:3c:4d:5e:6f alias ${ALIAS} up type bridge mcast_snooping 0`,
      'ip link set blue mtu 9000',
      'sysctl -w net.ipv6.conf.blue.accept_ra=0',
      'sysctl -w net.ipv6.conf.blue.accept_dad=0',
      'sysctl -w net.ipv6.conf.blue.disable_ipv6=0',
      'ip address add 192.168.7.1/24 dev blue',
      'ip address add fd00:7::1/64 dev blue nodad',
      'nft add element inet moor bridges { "blue" }',
      'nft add element inet moor within { "blue" . "blue" : goto pass }',
      'nft add element inet moor same { "blue" . "blue" }',
      'nft add element inet moor leaving { "blue" : goto leave }',
      'nft add element inet moor entering { "blue" : goto enter }',
      'nft add element inet moor masqueraded { ipv4 . "blue" }',
      'nft add element inet moor masqueraded { ipv6 . "blue" }',
      'ip -6 route add local ::1/128 dev blue metric 2174923716 table main',
      'sysctl -w net.ipv6.conf.ens3.accept_ra=2',
      'sysctl -w net.ipv6.conf.all.forwarding=1',
    ]);
  });

  test('on a bridge that was there: nothing is made or undone of it, and addresses that it had are left alone', () => {
    const foreignBridge = { addresses: [parseIfAddress('192.168.7.1/24'), parseIfAddress('10.0.0.1/8')] };
    const host = facts({ sysctls: { 'net/ipv6/conf/all/forwarding': '1' } });
    assert.deepEqual(text(planNetwork({ foreignBridge }, host)).slice(0, 2), [
      'ip link set br-1a2b3c4d5e6f up',
      'nft add element inet moor bridges { "br-1a2b3c4d5e6f" }',
    ]);
    const six = planNetwork({ ...DUAL, foreignBridge, options: { [OPTION.icc]: 'false' } }, host);
    assert.deepEqual(text(six).slice(0, 4), [
      'ip link set br-1a2b3c4d5e6f up',
      'ip link set br-1a2b3c4d5e6f group 1836019570',
      'sysctl -w net.ipv6.conf.br-1a2b3c4d5e6f.disable_ipv6=0',
      'ip address add fd00:7::1/64 dev br-1a2b3c4d5e6f nodad',
    ]);
    const undone = text(inversePlan(six)).filter((line) => !line.startsWith('nft '));
    assert.deepEqual(undone, [
      'ip -6 route del local ::1/128 dev br-1a2b3c4d5e6f metric 2174923716 table main',
      'ip address del fd00:7::1/64 dev br-1a2b3c4d5e6f',
      'ip link set br-1a2b3c4d5e6f group 0',
    ]);
  });

  test('with IPv6, on an uplink that is too narrow for it: its keys are not there', () => {
    const sysctls = { 'net/ipv6/conf/all/forwarding': '0', 'net/ipv6/conf/ens3/accept_ra': '1' };
    const of = (uplinkMtu: number) =>
      text(planNetwork(DUAL, facts({ sysctls, uplinkMtu }))).filter((what) => what.includes('ens3'));
    assert.deepEqual(of(1280), ['sysctl -w net.ipv6.conf.ens3.accept_ra=2']);
    assert.deepEqual(of(1279), []);
  });

  test('internal, and with icc off: only the verdicts differ', () => {
    const verdicts = (part: Parameters<typeof network>[0]) =>
      planNetwork(part).flatMap((change) =>
        change.kind === 'nft-element' ? [`${change.element.set} ${change.element.value ?? ''}`.trim()] : [],
      );
    assert.deepEqual(verdicts({ internal: true }), ['bridges', 'within goto pass', 'same', 'leaving drop', 'entering drop']);
    assert.deepEqual(verdicts({ options: { [OPTION.icc]: '0' } }), [
      'bridges',
      'within goto isolated',
      'same',
      'leaving goto leave',
      'entering goto enter',
      'masqueraded',
    ]);
    assert.deepEqual(verdicts({ options: { [OPTION.masquerade]: '0' } }), [
      'bridges',
      'within goto pass',
      'same',
      'leaving goto leave',
      'entering goto enter',
    ]);
  });

  test('bridges whose packets are judged one by one are in a group', () => {
    const group = (part: Parameters<typeof network>[0]) =>
      planNetwork(part).flatMap((change) => (change.kind === 'link' ? [change.link.group] : []));
    assert.deepEqual(group({}), [undefined]);
    assert.deepEqual(group({ internal: true }), [0x6d6f6f72]);
    assert.deepEqual(group({ options: { [OPTION.icc]: '0' } }), [0x6d6f6f72]);
  });

  test('that spans hosts: who is in its range is in the network, also when it is internal', () => {
    const elements = (part: Parameters<typeof network>[0]): string[] =>
      text(planNetwork({ ...DUAL, ranges: [parsePrefix('192.168.0.0/16'), parsePrefix('fd00:7::/48')], ...part })).filter(
        (what) => /members|spanned|leaving|entering/.test(what),
      );
    const members = [
      'nft add element inet moor members4 { "br-1a2b3c4d5e6f" . 192.168.0.0/16 }',
      'nft add element inet moor spanned4 { 192.168.0.0/16 }',
      'nft add element inet moor members6 { "br-1a2b3c4d5e6f" . fd00:7::/48 }',
      'nft add element inet moor spanned6 { fd00:7::/48 }',
    ];
    assert.deepEqual(elements({}), [
      'nft add element inet moor leaving { "br-1a2b3c4d5e6f" : goto leave }',
      'nft add element inet moor entering { "br-1a2b3c4d5e6f" : goto enter }',
      ...members,
    ]);
    assert.deepEqual(elements({ internal: true }), [
      'nft add element inet moor leaving { "br-1a2b3c4d5e6f" : goto leave_inside }',
      'nft add element inet moor entering { "br-1a2b3c4d5e6f" : goto enter_inside }',
      ...members,
    ]);
  });

  test('of other gateway modes', () => {
    const modes = (mode4: string, mode6: string, part = {}): string[] =>
      text(planNetwork({ ...DUAL, options: { [OPTION.gatewayMode4]: mode4, [OPTION.gatewayMode6]: mode6 }, ...part })).filter(
        (what) => /masqueraded|direct|::1\/128/.test(what),
      );
    assert.deepEqual(modes('nat', 'routed'), [
      'nft add element inet moor masqueraded { ipv4 . "br-1a2b3c4d5e6f" }',
      'nft add element inet moor direct { ipv6 . "br-1a2b3c4d5e6f" : goto routed }',
    ]);
    assert.deepEqual(modes('nat-unprotected', 'nat'), [
      'nft add element inet moor masqueraded { ipv4 . "br-1a2b3c4d5e6f" }',
      'nft add element inet moor masqueraded { ipv6 . "br-1a2b3c4d5e6f" }',
      'nft add element inet moor direct { ipv4 . "br-1a2b3c4d5e6f" : goto unprotected }',
      'ip -6 route add local ::1/128 dev br-1a2b3c4d5e6f metric 2174923716 table main',
    ]);
    assert.deepEqual(modes('routed', 'isolated', { internal: true }), []);
  });

  test('that is isolated has no address of the host, not even one of its link', () => {
    const options = { [OPTION.gatewayMode4]: 'isolated', [OPTION.gatewayMode6]: 'isolated' };
    const plan = text(planNetwork({ ...DUAL, internal: true, options }));
    assert.deepEqual(
      plan.filter((what) => /ip address|net\.ipv6/.test(what)),
      ['sysctl -w net.ipv6.conf.br-1a2b3c4d5e6f.disable_ipv6=1'],
    );
  });

  test('with trusted interfaces', () => {
    const plan = text(planNetwork({ options: { [OPTION.trusted]: 'vxlan.1:eth3' } }));
    assert.deepEqual(
      plan.filter((what) => what.includes('trusted')),
      [
        'nft add element inet moor trusted { "vxlan.1" . "br-1a2b3c4d5e6f" }',
        'nft add element inet moor trusted { "eth3" . "br-1a2b3c4d5e6f" }',
      ],
    );
  });

  test('with an MTU that is too small for IPv6 turns off no IPv6: there is none, and no key for it', () => {
    const keys = (mtu: string): string[] => {
      const part = { options: { [OPTION.mtu]: mtu } };
      return text([...planNetwork(part), ...planJoin(part).changes]).filter((what) => what.includes('net.ipv6'));
    };
    assert.deepEqual(keys('1279'), []);
    assert.equal(keys('1280').length, 3);
  });

  test('leaves IPv6 forwarding alone when it is on, and when the network has no way out', () => {
    const on = facts({ sysctls: { 'net/ipv6/conf/all/forwarding': '1' } });
    for (const plan of [planNetwork(DUAL, on), planNetwork({ ...DUAL, internal: true })]) {
      assert.deepEqual(
        text(plan).filter((what) => what.includes('forwarding')),
        [],
      );
    }
  });

  test('has no address where it has no gateway', () => {
    const plan = planNetwork({ pools: [pool('192.168.7.0/24', null)] });
    assert.equal(plan.filter(({ kind }) => kind === 'address').length, 0);
  });

  test('on a kernel without IPv6', () => {
    const host = facts({ sysctls: {} });
    assert.deepEqual(
      [...planNetwork({}, host), ...planJoin({}, endpoint(), host).changes].filter(({ kind }) => kind === 'sysctl'),
      [],
    );
    assert.throws(() => planNetwork(DUAL, host), { kind: 'unsupported' });
  });

  test('takes the MTU of the uplink, within what IPv6 and a bridge can have', () => {
    const mtu = (uplinkMtu: number, part = {}) =>
      planNetwork(part, facts({ uplinkMtu })).flatMap((change) => {
        if (change.kind === 'link') return [change.link.mtu ?? 'later'];
        return change.kind === 'link-set' ? [change.value.mtu] : [];
      });
    assert.deepEqual(mtu(1500), [1500]);
    assert.deepEqual(mtu(1450), ['later', 1450]);
    assert.deepEqual(mtu(1000, DUAL), ['later', 1280]);
    assert.deepEqual(mtu(65536), ['later', 65535]);
  });

  test('is taken away by the inverse, which leaves forwarding on', () => {
    const undo = subsume(inversePlan(planNetwork(DUAL)));
    assert.deepEqual(text(undo), [
      'nft delete element inet moor masqueraded { ipv6 . "br-1a2b3c4d5e6f" }',
      'nft delete element inet moor masqueraded { ipv4 . "br-1a2b3c4d5e6f" }',
      'nft delete element inet moor entering { "br-1a2b3c4d5e6f" }',
      'nft delete element inet moor leaving { "br-1a2b3c4d5e6f" }',
      'nft delete element inet moor same { "br-1a2b3c4d5e6f" . "br-1a2b3c4d5e6f" }',
      'nft delete element inet moor within { "br-1a2b3c4d5e6f" . "br-1a2b3c4d5e6f" }',
      'nft delete element inet moor bridges { "br-1a2b3c4d5e6f" }',
      'ip link del br-1a2b3c4d5e6f',
    ]);
  });

  test('has a unicast, locally administered MAC that depends on its id alone', () => {
    assert.equal(bridgeMac(id('ffffffffffff')), 'fe:ff:ff:ff:ff:ff');
    assert.equal(bridgeMac(id('000000000001')), '02:00:00:00:00:01');
  });
});

describe('an endpoint', () => {
  test('reads like ip', () => {
    const { changes, gateway4, gateway6 } = planJoin();
    assert.deepEqual(text(changes), [
      `ip link add vethabcdef0 mtu 1500 master br-1a2b3c4d5e6f alias ${ENDPOINT_ALIAS} up ` +
        `type veth peer name eth0 mtu 1500 address 02:42:c0:a8:07:0a netns ${NETNS}`,
      'sysctl -w net.ipv6.conf.vethabcdef0.disable_ipv6=1',
      `${inside}sysctl -w net.ipv6.conf.eth0.disable_ipv6=1`,
      `${inside}ip address add 192.168.7.10/24 dev eth0`,
      `${inside}ip link set eth0 up`,
    ]);
    assert.deepEqual([gateway4, gateway6], ['192.168.7.1', null]);
  });

  test('with IPv6, icc off and an MTU', () => {
    const options = { [OPTION.icc]: 'false', [OPTION.mtu]: '1400' };
    const { changes, gateway4, gateway6 } = planJoin({ ...DUAL, options }, endpoint(ENDPOINT6));
    assert.deepEqual(text(changes), [
      `ip link add vethabcdef0 mtu 1400 master br-1a2b3c4d5e6f alias ${ENDPOINT_ALIAS} up ` +
        `type veth peer name eth0 mtu 1400 address 02:42:c0:a8:07:0a netns ${NETNS} && bridge link set dev vethabcdef0 isolated on`,
      'sysctl -w net.ipv6.conf.vethabcdef0.disable_ipv6=1',
      `${inside}sysctl -w net.ipv6.conf.eth0.disable_ipv6=0`,
      `${inside}sysctl -w net.ipv6.conf.eth0.accept_ra=0`,
      `${inside}ip address add 192.168.7.10/24 dev eth0`,
      `${inside}ip address add fd00:7::a/64 dev eth0 nodad`,
      `${inside}ip link set eth0 up`,
    ]);
    assert.deepEqual([gateway4, gateway6], ['192.168.7.1', 'fd00:7::1']);
  });

  test('of an internal network is offered no way out', () => {
    const { gateway4, gateway6 } = planJoin({ ...DUAL, internal: true }, endpoint(ENDPOINT6));
    assert.deepEqual([gateway4, gateway6], [null, null]);
  });

  test('without an IPv4 address is offered no IPv4 gateway', () => {
    const { gateway4, gateway6 } = planJoin(DUAL, endpoint({ ...ENDPOINT6, ipv4: null, mac: null }));
    assert.deepEqual([gateway4, gateway6], [null, 'fd00:7::1']);
  });

  test('goes with its link', () => {
    assert.deepEqual(text(subsume(inversePlan(planJoin(DUAL, endpoint(ENDPOINT6)).changes))), ['ip link del vethabcdef0']);
  });
});

describe('check', () => {
  const other = (part: Parameters<typeof network>[0]) => network({ id: id('2222'), name: 'other', ...part });

  test('two networks cannot have one bridge', () => {
    const blue = { options: { [OPTION.name]: 'blue' } };
    assert.throws(() => driver.check(network(blue), [network(blue), other(blue)]), {
      kind: 'conflict',
      message:
        `cannot create network ${id('1a2b3c4d5e6f')} (blue): conflicts with network ${id('2222')} (blue): ` +
        'networks have same bridge name',
    });
    assert.throws(() => driver.check(network(), [other({ options: { [OPTION.name]: 'br-1a2b3c4d5e6f' } })]), {
      kind: 'conflict',
    });
  });

  test('itself and networks of other kinds are no conflict', () => {
    const blue = { options: { [OPTION.name]: 'blue' } };
    driver.check(network(blue), [network(blue), other({}), other({ ...blue, driver: 'macvlan' })]);
  });

  test('one subnet of each family', () => {
    driver.check(network(DUAL), []);
    const pools = [pool('192.168.7.0/24', null), pool('192.168.8.0/24', null)];
    assert.throws(() => driver.check(network({ pools }), []), {
      kind: 'forbidden',
      message: "bridge driver doesn't support multiple subnets",
    });
  });

  test('options', () => {
    assert.throws(() => driver.check(network({ options: { [OPTION.mtu]: 'big' } }), []), { kind: 'invalid' });
    assert.equal(driver.interfacePrefix(network({ options: { [OPTION.prefix]: 'net' } })), 'net');
  });
});
