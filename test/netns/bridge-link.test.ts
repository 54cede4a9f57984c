/** What bridges and veth pairs look like to `ip`, and that they stay so. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describe } from '../../src/contracts/describe.ts';
import { OPTION } from '../../src/drivers/bridge/options.ts';
import { bridgeMac } from '../../src/drivers/bridge/plan.ts';
import { ownerAlias } from '../../src/model/names.ts';
import { until } from '../support/snapshot.ts';
import { createLab, INSTANCE } from './lab.ts';
import { at, HERE, type Place, pings } from './packets.ts';

interface LinkJson {
  readonly ifname: string;
  readonly mtu: number;
  readonly address: string;
  readonly ifalias?: string;
  readonly master?: string;
  readonly operstate: string;
  readonly addr_info: readonly { readonly family: string; readonly local: string; readonly tentative?: boolean }[];
  readonly linkinfo?: { readonly info_slave_data?: { readonly isolated: boolean } };
}

async function link(place: Place, name: string): Promise<LinkJson> {
  const [found] = JSON.parse(await at(place, 'ip', '-j', '-d', 'address', 'show', 'dev', name)) as readonly LinkJson[];
  assert.ok(found);
  return found;
}

const addresses = ({ addr_info }: LinkJson): readonly string[] => addr_info.map(({ local }) => local);

test('MAC and MTU of a bridge do not follow its ports', async () => {
  await using lab = await createLab();
  const net = await lab.network('10.1.0.0/24', { options: { [OPTION.name]: 'jumbo', [OPTION.mtu]: '9000' } });
  const expected = { mac: bridgeMac(net.id), mtu: 9000 };
  const now = async (): Promise<{ mac: string; mtu: number }> => {
    const { address: mac, mtu } = await link(HERE, 'jumbo');
    return { mac, mtu };
  };
  assert.deepEqual(await now(), expected);
  const a = await lab.sandbox(net, 2);
  assert.deepEqual(await now(), expected);
  assert.equal((await link(a.place, 'eth0')).mtu, 9000);
  await at(HERE, 'ip', 'link', 'del', a.endpoint.hostInterfaceName);
  assert.deepEqual(await now(), expected);
});

test('an MTU below what IPv6 needs: the kernel has no IPv6 there, and nothing asks for its keys', async () => {
  await using lab = await createLab();
  const net = await lab.network('10.1.0.0/24', { options: { [OPTION.mtu]: '1279' } });
  const a = await lab.sandbox(net, 2);
  assert.ok(await pings(a.place, '10.1.0.1'));
  assert.equal((await link(a.place, 'eth0')).mtu, 1279);
  assert.deepEqual(addresses(await link(HERE, `br-${net.id.slice(0, 12)}`)), ['10.1.0.1']);
});

test('an IPv6 network on a host that has IPv6 off for every device that comes', async () => {
  await using lab = await createLab();
  await at(HERE, 'sysctl', '-qw', 'net.ipv6.conf.default.disable_ipv6=1');
  try {
    const net = await lab.network('10.1.0.0/24 fd01::/64');
    const a = await lab.sandbox(net, 2);
    assert.ok(await pings(a.place, 'fd01::1'));
  } finally {
    await at(HERE, 'sysctl', '-qw', 'net.ipv6.conf.default.disable_ipv6=0');
  }
});

test('an IPv4 network and its endpoints have no IPv6 address, not even a link-local one', async () => {
  await using lab = await createLab();
  const net = await lab.network('10.1.0.0/24', { options: { [OPTION.prefix]: 'net', [OPTION.icc]: 'false' } });
  const a = await lab.sandbox(net, 2);
  assert.ok(await pings(a.place, '10.1.0.1'));
  const bridge = await link(HERE, `br-${net.id.slice(0, 12)}`);
  assert.deepEqual(addresses(bridge), ['10.1.0.1']);
  assert.equal(bridge.ifalias, ownerAlias(INSTANCE.id, net.id));
  const outer = await link(HERE, a.endpoint.hostInterfaceName);
  assert.deepEqual(addresses(outer), []);
  assert.equal(outer.ifalias, ownerAlias(INSTANCE.id, a.endpoint.id));
  assert.equal(outer.master, bridge.ifname);
  assert.equal(outer.linkinfo?.info_slave_data?.isolated, true);
  const inner = await link(a.place, 'net0');
  assert.deepEqual(addresses(inner), ['10.1.0.2']);
  assert.equal(inner.address, '02:42:0a:01:00:02');
});

test('IPv6 addresses are usable at once, and nobody listens to router advertisements', async () => {
  await using lab = await createLab();
  const net = await lab.network('10.1.0.0/24 fd00:1::/64');
  const a = await lab.sandbox(net, 2);
  const inner = await link(a.place, 'eth0');
  const global = inner.addr_info.filter(({ local }) => local.startsWith('fd00'));
  assert.deepEqual(
    global.map(({ local, tentative }) => [local, tentative ?? false]),
    [['fd00:1::2', false]],
  );
  const bridge = `br-${net.id.slice(0, 12)}`;
  assert.equal((await at(HERE, 'cat', `/proc/sys/net/ipv6/conf/${bridge}/accept_ra`)).trim(), '0');
  assert.equal((await at(a.place, 'cat', '/proc/sys/net/ipv6/conf/eth0/accept_ra')).trim(), '0');
  assert.deepEqual(addresses(await link(HERE, a.endpoint.hostInterfaceName)), []);
});

test('the bridge asks for neighbours as soon as it has a port', async () => {
  // The lab turns detection off for all that is made in it; here it is as on any machine.
  const prepare = async (): Promise<void> => void (await at(HERE, 'sysctl', '-qw', 'net.ipv6.conf.default.accept_dad=1'));
  await using lab = await createLab({ prepare });
  const net = await lab.network('10.1.0.0/24 fd00:1::/64');
  await lab.sandbox(net, 2);
  const own = async (): Promise<LinkJson['addr_info'][number] | undefined> =>
    (await link(HERE, `br-${net.id.slice(0, 12)}`)).addr_info.find(({ local }) => local.startsWith('fe80'));
  // It comes with the carrier, some time after the port, and would be tentative for one to two seconds.
  assert.ok(await until(async () => (await own()) !== undefined, 10_000));
  assert.equal((await own())?.tentative ?? false, false);
});

test('a plan that was applied changes nothing a second time', async () => {
  await using lab = await createLab();
  const net = await lab.network('10.1.0.0/24 fd00:1::/64');
  const a = await lab.sandbox(net, 2);
  const again = [
    ...(lab.driver.planHost?.(await lab.facts()) ?? []),
    ...lab.driver.planNetwork(net, await lab.facts()),
    ...lab.driver.planJoin(net, { endpoint: a.endpoint, netns: a.place }, await lab.facts()).changes,
  ];
  for (const change of again) assert.deepEqual(await lab.apply([change]), [{ state: 'already' }], describe(change));
});
