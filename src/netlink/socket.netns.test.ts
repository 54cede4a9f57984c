import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import type { IfAddress } from '../base/ip.ts';
import { netnsIdentity, openNetns, unpinNetns, withNetns } from '../sys/netns.ts';
import { sourceOf, Writer } from '../wire/bytes.ts';
import type { Codec } from '../wire/codec.ts';
import { address as addressMessage } from '../wire/netlink/address.ts';
import { link as linkMessage } from '../wire/netlink/link.ts';
import { route as routeMessage } from '../wire/netlink/route.ts';
import { showMessage } from '../wire/netlink/show.ts';
import { addAddress, dumpAddresses } from './address.ts';
import { Lab } from './lab.testing.ts';
import { addLink, deleteLink, dumpLinks, setLink } from './link.ts';
import { createNamespace, openNamespace } from './namespace.ts';
import { getNsid, setNsid } from './nsid.ts';
import type { Query } from './request.ts';
import { dumpRoutes } from './route.ts';
import { NetlinkSocket } from './socket.ts';

const address = (i: number): IfAddress => `10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}/32` as IfAddress;

test('each of thousands of requests gets its own answer', () => {
  using lab = new Lab();
  const { route } = lab.namespace('host');
  // More than the answers that fit in the receive buffer.
  const count = 30_000;
  const errors = route.execute(
    Array.from({ length: count }, (_, i) => (i % 7 === 3 ? addAddress(1, address(i)) : deleteLink(`none${i}`))),
  );
  assert.equal(errors.length, count);
  for (const [i, error] of errors.entries()) {
    if (i % 7 === 3) assert.equal(error, null);
    else assert.equal(error?.kernel?.operation, `ip link del none${i}`);
  }
  const ours = route.collect(dumpAddresses()).filter(({ address: text }) => text.startsWith('10.'));
  assert.equal(ours.length, errors.filter((error) => error === null).length);
  assert.deepEqual(route.execute([]), []);
});

test('the name of a link by its index, in the namespace of the socket', () => {
  using lab = new Lab();
  const host = lab.namespace('host');
  const other = lab.namespace('other');
  host.apply(addLink({ name: 'fifteen-letters', index: 77, kind: { type: 'bridge' } }));
  assert.deepEqual(
    [1, 77, 78, 0].map((index) => host.route.linkName(index)),
    ['lo', 'fifteen-letters', '', ''],
  );
  assert.equal(other.route.linkName(77), '');
});

test('a request larger than the buffer, and one that does not fit with others, are sent all the same', () => {
  using lab = new Lab();
  const { route } = lab.namespace('host');
  // Padding in an attribute that the kernel does not look at (IFLA_PAD, 42) makes a request as large as an attribute can be.
  const out = new Writer();
  const value = { header: { index: 1 }, attributes: { unknown: [{ type: 42, bytes: new Uint8Array(60_000) }] } };
  out.append(setLink(1, {}).bytes.slice(0, 16));
  linkMessage.write(out, value);
  const bytes = out.finish();
  new DataView(bytes.buffer).setUint32(0, bytes.length, true);
  const errors = route.execute([
    ...Array<{ bytes: Uint8Array; what: string }>(40).fill({ bytes, what: 'large' }),
    setLink(1, { up: false }),
  ]);
  assert.deepEqual(errors, Array(41).fill(null));
});

test('a failing decoder does not spoil the next dump', () => {
  using lab = new Lab();
  const host = lab.namespace('host');
  host.apply(...Array.from({ length: 500 }, (_, i) => addAddress(1, address(i))));
  const broken: Query<number> = {
    ...dumpAddresses(),
    decode() {
      throw new TypeError('broken');
    },
  };
  assert.throws(() => host.route.collect(broken), TypeError);
  assert.equal(host.route.collect(dumpAddresses()).length, 502);
});

test('a dump that changes under the reader is asked for again', () => {
  using lab = new Lab();
  const host = lab.namespace('host');
  // More than one datagram, so that there is a moment between two parts.
  host.apply(...Array.from({ length: 2000 }, (_, i) => addAddress(1, address(i))));
  using second = NetlinkSocket.open('route', host.netns);
  let changes = 0;
  let seen = 0;
  const plain = dumpAddresses();
  const items = host.route.collect({
    ...plain,
    decode(message) {
      seen++;
      // Adding an address in the middle of the first dump makes the kernel mark what follows with NLM_F_DUMP_INTR.
      if (seen === 10 && changes++ === 0) second.run(addAddress(1, '10.255.0.1/32' as IfAddress));
      return plain.decode(message);
    },
  });
  assert.ok(seen > 2003, `read ${seen} messages only`);
  assert.equal(items.length, 2003);
  assert.ok(items.some(({ address: text }) => text === '10.255.0.1/32'));
});

