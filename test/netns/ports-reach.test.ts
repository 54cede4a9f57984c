/** Published ports: which of several is meant, when they end, and who must not get to them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { OPTION } from '../../src/drivers/bridge/options.ts';
import { HOST4, HOST6, TABLE, WORLD4, WORLD6 } from './lab.ts';
import { at, HERE, type Place } from './packets.ts';
import { asking, binding, bridgeNf, createPortsLab } from './ports-lab.ts';
import { sctpArrival } from './sctp.ts';

const LAN_HOST4 = '203.0.113.1';

test('a port of one address goes before the same port of any address, and other addresses are free', async () => {
  await using lab = await createPortsLab();
  const net = await lab.network('10.1.0.0/24');
  const boxes = [await lab.sandbox(net, 2), await lab.sandbox(net, 3), await lab.sandbox(net, 4)] as const;
  const hosts = [HOST4, LAN_HOST4, '0.0.0.0'];
  for (const [i, box] of boxes.entries()) {
    await lab.publish(net, box, binding(hosts[i] ?? '', '8080:80/tcp'), binding(hosts[i] ?? '', '9000-9009/tcp'));
    for (const port of [80, 9005]) await lab.agentAt(box.place).listen('tcp', port, `box ${i}`);
  }
  for (const port of [8080, 9005]) {
    assert.equal(await lab.agentAt(lab.world).ask('tcp', HOST4, port), 'box 0');
    assert.equal(await lab.agentAt(lab.lan).ask('tcp', LAN_HOST4, port), 'box 1');
    // By another interface of the host than the one that has the address.
    assert.equal(await lab.agentAt(lab.lan).ask('tcp', HOST4, port), 'box 0');
    assert.equal(await lab.agentAt(HERE).ask('tcp', '127.0.0.1', port), 'box 2');
    assert.equal(await lab.agentAt(HERE).ask('tcp', '127.9.9.9', port), 'box 2');
    assert.equal(await lab.agentAt(HERE).ask('tcp', '10.1.0.1', port), 'box 2');
  }
  // A range ends where it ends, and what is not for the host itself is not looked up.
  assert.equal(await lab.agentAt(lab.world).ask('tcp', HOST4, 9010), 'refused');
  assert.equal(await lab.agentAt(boxes[0].place).ask('tcp', WORLD4, 8080), 'refused');
});

test('a port that is taken back is closed at once, and the others stay', async () => {
  await using lab = await createPortsLab({ prepare: bridgeNf('1') });
  const net = await lab.network('10.1.0.0/24');
  const box = await lab.sandbox(net, 2);
  await lab.agentAt(box.place).listen('tcp', 80);
  const first = await lab.publish(net, box, binding('0.0.0.0', '8080:80/tcp'), binding('0.0.0.0', '9000-9009/tcp'));
  await lab.publish(net, box, binding('0.0.0.0', '8081:80/tcp'));
  await lab.unpublish(first);
  assert.equal(await lab.agentAt(lab.world).ask('tcp', HOST4, 8080), 'refused');
  for (const [from, to, seen] of [
    [lab.world, HOST4, WORLD4],
    [HERE, '127.0.0.1', '10.1.0.1'],
    [box.place, HOST4, '10.1.0.1'],
  ] as const)
    assert.equal(await lab.agentAt(from).ask('tcp', to, 8081), seen);
});

test('a network without IPv4', async () => {
  await using lab = await createPortsLab();
  const net = await lab.network('fd00:1::/64');
  const [a, b] = [await lab.sandbox(net, 2), await lab.sandbox(net, 3)];
  await lab.agentAt(a.place).listen('tcp', 80);
  await lab.publish(net, a, binding('::', '8080:80/tcp'), binding('0.0.0.0', '8080:80/tcp'));
  assert.equal(await at(a.place, 'ip', '-4', '-o', 'address', 'show', 'dev', 'eth0'), '');
  assert.equal(await lab.agentAt(lab.world).ask('tcp', HOST6, 8080), WORLD6);
  assert.equal(await lab.agentAt(b.place).ask('tcp', HOST6, 8080), 'fd00:1::1');
  // There is no proxy that would lead from one family to the other.
  assert.equal(await lab.agentAt(lab.world).ask('tcp', HOST4, 8080), 'refused');
});

test('sctp, with its checksum', async () => {
  await using lab = await createPortsLab();
  const net = await lab.network('10.1.0.0/24 fd00:1::/64');
  const box = await lab.sandbox(net, 2);
  for (const any of ['0.0.0.0', '::']) await lab.publish(net, box, binding(any, '8080:80/sctp'), binding(any, '9000-9009/sctp'));
  for (const [address, seen] of [
    [HOST4, WORLD4],
    [HOST6, WORLD6],
  ] as const) {
    assert.equal(await sctpArrival(lab.world, box.place, { address, port: 8080 }), `${seen} 80 good`);
    assert.equal(await sctpArrival(lab.world, box.place, { address, port: 9005 }), `${seen} 9005 good`);
  }
});

/** Sends packets for 127.0.0.1 out of a namespace by a gateway, which no honest host does. */
async function misroute(place: Place, via: string, source: string): Promise<void> {
  await at(place, 'sysctl', '-qw', 'net.ipv4.conf.eth0.route_localnet=1');
  await at(place, 'ip', 'rule', 'add', 'pref', '1', 'to', '127.0.0.1', 'lookup', '50');
  await at(place, 'ip', 'route', 'add', '127.0.0.1', 'via', via, 'dev', 'eth0', 'src', source, 'table', '50');
  await at(place, 'ip', 'rule', 'add', 'pref', '2', 'lookup', 'local');
  await at(place, 'ip', 'rule', 'del', 'pref', '0');
}

