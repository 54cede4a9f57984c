/** Networks that span hosts, on each backend: real packets between sandboxes of three hosts. */
// test-timeout: 300 s
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { parseIfAddress, parseIp } from '../../src/base/ip.ts';
import { at, HERE, pings, seenAs, silent } from './packets.ts';
import {
  createWorld,
  type Host,
  inner4,
  inner6,
  outer4,
  outer6,
  ROUTER4,
  ROUTER6,
  setPeers,
  start,
  stateOf,
  stranger,
  type World,
} from './routed-lab.ts';

let world: World;
before(async () => {
  world = await createWorld();
});
after(() => world[Symbol.asyncDispose]());

const route = async (host: Host, family: 4 | 6, to: string): Promise<string> =>
  (await at(host.place, 'ip', `-${family}`, 'route', 'show', to)).trim();

/** Runs with a network on the hosts; afterwards they must be as before. */
async function withNetwork(
  count: 2 | 3,
  part: Parameters<typeof start>[2],
  body: (hosts: readonly Host[], troubles: readonly string[]) => Promise<void>,
): Promise<void> {
  const hosts = world.hosts.slice(0, count);
  const old = await Promise.all(hosts.map(stateOf));
  {
    await using stack = new AsyncDisposableStack();
    await body(hosts, await start(stack, hosts, part));
  }
  assert.deepEqual(await Promise.all(hosts.map(stateOf)), old);
}

/** Everybody reaches everybody, who sees the real source, and the world, which sees the host. */
async function allReach(hosts: readonly Host[]): Promise<void> {
  for (const a of hosts) {
    for (const b of hosts) {
      if (a === b) continue;
      assert.equal(await seenAs(a.sandbox, inner4(b.n)), inner4(a.n), `${a.n} to ${b.n}, IPv4`);
      assert.equal(await seenAs(a.sandbox, inner6(b.n)), inner6(a.n), `${a.n} to ${b.n}, IPv6`);
      // The host itself, with an address that the other one takes for the network's.
      assert.ok(await pings(a.place, inner4(b.n)), `host ${a.n} to ${b.n}, IPv4`);
      assert.ok(await pings(a.place, inner6(b.n)), `host ${a.n} to ${b.n}, IPv6`);
    }
    assert.equal(await seenAs(a.sandbox, ROUTER4), outer4(a.n));
    assert.equal(await seenAs(a.sandbox, ROUTER6), outer6(a.n));
    // Twice is once, and a restart would find everything as it should be.
    assert.deepEqual(await a.tell({ do: 'again' }), []);
  }
}

/** The largest packet of the sandbox's MTU passes whole; returns that MTU. */
async function passes(a: Host, b: Host): Promise<number> {
  const [link] = JSON.parse(await at(a.sandbox, 'ip', '-j', 'link', 'show', 'eth0')) as { mtu: number }[];
  const mtu = link?.mtu ?? 0;
  // IP and ICMP header: 28 and 48 bytes.
  for (const [address, headers] of [
    [inner4(b.n), 28],
    [inner6(b.n), 48],
  ] as const) {
    await at(a.sandbox, 'ping', '-n', '-c', '1', '-w', '10', '-M', 'do', '-s', String(mtu - headers), address);
  }
  return mtu;
}

/** A neighbour on the underlay with a route is not let in, whatever address it uses: counted inside the sandbox. */
async function strangersStayOut({ n, sandbox }: Host, spoofed: string): Promise<void> {
  await at(sandbox, 'nft', 'add table ip probe; add chain ip probe in { type filter hook input priority 0; }');
  await at(sandbox, 'nft', `add rule ip probe in ip saddr { ${spoofed}, ${ROUTER4} } counter`);
  await at(HERE, 'ip', 'route', 'add', inner4(n), 'via', outer4(n));
  await at(HERE, 'ip', 'address', 'add', `${spoofed}/32`, 'dev', 'lo');
  try {
    for (const source of [ROUTER4, spoofed]) {
      await assert.rejects(at(HERE, 'ping', '-n', '-c', '1', '-W', '1', '-I', source, inner4(n)), `${source} got an answer`);
    }
    assert.match(await at(sandbox, 'nft', 'list chain ip probe in'), /counter packets 0 bytes 0/);
  } finally {
    await at(HERE, 'ip', 'address', 'del', `${spoofed}/32`, 'dev', 'lo');
    await at(HERE, 'ip', 'route', 'del', inner4(n));
    await at(sandbox, 'nft', 'delete table ip probe');
  }
}

/** Networks stay apart also where one of them is on another host, under whatever address. */
async function networksStayApart(one: Host, two: Host): Promise<void> {
  const other = await stranger(one);
  assert.equal(await seenAs(other, ROUTER4), outer4(one.n));
  assert.equal(await seenAs(other, ROUTER6), outer6(one.n));
  for (const { n } of [one, two]) {
    assert.ok(await silent(other, inner4(n)), `${n}, IPv4`);
    assert.ok(await silent(other, inner6(n)), `${n}, IPv6`);
  }
}

