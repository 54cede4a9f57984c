/**
 * The overlay driver's plans in the real kernel. This process's namespace is the host; the other host is made by hand with ip(8) and bridge(8), as
 * any kernel's VXLAN would be, so that what is on the wire is what the standard says.
 */
// test-timeout: 120 s
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { silentLogger } from '../../src/base/clock.ts';
import type { Change } from '../../src/contracts/change.ts';
import type { Kernel } from '../../src/contracts/kernel.ts';
import { inversePlan, subsume } from '../../src/contracts/inverse.ts';
import { DUAL, endpoint, facts, network, remote } from '../../src/drivers/overlay/fixture.testing.ts';
import { createOverlayDriver } from '../../src/drivers/overlay/index.ts';
import { missing } from '../../src/engine/diff/missing.ts';
import { Actual } from '../../src/engine/diff/actual.ts';
import { createKernel } from '../../src/kernel/kernel.ts';
import { segmentPin } from '../../src/model/instance.ts';
import { until } from '../support/snapshot.ts';
import { INSTANCE } from './lab.ts';
import { at, end, HERE, pings } from './packets.ts';

const driver = createOverlayDriver({ instance: INSTANCE });
const HOST_FACTS = facts(['10.9.0.1/24', 'fd09::1/64']);
const NET = network(DUAL);
const SEGMENT = segmentPin(INSTANCE, NET.id);
const INNER = `${INSTANCE.execRoot}/netns/inner`;
const OTHER = '/run/netns/other';
const FAR = '/run/netns/far';
const OWN = endpoint('10.0.0.2/24', 'fd00::2/64');
const THEIRS = remote(['10.0.0.3', 'fd00::3'], { mac: '02:42:0a:00:00:03', hosts: ['10.9.0.2', 'fd09::2'] });

const segment = driver.planNetwork(NET, HOST_FACTS);
const join = driver.planJoin(NET, { endpoint: OWN, netns: INNER }, HOST_FACTS).changes;
const theirs = driver.planRemote?.(NET, THEIRS, HOST_FACTS) ?? [];
const sandbox: Change = { kind: 'netns', op: 'add', path: INNER };
const ALL: readonly Change[] = [...segment, ...theirs, sandbox, ...join];

let kernel: Kernel;
let outside: AsyncDisposableStack;

async function apply(changes: readonly Change[]): Promise<readonly string[]> {
  const applied = await kernel.apply(changes, { keepGoing: true });
  return applied.map((one) => (one.state === 'failed' ? one.error.message : one.state));
}

const undo = (changes: readonly Change[]): Promise<readonly string[]> => apply(subsume(inversePlan(changes)));

/** Another host with one endpoint, by hand. */
async function byHand(stack: AsyncDisposableStack): Promise<void> {
  for (const name of ['other', 'far']) {
    await at(HERE, 'ip', 'netns', 'add', name);
    stack.defer(async () => void (await at(HERE, 'ip', 'netns', 'del', name)));
  }
  await at(HERE, 'ip', 'link', 'add', 'eth1', 'type', 'veth', 'peer', 'name', 'eth1', 'netns', 'other');
  stack.defer(async () => void (await at(HERE, 'ip', 'link', 'del', 'eth1')));
  for (const [place, n] of [
    [HERE, 1],
    [OTHER, 2],
  ] as const) {
    await at(place, 'ip', 'address', 'add', `10.9.0.${n}/24`, 'dev', 'eth1');
    await at(place, 'ip', 'link', 'set', 'eth1', 'up');
  }
  const there = (...words: readonly string[]): Promise<string> => at(OTHER, ...words);
  await there('ip', 'link', 'add', 'br0', 'up', 'type', 'bridge');
  await there(
    ...'ip link add vxlan0 mtu 1450 up master br0 type vxlan id 4097 dstport 4789 local 10.9.0.2 nolearning proxy'.split(' '),
  );
  await there('bridge', 'fdb', 'add', OWN.mac ?? '', 'dev', 'vxlan0', 'dst', '10.9.0.1');
  for (const address of ['10.0.0.2', 'fd00::2'])
    await there('ip', 'neigh', 'add', address, 'lladdr', OWN.mac ?? '', 'dev', 'vxlan0', 'nud', 'permanent');
  await there(
    ...'ip link add c mtu 1450 up master br0 type veth peer name eth0 mtu 1450 address 02:42:0a:00:00:03 netns far'.split(' '),
  );
  await at(FAR, 'ip', 'address', 'add', '10.0.0.3/24', 'dev', 'eth0');
  await at(FAR, 'ip', 'address', 'add', 'fd00::3/64', 'nodad', 'dev', 'eth0');
  await at(FAR, 'ip', 'link', 'set', 'eth0', 'up');
}

