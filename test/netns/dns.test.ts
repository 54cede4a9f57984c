/** The resolver as programs in a sandbox see it: real clients, real packets, and what else a container may have on port 53. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import { silentLogger } from '../../src/base/clock.ts';
import { newId } from '../../src/base/ids.ts';
import { parseIp } from '../../src/base/ip.ts';
import { queryOf } from '../../src/dns/messages.testing.ts';
import { planClient, TABLE } from '../../src/dns/plan.ts';
import { createKernel } from '../../src/kernel/kernel.ts';
import { render } from '../../src/nft/render.ts';
import { Asker, clientOf, dig, inContainer, NET, record, resolver, sandbox, short, status, Stream } from './dns-lab.ts';
import { at, end, HERE, type Place } from './packets.ts';

const WEB = record('Web web-alias 1a2b3c', '10.9.0.2', 'fd00::2');

test('names by UDP and TCP, as dig and the C library ask for them', async () => {
  await using stack = new AsyncDisposableStack();
  const place = await sandbox(stack, 'dns-a');
  const names = await resolver(stack);
  names.put([WEB, record('db', '10.9.0.3')]);
  await names.serve([clientOf(place, { links: { store: 'db' } })]);
  for (const how of ['+notcp', '+tcp']) {
    assert.deepEqual(await short(place, how, 'WEB'), ['10.9.0.2']);
    assert.deepEqual(await short(place, how, 'web-alias.My_Net', 'AAAA'), ['fd00::2']);
    assert.deepEqual(await short(place, how, 'store'), ['10.9.0.3']);
    assert.deepEqual(await short(place, how, '-x', '10.9.0.2'), ['Web.my_net.']);
    assert.deepEqual(await short(place, how, '-x', 'fd00::2'), ['Web.my_net.']);
    assert.deepEqual(await short(place, how, 'db', 'AAAA'), []);
    assert.equal(await status(place, how, 'db', 'HTTPS'), 'NOERROR');
    // No upstream: nothing but own names.
    assert.equal(await status(place, how, 'nobody'), 'SERVFAIL');
    assert.equal(await status(place, how, '-x', '10.9.0.99'), 'SERVFAIL');
    assert.equal(await status(place, how, '-c', 'CH', 'version.bind', 'TXT'), 'REFUSED');
    assert.equal(await status(place, how, '+opcode=STATUS', 'web'), 'NOTIMP');
  }
  const text = await dig(place, '+noedns', '+qr', 'wEb');
  assert.match(text, /^wEb\.\s+600\s+IN\s+A\s+10\.9\.0\.2$/m);
  assert.match(text, /flags: qr rd ra;/);
  assert.match(text, /SERVER: 127\.0\.0\.11#53\(127\.0\.0\.11\) \(UDP\)/);
  assert.match(await dig(place, '+edns=0', '+noednsnegotiation', 'web'), /EDNS: version: 0/);
  assert.match(await dig(place, '+edns=5', '+noednsnegotiation', 'web'), /status: BADVERS/);

  assert.match(await inContainer(place, 'getent', 'ahostsv4', 'web'), /^10\.9\.0\.2 +STREAM web/m);
  assert.match(await inContainer(place, 'getent', 'ahostsv6', 'web'), /^fd00::2 +STREAM web/m);
  assert.match(await inContainer(place, 'getent', 'hosts', '10.9.0.2'), /^10\.9\.0\.2 +Web\.my_net/m);
  await assert.rejects(inContainer(place, 'getent', 'hosts', 'nobody'));
  const { clients, records, queries, dropped } = await names.status();
  assert.deepEqual([clients, records, dropped, queries > 25], [1, 2, 0, true]);
});

test('the plan is what nft lists, and putting it again changes nothing', async () => {
  await using stack = new AsyncDisposableStack();
  await at(HERE, 'ip', 'netns', 'add', 'dns-plan');
  stack.defer(async () => void (await at(HERE, 'ip', 'netns', 'del', 'dns-plan')));
  const place = '/run/netns/dns-plan';
  const instance = { id: 'test', dataRoot: '/run/moor-test/data', execRoot: '/run/moor-test' };
  const kernel = stack.use(await createKernel({ instance, tableName: 'moortest', logger: silentLogger }));
  const plan = planClient(place);
  assert.deepEqual(await kernel.apply(plan), [{ state: 'changed' }]);
  const listed = (): Promise<string> => at(place, 'nft', 'list', 'ruleset');
  assert.equal(await listed(), render(TABLE));
  assert.deepEqual(await kernel.apply(plan), [{ state: 'already' }]);
  assert.equal(await listed(), render(TABLE));
  // Nothing of ours makes this namespace track connections, which would cost all of its traffic.
  assert.equal(await at(place, 'conntrack', '-C'), '0\n');
});

/** A firewall of the container's own, that trusts nothing it has not seen begin. */
const FIREWALL = `table inet own {
  chain in { type filter hook input priority filter; policy drop; ct state invalid drop; ct state established,related accept; iif lo ct state new accept; }
  chain out { type filter hook output priority filter; policy accept; ct state invalid drop; }
}`;