/** A subnet that no host has: an answer at once, instead of a packet for the default route. */
const nobody = async ({ sandbox }: Host): Promise<void> => {
  for (const [family, address] of [
    [4, '10.244.77.7'],
    [6, 'fd44:0:0:77::7'],
  ] as const) {
    const failure = await at(sandbox, 'ping', `-${family}`, '-n', '-c', '1', '-W', '10', address).then(
      () => '',
      (error: Error & { stdout?: string }) => error.stdout ?? '',
    );
    assert.match(failure, /unreachable|No route/i);
  }
};

describe('host-gw', () => {
  test('two hosts on a segment', async () => {
    await withNetwork(2, { options: { backend: 'host-gw' } }, async (hosts, troubles) => {
      assert.deepEqual(troubles, ['', '']);
      const [one, two] = pair(hosts);
      await allReach(hosts);
      assert.equal(await passes(one, two), 1500);
      await nobody(one);
      // With the segment's trust: an address of the peer's subnet is the peer's, one of nobody's is not.
      await strangersStayOut(one, '10.244.77.7');
      await networksStayApart(one, two);
      assert.match(await route(one, 4, '10.244.2.0/24'), /^10\.244\.2\.0\/24 via 10\.9\.0\.2 dev eth1 .*src 10\.244\.1\.1/);
      await setPeers(one, []);
      assert.equal(await route(one, 4, '10.244.2.0/24'), '');
      assert.equal(await route(one, 6, 'fd44:0:0:2::/64'), '');
      await nobody(one);
    });
  });

  test('the third one is behind a router: said, and left out', async () => {
    await withNetwork(3, { options: { backend: 'host-gw' } }, async (hosts, troubles) => {
      assert.match(
        troubles[0] ?? '',
        /^h3 \(10\.9\.1\.3\) is on no network of eth1 \(10\.9\.0\.1\/24, fd09::1\/64\): backend host-gw/,
      );
      const [one, two, three] = hosts;
      assert.ok(one && two && three);
      await allReach([one, two]);
      assert.ok(await silent(one.sandbox, inner4(three.n)));
    });
  });
});