test("nobody else reaches the host's localhost: neither what is published there nor its own services", async () => {
  await using lab = await createPortsLab();
  const net = await lab.network('10.1.0.0/24');
  const [a, b] = [await lab.sandbox(net, 2), await lab.sandbox(net, 3)];
  await lab.agentAt(a.place).listen('tcp', 80, 'published');
  await lab.agentAt(HERE).listen('tcp', 81, 'of the host');
  await lab.publish(net, a, binding('127.0.0.1', '8080:80/tcp'));
  assert.equal(await lab.agentAt(HERE).ask('tcp', '127.0.0.1', 8080), 'published');
  await misroute(lab.world, HOST4, WORLD4);
  await misroute(b.place, '10.1.0.1', b.ip);
  const answers = async (how: 'ask' | 'tries'): Promise<string[]> => [
    await lab.agentAt(lab.world)[how]('tcp', '127.0.0.1', 8080),
    await lab.agentAt(b.place)[how]('tcp', '127.0.0.1', 8080),
    await lab.agentAt(b.place)[how]('tcp', '127.0.0.1', 81),
  ];
  assert.deepEqual(await answers('tries'), ['silence', 'silence', 'silence']);
  // The control: it is our table that stops them.
  for (const chain of ['outside', 'localhost']) await at(HERE, 'nft', 'flush', 'chain', 'inet', TABLE, chain);
  assert.deepEqual(await answers('ask'), ['published', 'published', 'of the host']);
});

describe('enable_icc=false', () => {
  for (const nf of ['0', '1'] as const) {
    test(`published ports by the host's address, bridge-nf-call-iptables=${nf}`, async () => {
      await using lab = await createPortsLab({ prepare: bridgeNf(nf) });
      const net = await lab.network('10.1.0.0/24 fd00:1::/64', { options: { [OPTION.icc]: 'false' } });
      const [a, b] = [await lab.sandbox(net, 2), await lab.sandbox(net, 3)];
      await lab.agentAt(a.place).listen('tcp', 80);
      await lab.publish(net, a, binding('0.0.0.0', '8080:80/tcp'), binding('::', '8080:80/tcp'));
      // br_netfilter translates such a frame while it is bridged, and then it would go from one isolated port to another.
      const inside = nf === '0' ? '10.1.0.1' : 'silence';
      const tries = [
        [lab.world, HOST4, 8080, WORLD4],
        [HERE, '127.0.0.1', 8080, '10.1.0.1'],
        [a.place, HOST4, 8080, inside],
        [b.place, HOST4, 8080, inside],
        [b.place, a.ip, 80, 'silence'],
        [b.place, a.ip6, 80, 'silence'],
      ] as const;
      const seen = await Promise.all(
        tries.map(([from, to, port, expected]) => asking(lab.agentAt(from), expected)('tcp', to, port)),
      );
      assert.deepEqual(
        seen,
        tries.map(([, , , expected]) => expected),
      );
    });
  }
});