before(async () => {
  outside = new AsyncDisposableStack();
  outside.defer(() => rmSync(INSTANCE.execRoot, { recursive: true, force: true }));
  await at(HERE, 'ip', 'link', 'set', 'lo', 'up');
  kernel = outside.use(await createKernel({ instance: INSTANCE, tableName: 'moor_t', logger: silentLogger }));
  await byHand(outside);
});
after(() => outside.disposeAsync());

/** Frames on the underlay, as tcpdump shows them, while something is done. */
async function onTheWire(body: () => Promise<void>): Promise<string> {
  const child = spawn('tcpdump', ['-n', '-e', '-l', '--immediate-mode', '-i', 'eth1', 'udp', 'port', '4789']);
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  await once(child.stderr, 'data');
  try {
    await body();
    // A last packet that is seen: then so was everything before it.
    const before = text.length;
    while (!text.slice(before).includes('ICMP echo reply')) await pings(INNER, '10.0.0.3');
  } finally {
    await end(child);
  }
  return text;
}

async function withSegment(body: () => Promise<void>): Promise<void> {
  const fine = ['changed', 'already'];
  const made = await apply(ALL);
  try {
    assert.deepEqual(
      made.filter((one) => !fine.includes(one)),
      [],
    );
    await body();
  } finally {
    const undone = await undo(ALL);
    assert.deepEqual(
      undone.filter((one) => !fine.includes(one)),
      [],
    );
    assert.deepEqual(await kernel.pins(`${INSTANCE.execRoot}/netns`), []);
  }
}

test('an endpoint here and one on a host made by hand reach each other', async () => {
  await withSegment(async () => {
    assert.ok(await pings(INNER, '10.0.0.3'));
    assert.ok(await pings(INNER, 'fd00::3'));
    assert.ok(await pings(FAR, '10.0.0.2'));
    assert.ok(await pings(FAR, 'fd00::2'));
    // The largest packet passes whole.
    await at(INNER, 'ping', '-n', '-c', '1', '-w', '10', '-M', 'do', '-s', String(1450 - 28), '10.0.0.3');
    // The gateway address answers on this host.
    assert.ok(await pings(INNER, '10.0.0.1'));
    assert.ok(await pings(INNER, 'fd00::1'));
    // The device is in the network's namespace, its socket in the host's.
    assert.match(await at(HERE, 'ss', '-lun'), /:4789\b/);
    assert.doesNotMatch(await at(SEGMENT, 'ss', '-lun'), /:4789\b/);
    assert.doesNotMatch(await at(HERE, 'ip', '-br', 'link'), /vxlan0|br0/);
    const [vxlan] = JSON.parse(await at(SEGMENT, 'ip', '-j', '-d', 'link', 'show', 'vxlan0')) as readonly {
      readonly mtu: number;
      readonly linkinfo: {
        readonly info_data: Readonly<Record<string, unknown>>;
        readonly info_slave_data: Readonly<Record<string, unknown>>;
      };
    }[];
    assert.equal(vxlan?.mtu, 1450);
    const { info_data: data, info_slave_data: port } = vxlan.linkinfo;
    assert.deepEqual(
      [data['id'], data['local'], data['port'], data['learning'], data['proxy']],
      [4097, '10.9.0.1', 4789, false, true],
    );
    assert.deepEqual([port['learning'], port['flood']], [false, false]);
    // Nothing of the segment has an address of its own, besides the gateway's.
    const addresses = JSON.parse(await at(SEGMENT, 'ip', '-j', 'address')) as readonly {
      readonly addr_info: readonly { readonly local: string }[];
    }[];
    const own = addresses.flatMap(({ addr_info }) => addr_info.map(({ local }) => local));
    assert.deepEqual(own.toSorted(), ['10.0.0.1', '127.0.0.1', '::1', 'fd00::1']);
  });
});