test('connection tracking of the container’s own finds nothing invalid', async () => {
  await using stack = new AsyncDisposableStack();
  const place = await sandbox(stack, 'dns-ct');
  const names = await resolver(stack);
  names.put([WEB]);
  await names.serve([clientOf(place)]);
  await at(place, 'nft', FIREWALL);
  for (const how of ['+notcp', '+tcp']) assert.deepEqual(await short(place, how, 'web'), ['10.9.0.2']);
  const tracked = await at(place, 'conntrack', '-L', '--orig-dst', '127.0.0.11');
  assert.match(tracked, /^udp .*dport=14 .*sport=14 /m);
  assert.match(tracked, /^tcp .*dport=14 .*sport=14 .*\[ASSURED\]/m);
  assert.doesNotMatch(tracked, /port=53 |UNREPLIED/);
  // And a rule that would drop our answers if they were.
  await at(place, 'nft', 'add rule inet own out ct state new ip saddr 127.0.0.11 drop');
  for (const how of ['+notcp', '+tcp']) assert.deepEqual(await short(place, how, 'web'), ['10.9.0.2']);
});

/** dnsmasq in a sandbox, on port 53 of every address unless options say otherwise. */
async function dnsmasq(stack: AsyncDisposableStack, place: Place, ...options: readonly string[]): Promise<void> {
  const args = ['-k', '--no-resolv', '--no-hosts', '--conf-file=/dev/null', '--pid-file=', '--user=root', ...options];
  const child = spawn('nsenter', [`--net=${place}`, 'dnsmasq', ...args], { stdio: ['ignore', 'ignore', 'inherit'] });
  stack.defer(() => end(child));
  const listens = async (how: string): Promise<boolean> => (await at(place, 'ss', how, '-p')).includes(`pid=${child.pid},`);
  while (!(await listens('-lnu')) || !(await listens('-lnt'))) await sleep(10);
}

test('a server of the host’s on an IPv6 loopback address', async () => {
  await using stack = new AsyncDisposableStack();
  const place = await sandbox(stack, 'dns-v6');
  const names = await resolver(stack);
  await dnsmasq(
    stack,
    '/proc/self/ns/net',
    '--port=5399',
    '--listen-address=::1',
    '--bind-interfaces',
    '--address=/v6.test/192.0.2.6',
  );
  await names.serve([clientOf(place, { upstreams: [{ address: parseIp('::1'), port: 5399, from: 'host' }] })]);
  for (const how of ['+notcp', '+tcp']) assert.deepEqual(await short(place, how, 'v6.test'), ['192.0.2.6']);
});

