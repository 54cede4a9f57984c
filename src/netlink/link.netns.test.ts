import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { IpAddress } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';
import { withNetns } from '../sys/netns.ts';
import { createTun } from '../sys/tun.ts';
import { failureOf, Lab, pick, type Shown } from './lab.testing.ts';
import { addLink, deleteLink, dumpLinks, getLink, setBridgePort, setLink } from './link.ts';
import { NetlinkSocket } from './socket.ts';

const MAC_A = '02:42:0a:00:00:0a' as Mac;
const MAC_B = '02:42:0a:00:00:0b' as Mac;
const bridge = (name: string, index: number) => addLink({ name, index, up: true, kind: { type: 'bridge' } });
const isUp = (shown: Shown | undefined): boolean => Array.isArray(shown?.['flags']) && shown['flags'].includes('UP');

describe('links', () => {
  test('a veth pair is born complete in one message', () => {
    using lab = new Lab();
    const host = lab.namespace('host');
    const inner = lab.namespace('inner');
    const request = addLink({
      name: 'veth1',
      index: 11,
      up: true,
      mtu: 1400,
      master: 10,
      kind: { type: 'veth', peer: { name: 'eth0', index: 7, netns: inner.netns, mac: MAC_A, mtu: 1400 } },
    });
    assert.equal(
      request.what,
      `ip link add veth1 mtu 1400 master if10 up type veth peer name eth0 mtu 1400 address ${MAC_A} netns ${inner.path}`,
    );
    host.apply(bridge('br0', 10), request);
    const [outside] = host.show('ip -j -d link show veth1');
    assert.deepEqual(pick(outside, 'ifindex', 'ifname', 'mtu', 'master', 'link_index'), {
      ifindex: 11,
      ifname: 'veth1',
      mtu: 1400,
      master: 'br0',
      link_index: 7,
    });
    assert.ok(isUp(outside));
    const [inside] = inner.show('ip -j -d link show eth0');
    assert.deepEqual(pick(inside, 'ifindex', 'ifname', 'mtu', 'address', 'link_index'), {
      ifindex: 7,
      ifname: 'eth0',
      mtu: 1400,
      address: MAC_A,
      link_index: 11,
    });
    assert.ok(!isUp(inside));
    assert.deepEqual(pick(inner.route.find(getLink('eth0')) as never, 'index', 'type', 'link', 'mac', 'up'), {
      index: 7,
      type: 'veth',
      link: 11,
      mac: MAC_A,
      up: false,
    });
  });

  test('bridge, vxlan and macvlan options arrive, as ip -d shows them', () => {
    using lab = new Lab();
    const host = lab.namespace('host');
    host.apply(
      addLink({ name: 'br0', index: 10, kind: { type: 'bridge', forwardDelay: 0, multicastSnooping: false }, mac: MAC_A }),
      addLink({
        name: 'vx4',
        index: 20,
        kind: {
          type: 'vxlan',
          vni: 0xabcdef,
          port: 4790,
          local: '10.0.0.1' as IpAddress,
          device: 10,
          learning: false,
          proxy: true,
        },
      }),
      addLink({
        name: 'vx6',
        index: 21,
        kind: { type: 'vxlan', vni: 5, port: 4789, local: 'fd00::1' as IpAddress, learning: true },
      }),
      addLink({ name: 'mv0', index: 30, mac: MAC_B, kind: { type: 'macvlan', parent: 10, mode: 'bridge' } }),
    );
    const info = (name: string, ...keys: readonly string[]) => {
      const { info_kind, info_data } = (host.show(`ip -j -d link show ${name}`)[0]?.['linkinfo'] ?? {}) as Record<
        string,
        unknown
      >;
      return { kind: info_kind, ...pick(info_data as never, ...keys) };
    };
    assert.deepEqual(info('br0', 'forward_delay', 'mcast_snooping'), { kind: 'bridge', forward_delay: 0, mcast_snooping: 0 });
    assert.deepEqual(info('vx4', 'id', 'port', 'local', 'link', 'learning', 'proxy'), {
      kind: 'vxlan',
      id: 0xabcdef,
      port: 4790,
      local: '10.0.0.1',
      link: 'br0',
      learning: false,
      proxy: true,
    });
    assert.deepEqual(info('vx6', 'id', 'local6', 'learning'), { kind: 'vxlan', id: 5, local6: 'fd00::1', learning: true });
    assert.deepEqual(info('mv0', 'mode'), { kind: 'macvlan', mode: 'bridge' });
  });

  test('a dump says the same as ip -j', () => {
    using lab = new Lab();
    const host = lab.namespace('host');
    const inner = lab.namespace('inner');
    host.apply(
      bridge('br0', 10),
      addLink({ name: 'a', index: 11, master: 10, kind: { type: 'veth', peer: { name: 'b', index: 12 } } }),
      addLink({ name: 'c', index: 13, master: 10, mtu: 1280, kind: { type: 'veth', peer: { name: 'd', netns: inner.netns } } }),
      addLink({ name: 'vx', kind: { type: 'vxlan', vni: 1, port: 4789, learning: true } }),
      setLink('a', { alias: 'moor:test:1', up: true, mac: MAC_A }),
      setBridgePort('a', { isolated: true, hairpin: true }),
      setBridgePort(13, { isolated: true, learning: false, flood: false }),
    );
    withNetns(host.netns, () => {
      createTun('tun0', 'tun');
      createTun('tap0', 'tap');
    });
    const ports = new Map(host.show('bridge -j -d link').map((port) => [port['ifname'], port]));
    const kinds = { vx: 'vxlan', br0: 'bridge', a: 'veth', b: 'veth', c: 'veth', tun0: 'tun', tap0: 'tun', lo: '' } as Record<
      string,
      string
    >;
    const fromIp = host.show('ip -j -d link').map((item) => ({
      index: item['ifindex'],
      name: item['ifname'],
      type: kinds[String(item['ifname'])],
      up: isUp(item),
      mtu: item['mtu'],
      mac: item['address'] ?? '',
      alias: item['ifalias'] ?? '',
      isolated: ports.get(item['ifname'])?.['isolated'] ?? false,
      hairpin: ports.get(item['ifname'])?.['hairpin'] ?? false,
    }));
    const links = host.route.collect(dumpLinks());
    assert.deepEqual(
      links.map(({ index, name, type, up, mtu, mac, alias, isolated, hairpin }) => ({
        index,
        name,
        type,
        up,
        mtu,
        mac,
        alias,
        isolated,
        hairpin,
      })),
      fromIp,
    );
    assert.deepEqual(pick(ports.get('c'), 'isolated', 'hairpin', 'learning', 'flood'), {
      isolated: true,
      hairpin: false,
      learning: false,
      flood: false,
    });
    assert.deepEqual(
      links.filter(({ tap }) => tap).map(({ name }) => name),
      ['tap0'],
    );
    assert.deepEqual(
      host.route.collect(dumpLinks({ master: 10 })).map(({ name }) => name),
      ['a', 'c'],
    );
    assert.equal(host.route.find(getLink('c'))?.linkNsid, Number(host.show('ip -j link show c')[0]?.['link_netnsid']));
  });

  test('rename, move, leave the bridge, go down, delete', () => {
    using lab = new Lab();
    const host = lab.namespace('host');
    const inner = lab.namespace('inner');
    host.apply(
      bridge('br0', 10),
      addLink({ name: 'a', index: 11, up: true, master: 10, kind: { type: 'veth', peer: { name: 'b', index: 12 } } }),
      setLink(11, { master: 0, up: false, mtu: 1300 }),
      setLink(12, { name: 'eth9' }),
      setLink('eth9', { netns: inner.netns }),
    );
    const [a] = host.show('ip -j link show a');
    assert.equal(a?.['master'], undefined);
    assert.equal(a?.['mtu'], 1300);
    assert.ok(!isUp(a));
    assert.equal(inner.show('ip -j link show eth9').length, 1);
    host.apply(deleteLink('a'), deleteLink(10));
    assert.deepEqual(
      host.show('ip -j link').map((item) => item['ifname']),
      ['lo'],
    );
    assert.deepEqual(
      inner.show('ip -j link').map((item) => item['ifname']),
      ['lo'],
    );
    assert.equal(host.route.find(getLink('a')), null);
    assert.equal(host.route.find(getLink(10)), null);
  });

  test('errors keep the operation, the number and the words of the kernel', () => {
    using lab = new Lab();
    const { route } = lab.namespace('host');
    route.run(bridge('br0', 10));
    const taken = failureOf(route, bridge('br0', 11));
    assert.equal(taken.kind, 'conflict');
    assert.deepEqual(taken.kernel, { operation: 'ip link add br0 up type bridge', errno: 17, code: 'EEXIST' });
    assert.equal(failureOf(route, bridge('br1', 10)).kernel?.code, 'EEXIST');
    const mtu = failureOf(route, setLink(10, { mtu: 1 }));
    assert.deepEqual(mtu.kernel, {
      operation: 'ip link set if10 mtu 1',
      errno: 22,
      code: 'EINVAL',
      extack: 'mtu less than device minimum',
    });
    assert.equal(mtu.message, 'ip link set if10 mtu 1: mtu less than device minimum (EINVAL)');
    const gone = failureOf(route, deleteLink('none'));
    assert.equal(gone.kind, 'not-found');
    assert.equal(gone.kernel?.code, 'ENODEV');
    // It is no port of a bridge.
    assert.equal(failureOf(route, setBridgePort(10, { isolated: true })).kind, 'unsupported');
    assert.throws(() => route.run(addLink({ name: 'x', kind: { type: 'veth', peer: { name: 'name-of-16-bytes' } } })), {
      kind: 'invalid',
    });
  });

  test('a bridge is full with 1,023 ports, and says so', () => {
    using lab = new Lab();
    const host = lab.namespace('host');
    const requests = [bridge('br0', 10)];
    for (let i = 0; i < 1024; i++) {
      requests.push(addLink({ name: `v${i}`, master: 10, kind: { type: 'veth', peer: { name: `p${i}` } } }));
    }
    const errors = host.route.execute(requests);
    assert.deepEqual(errors.slice(0, 1024).filter(Boolean), []);
    assert.equal(errors[1024]?.kind, 'exhausted');
    assert.equal(errors[1024]?.kernel?.code, 'EXFULL');
    assert.equal(host.route.collect(dumpLinks({ master: 10 })).length, 1023);
  });

  test('a macvlan device is born in another namespace than its parent', () => {
    using lab = new Lab();
    const host = lab.namespace('host');
    const inner = lab.namespace('inner');
    const request = addLink({
      name: 'eth0',
      mac: MAC_A,
      netns: inner.netns,
      kind: { type: 'macvlan', parent: 10, mode: 'private' },
    });
    assert.equal(request.what, `ip link add eth0 address ${MAC_A} netns ${inner.path} type macvlan mode private link if10`);
    host.apply(bridge('br0', 10), request);
    assert.deepEqual(pick(inner.show('ip -j -d link show eth0')[0], 'ifname', 'address', 'link_index'), {
      ifname: 'eth0',
      address: MAC_A,
      link_index: 10,
    });
  });

  test('a socket made in a namespace stays there', () => {
    using lab = new Lab();
    const host = lab.namespace('host');
    using socket = NetlinkSocket.open('route', host.netns);
    socket.run(bridge('br7', 10));
    assert.equal(host.show('ip -j link show br7').length, 1);
  });
});