test('messages of the kernel survive decoding and encoding, with what we do not know', () => {
  using lab = new Lab();
  const host = lab.namespace('host');
  const inner = lab.namespace('inner');
  host.apply(
    addLink({ name: 'br0', index: 10, up: true, kind: { type: 'bridge' } }),
    addLink({ name: 'a', index: 11, master: 10, up: true, kind: { type: 'veth', peer: { name: 'b', netns: inner.netns } } }),
    addLink({ name: 'vx', kind: { type: 'vxlan', vni: 9, port: 4789, learning: true } }),
    addLink({ name: 'mv', kind: { type: 'macvlan', parent: 10, mode: 'vepa' } }),
    addAddress(10, '10.0.0.1/24' as IfAddress),
  );
  host.run('ip route add 10.9.0.0/16 nexthop via 10.0.0.3 dev br0 nexthop via 10.0.0.4 dev br0');
  let messages = 0;
  const roundTrip = <T>(query: Query<unknown>, codec: Codec<T>): void => {
    host.route.collect({
      ...query,
      decode(message) {
        const bytes = message.read({ read: (source, at, end) => source.bytes.slice(at - 16, end) });
        const value = codec.read(sourceOf(bytes), 16, bytes.length);
        const out = new Writer();
        codec.write(out, value);
        const again = out.finish();
        assert.deepEqual(codec.read(sourceOf(again), 0, again.length), value);
        // Nothing is lost: the same number of bytes, in another order.
        assert.equal(again.length, bytes.length - 16);
        assert.match(showMessage(bytes), /^RTM_NEW[A-Z]+ #\d+ 0x[0-9a-f]+ [a-z]+\{.*\} \{.+\}$/);
        messages++;
        return undefined;
      },
    });
  };
  roundTrip(dumpLinks(), linkMessage);
  roundTrip(dumpAddresses(), addressMessage);
  roundTrip(dumpRoutes(4), routeMessage);
  roundTrip(dumpRoutes(6), routeMessage);
  assert.ok(messages > 15, `only ${messages} messages`);
});

test('requests can be printed', () => {
  assert.equal(showMessage(deleteLink('eth0').bytes), 'RTM_DELLINK #0 0x5 ifinfomsg{} {IFLA_IFNAME="eth0"}');
  assert.equal(
    showMessage(addLink({ name: 'br0', up: true, kind: { type: 'bridge', forwardDelay: 0 } }).bytes),
    'RTM_NEWLINK #0 0x605 ifinfomsg{flags=1 change=1} {IFLA_IFNAME="br0" IFLA_LINKINFO={IFLA_INFO_KIND="bridge" IFLA_INFO_DATA={IFLA_BR_FORWARD_DELAY=0}}}',
  );
});

test('a namespace is made with its loopback up, found again, and removed', () => {
  using lab = new Lab();
  const path = join(lab.directory, 'deep/er/ns');
  {
    using made = createNamespace(path);
    using again = openNamespace(path);
    assert.equal(netnsIdentity(made.netns), netnsIdentity(again.netns));
    assert.deepEqual(
      again.route.collect(dumpLinks()).map(({ name, up }) => ({ name, up })),
      [{ name: 'lo', up: true }],
    );
    assert.throws(() => createNamespace(path), { kind: 'conflict' });
  }
  assert.equal(unpinNetns(path), true);
  assert.equal(existsSync(path), false);
  assert.throws(() => openNamespace(path), { kind: 'not-found' });
});

test('nothing stays open or pinned when a namespace cannot be made', () => {
  using lab = new Lab();
  const fds = (): number => readdirSync('/proc/self/fd').length;
  lab.namespace('first');
  const before = fds();
  const file = join(lab.directory, 'file');
  writeFileSync(file, '');
  assert.throws(() => createNamespace(join(file, 'x')), { kind: 'invalid' });
  assert.throws(() => openNamespace(file), { kind: 'not-found' });
  assert.throws(() => openNamespace('/proc/self/ns/uts'), { kind: 'not-found' });
  assert.equal(fds(), before);
});

test('a namespace has an id in another one, once', () => {
  using lab = new Lab();
  const host = lab.namespace('host');
  const inner = lab.namespace('inner');
  assert.equal(host.route.find(getNsid(inner.netns)), null);
  host.apply(setNsid(inner.netns, 42));
  assert.equal(host.route.find(getNsid(inner.netns)), 42);
  assert.equal(host.show('ip -j netns list-id').find((item) => item['nsid'] === 42)?.['nsid'], 42);
  assert.equal(host.route.execute([setNsid(inner.netns, 43)])[0]?.kernel?.code, 'EEXIST');
  const other = lab.namespace('other');
  host.apply(setNsid(other.netns, -1));
  assert.equal(typeof host.route.find(getNsid(other.netns)), 'number');
});

test('on a worker thread, while the main thread stays where it is', async () => {
  using lab = new Lab();
  const host = lab.namespace('host');
  const before = netnsIdentity('/proc/thread-self/ns/net');
  const path = join(lab.directory, 'made');
  const url = (name: string): string => JSON.stringify(new URL(name, import.meta.url).href);
  const worker = new Worker(
    `const { parentPort } = require('node:worker_threads');
     Promise.all([import(${url('./namespace.ts')}), import(${url('./link.ts')})]).then(([{ createNamespace, openNamespace }, { addLink }]) => {
       const made = createNamespace(${JSON.stringify(path)});
       const host = openNamespace(${JSON.stringify(host.path)});
       const errors = host.route.execute([addLink({ name: 'v0', kind: { type: 'veth', peer: { name: 'v1', netns: made.netns } } })]);
       parentPort.postMessage(errors.map((error) => error && error.message));
       made[Symbol.dispose]();
       host[Symbol.dispose]();
     });`,
    { eval: true },
  );
  try {
    const answer = await new Promise((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    assert.deepEqual(answer, [null]);
    assert.equal(netnsIdentity('/proc/thread-self/ns/net'), before);
    using made = openNetns(path);
    const devices = withNetns(made, () => readFileSync('/proc/thread-self/net/dev', 'utf8'));
    assert.match(devices, /v1:/);
  } finally {
    await worker.terminate();
    unpinNetns(path);
  }
});