test('a DNS server of the container’s own has port 53 of every address, and both answer', async () => {
  await using stack = new AsyncDisposableStack();
  const place = await sandbox(stack, 'dns-own');
  await at(place, 'ip', 'address', 'add', '10.9.0.7/32', 'dev', 'lo');
  const names = await resolver(stack);
  names.put([WEB]);
  // Which it may also have had before.
  await dnsmasq(stack, place, '--address=/own.test/192.0.2.7');
  await names.serve([clientOf(place)]);
  for (const how of ['+notcp', '+tcp']) {
    assert.deepEqual(await short(place, how, 'web'), ['10.9.0.2']);
    for (const server of ['127.0.0.1', '10.9.0.7']) {
      const answer = await at(place, 'dig', `@${server}`, '+short', '+tries=1', '+time=10', how, 'own.test');
      assert.equal(answer, '192.0.2.7\n', server);
    }
    assert.equal(await status(place, how, 'own.test'), 'SERVFAIL');
  }
});

test('the container’s own server can be its upstream, on port 53 of its loopback', async () => {
  await using stack = new AsyncDisposableStack();
  const place = await sandbox(stack, 'dns-self');
  const names = await resolver(stack);
  names.put([WEB]);
  await dnsmasq(stack, place, '--address=/own.test/192.0.2.7', '--address=/own.test/2001:db8::7');
  const [address] = WEB.addresses;
  assert.ok(address);
  const loopback = '127.0.0.1' as typeof address;
  const itself = '127.0.0.11' as typeof address;
  await names.serve([
    clientOf(place, {
      upstreams: [itself, loopback].map((server) => ({ address: server, port: 53, from: 'sandbox' })),
    }),
  ]);
  assert.deepEqual(await short(place, 'own.test'), ['192.0.2.7']);
  assert.deepEqual(await short(place, '+tcp', 'own.test', 'AAAA'), ['2001:db8::7']);
  assert.deepEqual(await short(place, 'web'), ['10.9.0.2']);
  assert.equal(await status(place, 'else.test'), 'SERVFAIL', 'dnsmasq refuses what it does not know');
});

/** Sockets of ours in a sandbox, with their inodes: those that stay keep them. */
async function sockets(place: Place): Promise<readonly string[]> {
  const lines = (await at(place, 'ss', '-Hlntue', 'sport = 14')).trim();
  return lines === ''
    ? []
    : lines
        .split('\n')
        .map((line) => /^(\S+).* ino:(\d+)/.exec(line)?.slice(1).join(' ') ?? line)
        .toSorted();
}

test('sockets that are right stay; those of a namespace that was replaced are opened anew', async () => {
  await using stack = new AsyncDisposableStack();
  const place = await sandbox(stack, 'dns-stay');
  const names = await resolver(stack);
  names.put([WEB]);
  const client = clientOf(place);
  await names.serve([client]);
  const first = await sockets(place);
  assert.deepEqual(
    first.map((line) => line.split(' ')[0]),
    ['tcp', 'udp'],
  );
  using stream = new Stream(place);
  stream.query(queryOf('web', 'A'));
  assert.deepEqual((await stream.next())?.answers, ['10.9.0.2']);
  await names.serve([{ ...client, networks: [{ id: newId(), name: 'other' }, NET], links: { w: 'web' } }]);
  assert.deepEqual(await sockets(place), first);
  stream.query(queryOf('w', 'A'));
  assert.deepEqual((await stream.next())?.answers, ['10.9.0.2']);

  await at(HERE, 'ip', 'netns', 'del', 'dns-stay');
  await at(HERE, 'ip', 'netns', 'add', 'dns-stay');
  await at(place, 'ip', 'link', 'set', 'lo', 'up');
  await at(place, 'nft', render(TABLE));
  await names.serve([client]);
  const second = await sockets(place);
  assert.deepEqual([second.length, second.some((line) => first.includes(line))], [2, false]);
  assert.deepEqual(await short(place, 'web'), ['10.9.0.2']);
  assert.equal(await stream.next(), null, 'the connection of before is closed');

  await names.stop([client.sandbox, newId()]);
  assert.deepEqual(await sockets(place), []);
  assert.equal((await names.status()).clients, 0);
});

test('sockets are opened while the loopback is still down', async () => {
  await using stack = new AsyncDisposableStack();
  const place = await sandbox(stack, 'dns-down');
  const names = await resolver(stack);
  names.put([WEB]);
  await at(place, 'ip', 'link', 'set', 'lo', 'down');
  await names.serve([clientOf(place)]);
  await at(place, 'ip', 'link', 'set', 'lo', 'up');
  assert.deepEqual(await short(place, 'web'), ['10.9.0.2']);
});