describe('vxlan', () => {
  test('three hosts, one behind a router', async () => {
    await withNetwork(3, {}, async (hosts, troubles) => {
      assert.deepEqual(troubles, ['', '', '']);
      const [one, two] = pair(hosts);
      await allReach(hosts);
      assert.equal(await passes(one, two), 1430);
      await nobody(one);
      // Also with the address of a sandbox that is there, as it does not come out of the VTEP.
      await strangersStayOut(one, '10.244.2.99');
      await networksStayApart(one, two);
      const fdb = (family: 4 | 6): Promise<string> =>
        at(one.place, 'bridge', 'fdb', 'show', 'dev', family === 4 ? 'moor-vx1' : 'moor6vx1');
      assert.match(await fdb(4), /dst 10\.9\.0\.2 self permanent/);
      assert.match(await fdb(6), /dst fd09::2 self permanent/);
      await setPeers(one, hosts.slice(2));
      for (const family of [4, 6] as const) {
        assert.doesNotMatch(await fdb(family), /dst (10\.9\.0\.2|fd09::2) /);
        assert.match(await fdb(family), /dst (10\.9\.1\.3|fd09:0:0:1::3) /);
        assert.doesNotMatch(await at(one.place, 'ip', `-${family}`, 'neigh'), /^(10\.244\.2\.0|fd44:0:0:2::) /m);
        assert.match(await at(one.place, 'ip', `-${family}`, 'neigh'), /^(10\.244\.3\.0|fd44:0:0:3::) .*PERMANENT/m);
      }
      assert.equal(await route(one, 4, '10.244.2.0/24'), '');
      assert.equal(await seenAs(one.sandbox, inner4(3)), inner4(1));
    });
  });

  test('nothing is learned, and nothing flooded', async () => {
    await withNetwork(2, { options: { vni: '4711', port: '4789' } }, async (hosts) => {
      const [one] = pair(hosts);
      const [link] = JSON.parse(await at(one.place, 'ip', '-d', '-j', 'link', 'show', 'moor-vx4711')) as {
        linkinfo: { info_data: Record<string, unknown> };
      }[];
      const { id, local, port, learning } = link?.linkinfo.info_data ?? {};
      assert.deepEqual({ id, local, port, learning }, { id: 4711, local: '10.9.0.1', port: 4789, learning: false });
      assert.doesNotMatch(await at(one.place, 'bridge', 'fdb', 'show', 'dev', 'moor-vx4711'), /00:00:00:00:00:00/);
      await allReach(hosts);
    });
  });

  test('direct routing: by the segment to who is on it', async () => {
    await withNetwork(3, { options: { 'direct-routing': 'true' } }, async (hosts, troubles) => {
      assert.deepEqual(troubles, ['', '', '']);
      const [one] = pair(hosts);
      assert.match(await route(one, 4, '10.244.2.0/24'), /via 10\.9\.0\.2 dev eth1/);
      assert.match(await route(one, 4, '10.244.3.0/24'), /via 10\.244\.3\.0 dev moor-vx1 .*onlink/);
      await allReach(hosts);
    });
  });

  test('a host that comes back with another address', async () => {
    await withNetwork(2, {}, async (hosts) => {
      const [one, two] = pair(hosts);
      assert.equal(await seenAs(one.sandbox, inner4(2)), inner4(1));
      // With an address of its subnet its default route goes as well.
      const readdress = async (from: string, to: string): Promise<void> => {
        await at(one.place, 'ip', 'address', 'del', `${from}/24`, 'dev', 'eth1');
        await at(one.place, 'ip', 'address', 'add', `${to}/24`, 'dev', 'eth1');
        await at(one.place, 'ip', 'route', 'add', 'default', 'via', ROUTER4);
      };
      await readdress(outer4(1), '10.9.0.11');
      try {
        const addresses = ['10.9.0.11/24', `${outer6(1)}/64`].map(parseIfAddress);
        const repairs = await one.tell({ do: 'move', underlay: { node: 'h1', device: 'eth1', mtu: 1500, addresses } });
        assert.ok(Array.isArray(repairs));
        assert.match(String(repairs[0]), /^ip link del moor-vx1: its local address was 10\.9\.0\.1$/);
        assert.match(
          String(repairs[1]),
          /^ip link add moor-vx1 .* local 10\.9\.0\.11 nolearning: its local address was 10\.9\.0\.1$/,
        );
        const moved = {
          ...(await one.asPeer()),
          address: parseIp('10.9.0.11'),
          addresses: [parseIp('10.9.0.11'), parseIp(outer6(1))],
        };
        await two.tell({ do: 'peers', peers: [moved] });
        assert.equal(await seenAs(one.sandbox, inner4(2)), inner4(1));
        assert.equal(await seenAs(two.sandbox, inner4(1)), inner4(2));
        assert.match(await at(two.place, 'bridge', 'fdb', 'show', 'dev', 'moor-vx1'), /dst 10\.9\.0\.11 self permanent/);
      } finally {
        await readdress('10.9.0.11', outer4(1));
      }
    });
  });

  test('internal: sandboxes of the network on all hosts, and nobody else', async () => {
    await withNetwork(2, { internal: true }, async (hosts) => {
      const [one, two] = pair(hosts);
      await at(one.sandbox, 'ip', 'route', 'add', ROUTER4, 'via', '10.244.1.1');
      assert.equal(await seenAs(one.sandbox, inner4(2)), inner4(1));
      assert.equal(await seenAs(two.sandbox, inner6(1)), inner6(2));
      assert.ok(await silent(one.sandbox, ROUTER4));
    });
  });
});

test('udp: three hosts, one behind a router', async () => {
  await withNetwork(3, { options: { backend: 'udp' } }, async (hosts, troubles) => {
    assert.deepEqual(troubles, ['', '', '']);
    const [one, two] = pair(hosts);
    await allReach(hosts);
    assert.equal(await passes(one, two), 1472);
    await nobody(one);
    await strangersStayOut(one, '10.244.2.99');
    await networksStayApart(one, two);
    assert.ok(((await one.tunnel())?.peers['h2']?.receivedPackets ?? 0) > 0);
    await setPeers(one, hosts.slice(2));
    assert.equal(await route(one, 4, '10.244.2.0/24'), '');
    assert.equal(await route(one, 6, 'fd44:0:0:2::/64'), '');
    assert.deepEqual(Object.keys((await one.tunnel())?.peers ?? {}), ['h3']);
    assert.equal(await seenAs(one.sandbox, inner4(3)), inner4(1));
  });
});

test('alloc: whoever routes the range', async () => {
  await withNetwork(2, { options: { backend: 'alloc' } }, async (hosts) => {
    for (const { n } of hosts) {
      await at(HERE, 'ip', 'route', 'add', `10.244.${n}.0/24`, 'via', outer4(n));
      await at(HERE, 'ip', 'route', 'add', `fd44:0:0:${n}::/64`, 'via', outer6(n));
    }
    try {
      const [one, two] = pair(hosts);
      assert.equal(await seenAs(one.sandbox, inner4(2)), inner4(1));
      assert.equal(await seenAs(two.sandbox, inner6(1)), inner6(2));
      assert.equal(await seenAs(one.sandbox, ROUTER4), outer4(1));
    } finally {
      for (const { n } of hosts) {
        await at(HERE, 'ip', 'route', 'del', `10.244.${n}.0/24`);
        await at(HERE, 'ip', 'route', 'del', `fd44:0:0:${n}::/64`);
      }
    }
  });
});

function pair([one, two]: readonly Host[]): readonly [Host, Host] {
  assert.ok(one && two);
  return [one, two];
}