test('twice is once; what is deleted is missed and comes back', async () => {
  await withSegment(async () => {
    const again = await apply(ALL);
    assert.deepEqual(
      // A device that something is asked of is set up again, which changes nothing.
      ALL.filter(({ kind }, i) => again[i] !== 'already' && kind !== 'link-set'),
      [],
    );
    const repairs = async (): Promise<readonly string[]> => {
      const states = await kernel.snapshot([SEGMENT, INNER], ['links', 'addresses', 'routes', 'neighbours', 'fdb']);
      const found = missing(ALL, new Actual(states, [], HOST_FACTS), { unseen: false });
      await apply(found.map(({ change }) => change));
      return found.map(({ change, why }) => `${change.kind}: ${why}`);
    };
    assert.deepEqual(await repairs(), []);
    await at(SEGMENT, 'ip', 'neigh', 'del', '10.0.0.3', 'dev', 'vxlan0');
    await at(SEGMENT, 'bridge', 'fdb', 'del', '02:42:0a:00:00:03', 'dev', 'vxlan0', 'dst', '10.9.0.2', 'self');
    await at(SEGMENT, 'bridge', 'fdb', 'del', '02:42:0a:00:00:03', 'dev', 'vxlan0', 'master');
    await at(SEGMENT, 'bridge', 'link', 'set', 'dev', 'vxlan0', 'flood', 'on');
    assert.deepEqual(await repairs(), [
      'link-set: its static was false',
      'fdb: it was deleted',
      'fdb: it was deleted',
      'neighbour: it was deleted',
    ]);
    assert.ok(await pings(INNER, '10.0.0.3'));
    await at(SEGMENT, 'ip', 'link', 'del', 'vxlan0');
    assert.ok((await repairs()).includes('link: it was deleted'));
    assert.ok(await pings(INNER, '10.0.0.3'));
    assert.deepEqual(await repairs(), []);
  });
});

test('nothing of unknown destination, and no broadcast, is on the wire', async () => {
  await withSegment(async () => {
    const seen = await onTheWire(async () => {
      // Nobody has this address: the question for it is asked, and not answered.
      await assert.rejects(at(INNER, 'ping', '-n', '-c', '1', '-W', '1', '10.0.0.99'));
      await at(INNER, 'ip', 'neigh', 'replace', '10.0.0.98', 'lladdr', '02:42:0a:00:00:62', 'dev', 'eth0');
      await assert.rejects(at(INNER, 'ping', '-n', '-c', '1', '-W', '1', '10.0.0.98'));
      await assert.rejects(at(INNER, 'ping', '-n', '-b', '-c', '1', '-W', '1', '10.0.0.255'));
      await assert.rejects(at(INNER, 'ping', '-n', '-c', '1', '-W', '1', 'fd00::99'));
      assert.ok(await pings(INNER, '10.0.0.3'));
    });
    const inner = seen.split('\n').filter((line) => line.includes('> 02:42') || /^\s*\d\d:.*ethertype/.test(line));
    assert.ok(inner.length > 0, seen);
    assert.doesNotMatch(seen, /ARP|10\.0\.0\.9[89]|10\.0\.0\.255|ff:ff:ff:ff:ff:ff|33:33:|neighbor/);
  });
});