test('one sandbox that cannot be served is named, and keeps no other from it', async () => {
  await using stack = new AsyncDisposableStack();
  const [good, taken] = [await sandbox(stack, 'dns-good'), await sandbox(stack, 'dns-taken')];
  const names = await resolver(stack);
  names.put([WEB]);
  const script = `require('node:net').createServer().listen(14, '0.0.0.0', () => console.log('up'))`;
  const thief = spawn('nsenter', [`--net=${taken}`, process.execPath, '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  stack.defer(() => end(thief));
  await new Promise((resolve) => thief.stdout.once('data', resolve));
  await assert.rejects(names.serve([clientOf('/run/netns/gone'), clientOf(good)]), { kind: 'not-found' });
  await assert.rejects(names.serve([clientOf(taken)]), { kind: 'conflict', message: /tcp 127\.0\.0\.11:14.*EADDRINUSE/ });
  assert.deepEqual(await sockets(taken), await sockets(taken).then((lines) => lines.filter((line) => line.startsWith('tcp'))));
  assert.deepEqual(await short(good, 'web'), ['10.9.0.2']);
  assert.equal((await names.status()).clients, 1);
});

test('names change while they are asked for', async () => {
  await using stack = new AsyncDisposableStack();
  const [one, two] = [await sandbox(stack, 'dns-one'), await sandbox(stack, 'dns-two')];
  const names = await resolver(stack);
  const other = { id: newId(), name: 'other' };
  await names.serve([clientOf(one), clientOf(two, { networks: [other] })]);
  assert.equal(await status(one, 'web'), 'SERVFAIL');
  names.put([WEB]);
  // A later call has its effect later: this one is answered after it.
  await names.status();
  assert.deepEqual(await short(one, 'web'), ['10.9.0.2']);
  assert.equal(await status(two, 'web'), 'SERVFAIL', 'another network');
  names.put([{ ...WEB, network: other.id, addresses: WEB.addresses.slice(1) }]);
  await names.status();
  assert.equal(await status(one, 'web'), 'SERVFAIL');
  assert.deepEqual(await short(two, 'web', 'AAAA'), ['fd00::2']);
  names.remove([WEB.endpoint]);
  await names.status();
  assert.equal(await status(two, 'web'), 'SERVFAIL');
  assert.equal((await names.status()).records, 0);
});

test('TCP: pipelined queries in pieces, a client that says it has ended, and one that talks nonsense', async () => {
  await using stack = new AsyncDisposableStack();
  const place = await sandbox(stack, 'dns-tcp');
  const names = await resolver(stack);
  names.put([WEB, ...Array.from({ length: 600 }, (_, i) => record('many', `10.8.${i >> 8}.${i & 255}`))]);
  await names.serve([clientOf(place)]);
  using stream = new Stream(place);
  const framed = (id: number, name: string): Buffer => {
    const message = queryOf(name, 'A', { id });
    return Buffer.concat([Buffer.of(0, message.length), message]);
  };
  const bytes = Buffer.concat([framed(1, 'web'), framed(2, 'many'), framed(3, 'nobody')]);
  for (const [from, to] of [
    [0, 1],
    [1, 20],
    [20, 45],
    [45, bytes.length],
  ]) {
    stream.write(bytes.subarray(from, to));
    await names.status();
  }
  const got = [await stream.next(), await stream.next(), await stream.next()];
  assert.deepEqual(
    got.map((answer) => [answer?.id, answer?.code, answer?.answers.length, answer?.cut]),
    [
      [1, 0, 1, false],
      [2, 0, 600, false],
      [3, 2, 0, false],
    ],
  );
  // Python's client of a half-closed connection still gets its answer.
  const script = `import socket, sys
s = socket.create_connection(('127.0.0.11', 53))
s.sendall(bytes.fromhex(sys.argv[1])); s.shutdown(socket.SHUT_WR)
data = b''
while chunk := s.recv(65536): data += chunk
print(len(data))`;
  assert.equal(await at(place, 'python3', '-c', script, framed(4, 'web').toString('hex')), `${2 + 21 + 16}\n`);
  for (const nonsense of [Buffer.of(0, 3, 1, 2, 3), Buffer.of(0xff, 0xff), Buffer.from('GET / HTTP/1.1\r\n\r\n')]) {
    using other = new Stream(place);
    other.write(nonsense);
    assert.equal(await other.next(), null);
  }
  stream.query(queryOf('web', 'A', { id: 5 }));
  assert.equal((await stream.next())?.id, 5);
});

test('TCP: a client that asks for much and reads it late gets it all, and is not read from meanwhile', async () => {
  await using stack = new AsyncDisposableStack();
  const place = await sandbox(stack, 'dns-late');
  const names = await resolver(stack);
  names.put(Array.from({ length: 2000 }, (_, i) => record('many', `10.8.${i >> 8}.${i & 255}`)));
  await names.serve([clientOf(place)]);
  const script = `import socket, sys, threading, time
s = socket.create_connection(('127.0.0.11', 53))
query = bytes.fromhex(sys.argv[1]); count = 1000
def ask():
  s.sendall(query * count); s.shutdown(socket.SHUT_WR)
threading.Thread(target=ask).start()
time.sleep(0.5)
length = 0
while chunk := s.recv(1 << 20): length += len(chunk)
print(length)`;
  const message = queryOf('many', 'A');
  const framed = Buffer.concat([Buffer.of(0, message.length), message]).toString('hex');
  assert.equal(await at(place, 'python3', '-c', script, framed), `${1000 * (2 + 22 + 2000 * 16)}\n`);
});

test('connections of one client have a bound, and that of another is not concerned', async () => {
  await using stack = new AsyncDisposableStack();
  const [greedy, modest] = [await sandbox(stack, 'dns-greedy'), await sandbox(stack, 'dns-modest')];
  const names = await resolver(stack);
  names.put([WEB]);
  await names.serve([clientOf(greedy), clientOf(modest)]);
  using streams = new DisposableStack();
  let served = 0;
  for (let i = 0; i < 70; i++) {
    const stream = streams.use(new Stream(greedy));
    stream.query(queryOf('web', 'A'));
    if ((await stream.next()) !== null) served++;
  }
  assert.equal(served, 64);
  using other = new Stream(modest);
  other.query(queryOf('web', 'A'));
  assert.deepEqual((await other.next())?.answers, ['10.9.0.2']);
});

test('UDP: a few hundred at once are all answered, each to who asked', async () => {
  await using stack = new AsyncDisposableStack();
  const place = await sandbox(stack, 'dns-burst');
  const names = await resolver(stack);
  names.put(Array.from({ length: 500 }, (_, i) => record(`w${i}`, `10.8.${i >> 8}.${i & 255}`)));
  await names.serve([clientOf(place)]);
  using askers = new DisposableStack();
  const all = Array.from({ length: 500 }, () => askers.use(new Asker(place)));
  const got = await Promise.all(all.map((asker, i) => asker.ask(queryOf(`w${i}`, 'A', { id: i }))));
  assert.deepEqual(
    got.map(({ id, answers }) => [id, ...answers]),
    all.map((_, i) => [i, `10.8.${i >> 8}.${i & 255}`]),
  );
});

test('the namespace of a sandbox ends when its service is stopped', async () => {
  await using stack = new AsyncDisposableStack();
  const place = await sandbox(stack, 'dns-end');
  const names = await resolver(stack);
  const client = clientOf(place);
  await names.serve([client]);
  // One end inside: it goes with the namespace.
  await at(HERE, 'ip', 'link', 'add', 'dns-veth', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', 'dns-end');
  await at(HERE, 'ip', 'netns', 'del', 'dns-end');
  await at(HERE, 'ip', 'netns', 'add', 'dns-end');
  assert.ok(existsSync('/sys/class/net/dns-veth'), 'our sockets hold it');
  assert.ok(statSync(place).isFile());
  await names.stop([client.sandbox]);
  while (existsSync('/sys/class/net/dns-veth')) await sleep(10);
});
