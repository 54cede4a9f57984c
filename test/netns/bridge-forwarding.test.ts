/** What becomes of packets that are none of ours when we turn forwarding on. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { createLab, HOST4, LAN4, stranger, TABLE, WORLD4, publish } from './lab.ts';
import { at, HERE, type Place, pings, seenAs, silent } from './packets.ts';

const FORWARD = '/proc/sys/net/ipv4/ip_forward';

test('a host that did not route between its interfaces still does not', async () => {
  {
    await using lab = await createLab();
    assert.equal(readFileSync(FORWARD, 'utf8').trim(), '1');
    assert.deepEqual(await Promise.all([silent(lab.world, LAN4), silent(lab.lan, WORLD4)]), [true, true]);
    // The control: nothing but that keeps them apart.
    await at(HERE, 'nft', 'delete', 'element', 'inet', TABLE, 'foreign', '{ ipv4 }');
    assert.equal(await seenAs(lab.world, LAN4), WORLD4);
    await at(HERE, 'nft', 'add', 'element', 'inet', TABLE, 'foreign', '{ ipv4 : goto closed }');
  }
  assert.equal(readFileSync(FORWARD, 'utf8').trim(), '0');
});

test('a host that was a router stays one', async () => {
  await using lab = await createLab({
    prepare: async (stack) => {
      writeFileSync(FORWARD, '1');
      stack.defer(() => writeFileSync(FORWARD, '0'));
    },
  });
  assert.equal(await seenAs(lab.world, LAN4), WORLD4);
  assert.equal(await seenAs(lab.lan, WORLD4), LAN4);
});

test('networks of other tools go on working, also those that come later', async () => {
  await using lab = await createLab();
  await using stack = new AsyncDisposableStack();
  await at(HERE, 'ip', 'link', 'add', 'virbr0', 'up', 'type', 'bridge');
  stack.defer(async () => void (await at(HERE, 'ip', 'link', 'del', 'virbr0')));
  await at(HERE, 'ip', 'address', 'add', '192.168.122.1/24', 'dev', 'virbr0');
  const guest = await stranger(stack, 'guest', { bridge: 'virbr0', address: '192.168.122.2/24', gateway: '192.168.122.1' });
  await at(lab.world, 'ip', 'route', 'add', '192.168.122.0/24', 'via', '198.51.100.1');
  assert.equal(await seenAs(guest, WORLD4), '192.168.122.2');
  // From outside, only what is published; a route alone was no way in before us, either.
  assert.ok(await silent(lab.world, '192.168.122.2'));
  await publish(stack, '192.168.122.2');
  assert.equal(await seenAs(lab.world, HOST4), WORLD4);
});

test('frames inside a bridged uplink pass while br_netfilter shows them to us', async () => {
  const guests: Place[] = [];
  await using lab = await createLab({
    facts: { uplink: 'lanbr' },
    prepare: async (stack) => {
      writeFileSync('/proc/sys/net/bridge/bridge-nf-call-iptables', '1');
      await at(HERE, 'ip', 'link', 'add', 'lanbr', 'up', 'type', 'bridge');
      stack.defer(async () => void (await at(HERE, 'ip', 'link', 'del', 'lanbr')));
      for (const n of [1, 2]) guests.push(await stranger(stack, `vm${n}`, { bridge: 'lanbr', address: `192.0.2.${n}/24` }));
      assert.ok(await pings(guests[0] ?? '', '192.0.2.2'));
    },
  });
  const [one = ''] = guests;
  assert.equal(await seenAs(one, '192.0.2.2'), '192.0.2.1');
  // The control: it is the exception that lets them pass.
  const rules = await at(HERE, 'nft', '-a', 'list', 'chain', 'inet', TABLE, 'closed');
  const handle = /inside a bridged uplink" # handle (\d+)/.exec(rules)?.[1] ?? '';
  await at(HERE, 'nft', 'delete', 'rule', 'inet', TABLE, 'closed', 'handle', handle);
  assert.ok(await silent(one, '192.0.2.2'));
  assert.ok(lab);
});
