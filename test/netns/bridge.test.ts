/** What networks of the bridge driver let through and what they do not, by real packets. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { OPTION } from '../../src/drivers/bridge/options.ts';
import { createLab, HOST4, HOST6, WORLD4, WORLD6, TABLE, publish } from './lab.ts';
import { at, HERE, pings, seenAs, silent } from './packets.ts';

for (const bridgeNf of ['0', '1']) {
  const prepare = async (): Promise<void> => {
    writeFileSync('/proc/sys/net/bridge/bridge-nf-call-iptables', bridgeNf);
    writeFileSync('/proc/sys/net/bridge/bridge-nf-call-ip6tables', bridgeNf);
  };

  describe(`bridge-nf-call-iptables=${bridgeNf}`, () => {
    test('inside one network, to the host, to the world', async () => {
      await using lab = await createLab({ prepare });
      const net = await lab.network('10.1.0.0/24');
      const [a, b] = [await lab.sandbox(net, 2), await lab.sandbox(net, 3)];
      assert.equal(await seenAs(a.place, b.ip), a.ip);
      assert.ok(await pings(a.place, b.ip));
      assert.ok(await pings(a.place, '10.1.0.1'));
      assert.ok(await pings(HERE, a.ip));
      assert.equal(await seenAs(HERE, a.ip), '10.1.0.1');
      // Masqueraded: the world sees the host.
      assert.equal(await seenAs(a.place, WORLD4), HOST4);
      assert.ok(await pings(a.place, WORLD4));
      // Nobody outside gets in uninvited, even with a route.
      await at(lab.world, 'ip', 'route', 'add', '10.1.0.0/24', 'via', HOST4);
      assert.ok(await silent(lab.world, a.ip));
    });

    test('not between networks', async () => {
      await using lab = await createLab({ prepare });
      const [one, two] = [await lab.network('10.1.0.0/24'), await lab.network('10.2.0.0/24')];
      const [a, b] = [await lab.sandbox(one, 2), await lab.sandbox(two, 2)];
      const results = await Promise.all([silent(a.place, b.ip), silent(b.place, a.ip)]);
      assert.deepEqual(results, [true, true]);
      // A gateway is an address of the host, as any other.
      assert.ok(await pings(a.place, '10.2.0.1'));
      // The control: it is our table that stops them.
      await at(HERE, 'nft', 'flush', 'chain', 'inet', TABLE, 'enter');
      assert.equal(await seenAs(a.place, b.ip), a.ip);
    });

    test('an internal network has no way out or in', async () => {
      await using lab = await createLab({ prepare });
      const [inner, other] = [await lab.network('10.1.0.0/24', { internal: true }), await lab.network('10.2.0.0/24')];
      const [a, b, c] = [await lab.sandbox(inner, 2), await lab.sandbox(inner, 3), await lab.sandbox(other, 2)];
      assert.equal(await seenAs(a.place, b.ip), a.ip);
      assert.equal(await seenAs(HERE, a.ip), '10.1.0.1');
      assert.ok(await pings(a.place, '10.1.0.1'));
      assert.equal(await at(a.place, 'ip', 'route', 'show', 'default'), '');
      await at(a.place, 'ip', 'route', 'add', 'default', 'via', '10.1.0.1');
      await at(lab.world, 'ip', 'route', 'add', '10.1.0.0/24', 'via', HOST4);
      const results = await Promise.all([
        silent(a.place, WORLD4),
        silent(a.place, c.ip),
        silent(c.place, a.ip),
        silent(lab.world, a.ip),
      ]);
      assert.deepEqual(results, [true, true, true, true]);
    });

    test('icc off keeps endpoints apart and leaves them the world', async () => {
      await using lab = await createLab({ prepare });
      const net = await lab.network('10.1.0.0/24', { options: { [OPTION.icc]: 'false' } });
      const [a, b] = [await lab.sandbox(net, 2), await lab.sandbox(net, 3)];
      assert.equal(await seenAs(a.place, WORLD4), HOST4);
      assert.ok(await pings(HERE, a.ip));
      assert.ok(await silent(a.place, b.ip));
      // Past the bridge's isolation, by way of the gateway.
      for (const [from, to] of [
        [a, b],
        [b, a],
      ] as const)
        await at(from.place, 'ip', 'route', 'add', `${to.ip}/32`, 'via', '10.1.0.1');
      assert.ok(await silent(a.place, b.ip));
      await at(HERE, 'nft', 'flush', 'chain', 'inet', TABLE, 'isolated');
      assert.equal(await seenAs(a.place, b.ip), a.ip);
    });

    test('without masquerading the source is kept', async () => {
      await using lab = await createLab({ prepare });
      const net = await lab.network('10.1.0.0/24', { options: { [OPTION.masquerade]: 'false' } });
      const a = await lab.sandbox(net, 2);
      await at(lab.world, 'ip', 'route', 'add', '10.1.0.0/24', 'via', HOST4);
      assert.equal(await seenAs(a.place, WORLD4), a.ip);
      assert.ok(await silent(lab.world, a.ip));
    });

    test('a published port, from the world and from another network', async () => {
      await using lab = await createLab({ prepare });
      const [one, two] = [await lab.network('10.1.0.0/24'), await lab.network('10.2.0.0/24')];
      const [a, b] = [await lab.sandbox(one, 2), await lab.sandbox(two, 2)];
      await using stack = new AsyncDisposableStack();
      await publish(stack, a.ip);
      assert.equal(await seenAs(lab.world, HOST4), WORLD4);
      // The source is kept between our networks.
      assert.equal(await seenAs(b.place, HOST4), b.ip);
    });

    test('IPv6: inside, out by NAT66, not between networks', async () => {
      await using lab = await createLab({ prepare });
      const [one, two] = [await lab.network('10.1.0.0/24 fd00:1::/64'), await lab.network('fd00:2::/64')];
      const [a, b, c] = [await lab.sandbox(one, 2), await lab.sandbox(one, 3), await lab.sandbox(two, 2)];
      assert.equal(await seenAs(a.place, b.ip6), a.ip6);
      assert.ok(await pings(a.place, 'fd00:1::1'));
      assert.ok(await pings(HERE, a.ip6));
      await at(HERE, 'ip', '-6', 'route', 'add', 'default', 'via', WORLD6);
      assert.equal(await seenAs(a.place, WORLD6), HOST6);
      assert.equal(await seenAs(c.place, WORLD6), HOST6);
      await at(HERE, 'ip', '-6', 'route', 'del', 'default', 'via', WORLD6);
      assert.deepEqual(await Promise.all([silent(a.place, c.ip6), silent(c.place, a.ip6)]), [true, true]);
    });
  });
}