test('who remembers another MAC address is told', async () => {
  await withSegment(async () => {
    for (const [address, ping] of [
      ['10.0.0.3', 'ping'],
      ['fd00::3', 'ping'],
    ] as const) {
      // As from before the address moved. A locked entry would not be replaced for a second (LOCKTIME, arp(7)).
      await at(INNER, 'sysctl', '-qw', 'net.ipv4.neigh.eth0.locktime=0');
      await at(INNER, 'ip', 'neigh', 'replace', address, 'lladdr', '02:42:0a:00:00:77', 'dev', 'eth0', 'nud', 'reachable');
      await assert.rejects(at(INNER, ping, '-n', '-c', '1', '-W', '1', address));
      await at(INNER, 'ip', 'neigh', 'replace', address, 'lladdr', '02:42:0a:00:00:77', 'dev', 'eth0', 'nud', 'reachable');
      const announced = driver.planAnnounce?.(NET, { ...THEIRS, addresses: [address as never] }, HOST_FACTS) ?? [];
      assert.deepEqual(await apply(announced), ['changed']);
      assert.ok(await pings(INNER, address));
      assert.match(await at(INNER, 'ip', 'neigh', 'show', address), /02:42:0a:00:00:03/);
    }
  });
});

test('what others do to entries is told, and what we do is not', async () => {
  await withSegment(async () => {
    const events: string[] = [];
    const unwatch = await kernel.watch((event) => void events.push(JSON.stringify(event)));
    try {
      await kernel.observe([SEGMENT]);
      await apply(inversePlan(theirs));
      await apply(theirs);
      // Of somebody else's: containers' own neighbours come and go, and tell nothing.
      assert.ok(await pings(INNER, '10.0.0.1'));
      assert.deepEqual(events, []);
      for (const by of ['ip neigh del 10.0.0.3 dev vxlan0', 'bridge fdb del 02:42:0a:00:00:03 dev vxlan0 dst 10.9.0.2 self']) {
        events.length = 0;
        await at(SEGMENT, ...by.split(' '));
        assert.ok(await until(() => events.length > 0), by);
        assert.deepEqual(events, [JSON.stringify({ type: 'neighbour', netns: SEGMENT, device: 'vxlan0' })]);
      }
    } finally {
      await unwatch();
    }
  });
});

test('over an underlay that has only IPv6', async () => {
  const host = facts(['fd09::1/64']);
  const site = network({ ...DUAL, options: { [Object.keys(NET.options)[0] ?? '']: '5000' } });
  for (const [place, n] of [
    [HERE, 1],
    [OTHER, 2],
  ] as const)
    await at(place, 'ip', 'address', 'replace', `fd09::${n}/64`, 'nodad', 'dev', 'eth1');
  const words = 'ip link add vxlan6 mtu 1430 up master br0 type vxlan id 5000 dstport 4789 local fd09::2 nolearning proxy';
  await at(OTHER, ...words.split(' '));
  const mac = OWN.mac ?? '';
  const entries = ['10.0.0.2', 'fd00::2'].map((address) => `ip neigh add ${address} lladdr ${mac} dev vxlan6 nud permanent`);
  for (const line of [`bridge fdb add ${mac} dev vxlan6 dst fd09::1`, 'ip link set vxlan0 nomaster', ...entries])
    await at(OTHER, ...line.split(' '));
  const plan: readonly Change[] = [
    ...driver.planNetwork(site, host),
    ...(driver.planRemote?.(site, THEIRS, host) ?? []),
    sandbox,
    ...driver.planJoin(site, { endpoint: OWN, netns: INNER }, host).changes,
  ];
  const made = await apply(plan);
  try {
    assert.deepEqual(
      made.filter((one) => one !== 'changed' && one !== 'already'),
      [],
    );
    assert.ok(await pings(INNER, '10.0.0.3'));
    assert.ok(await pings(INNER, 'fd00::3'));
    await at(INNER, 'ping', '-n', '-c', '1', '-w', '10', '-M', 'do', '-s', String(1430 - 28), '10.0.0.3');
  } finally {
    await undo(plan);
    await at(OTHER, 'ip', 'link', 'del', 'vxlan6');
    await at(OTHER, 'ip', 'link', 'set', 'vxlan0', 'master', 'br0');
  }
});
