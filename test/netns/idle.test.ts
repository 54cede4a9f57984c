// test-timeout: 180 s
/**
 * Connections that say nothing for longer than the kernel remembers them, as between a program and its database over night. The time-out
 * (net.netfilter.nf_conntrack_tcp_timeout_established, five days) is a second here. What docs/guides/names-and-ports.md says about
 * idle connections is this.
 */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { GATEWAY_MODE_OPTION } from '../../src/model/gateway-mode.ts';
import type { Network } from '../../src/model/network.ts';
import { until } from '../support/snapshot.ts';
import { type IdleAgent, idleAgent } from './idle-agent.ts';
import { HOST4, type Sandbox, WORLD4 } from './lab.ts';
import { at, HERE, type Place } from './packets.ts';
import { binding, bridgeNf, createPortsLab, type PortsLab } from './ports-lab.ts';

/** The database listens at 7000 in its sandbox; the host publishes it at 8000, and at 7000 too. */
const SERVER = 7000;
const OTHER = 8000;

/** Seconds; the kernel's default is 432000. */
const timeout = (seconds: number): Promise<string> =>
  at(HERE, 'sysctl', '-qw', `net.netfilter.nf_conntrack_tcp_timeout_established=${seconds}`);
const loose = (value: 0 | 1): Promise<string> => at(HERE, 'sysctl', '-qw', `net.netfilter.nf_conntrack_tcp_loose=${value}`);

/** What the kernel knows of a connection, by the client's port. */
const remembered = async (port: number): Promise<readonly string[]> =>
  (await at(HERE, 'conntrack', '-L', '-p', 'tcp')).split('\n').filter((line) => line.includes(`sport=${port} `));

interface World extends PortsLab {
  readonly database: Sandbox;
  /** On the same network. */
  readonly near: Sandbox;
  /** On another one. */
  readonly far: Sandbox;
  readonly server: IdleAgent;
  readonly from: (place: Place) => IdleAgent;
}

async function world(stack: AsyncDisposableStack, part: Partial<Network> = {}, nf: '0' | '1' = '0'): Promise<World> {
  const lab = stack.use(await createPortsLab({ prepare: bridgeNf(nf) }));
  // These belong to the namespace, which ends with this file; the lab's own tests come after.
  stack.defer(async () => void (await Promise.all([timeout(432_000), loose(1)])));
  const [one, two] = [await lab.network('10.1.0.0/24', part), await lab.network('10.2.0.0/24')];
  const [database, near, far] = [await lab.sandbox(one, 2), await lab.sandbox(one, 3), await lab.sandbox(two, 2)];
  await lab.publish(one, database, binding('0.0.0.0', `${OTHER}:${SERVER}/tcp`), binding('0.0.0.0', `${SERVER}:${SERVER}/tcp`));
  const known = new Map<Place, IdleAgent>();
  const from = (place: Place): IdleAgent => {
    const agent = known.get(place) ?? stack.use(idleAgent(place));
    known.set(place, agent);
    return agent;
  };
  const server = from(database.place);
  await server.listen(SERVER);
  return { ...lab, database, near, far, server, from };
}

interface Pair {
  readonly name: string;
  /** The client's port. */
  readonly from: number;
  readonly client: IdleAgent;
  readonly server: IdleAgent;
}

/** Address and port that the client asks. */
type Asked = readonly [address: string, port: number];

let pairs = 0;

/** A connection on which something has been said both ways, and that the kernel then has forgotten, if it ever knew it. */
async function idle(client: IdleAgent, server: IdleAgent, [address, port]: Asked): Promise<Pair> {
  const name = `c${++pairs}`;
  await timeout(432_000);
  const from = await client.connect({ name, address, port });
  await server.hears(name, name);
  // The time counts from the last packet.
  await timeout(1);
  server.send(name, 'ready');
  await client.hears(name, 'ready');
  client.send(name, 'thanks');
  await server.hears(name, 'thanks');
  assert.ok(await until(async () => (await remembered(from)).length === 0, 20_000), 'the kernel forgets');
  await timeout(432_000);
  return { name, from, client, server };
}

/** Both sides hear each other. */
async function goesOn({ name, client, server }: Pair, first: 'client' | 'server'): Promise<void> {
  const [a, b] = first === 'client' ? [client, server] : [server, client];
  a.send(name, 'still there?');
  await b.hears(name, 'still there?');
  b.send(name, 'yes');
  await a.hears(name, 'yes');
}

/** A database says something on its own: the next row, a notification, or that it shuts down. */
async function isReset({ name, client, server }: Pair, first: 'client' | 'server'): Promise<void> {
  const [a] = first === 'client' ? [client] : [server];
  a.send(name, 'still there?');
  assert.equal(await a.ends(name), 'ECONNRESET');
}

suite('on one network', () => {
  for (const nf of ['0', '1'] as const) {
    test(`bridge-nf-call-iptables=${nf}: nothing is lost, whatever the kernel remembers`, async () => {
      await using stack = new AsyncDisposableStack();
      const { near, database, server, from } = await world(stack, {}, nf);
      const client = from(near.place);
      const port = await client.connect({ name: 'first', address: database.ip, port: SERVER });
      await server.hears('first', 'first');
      assert.equal(
        (await remembered(port)).length,
        Number(nf),
        'frames are tracked only when they are shown to the rules for IP',
      );
      for (const strict of [1, 0] as const) {
        await loose(strict);
        for (const first of ['client', 'server'] as const) await goesOn(await idle(client, server, [database.ip, SERVER]), first);
      }
    });
  }
});

suite('through a published port', () => {
  test('from another network: the client takes it up again; what the server says before that waits for it', async () => {
    await using stack = new AsyncDisposableStack();
    const { far, server, from } = await world(stack);
    const client = from(far.place);
    await goesOn(await idle(client, server, [HOST4, OTHER]), 'client');
    const pair = await idle(client, server, [HOST4, OTHER]);
    server.send(pair.name, 'row');
    assert.ok(await client.deaf(pair.name, 'row'), 'a new connection from one network into another, as it looks');
    assert.deepEqual(await remembered(pair.from), []);
    client.send(pair.name, 'next?');
    await server.hears(pair.name, 'next?');
    await client.hears(pair.name, 'row');
    await goesOn(pair, 'server');
  });

  test('from outside: the client takes it up again; the server does when the numbers are the same on both sides', async () => {
    await using stack = new AsyncDisposableStack();
    const { world: outside, server, from } = await world(stack);
    const client = from(outside);
    await goesOn(await idle(client, server, [HOST4, OTHER]), 'client');
    await goesOn(await idle(client, server, [HOST4, SERVER]), 'client');
    await goesOn(await idle(client, server, [HOST4, SERVER]), 'server');
    // Its port becomes 7000 of the host: nobody there has a connection with that.
    await isReset(await idle(client, server, [HOST4, OTHER]), 'server');
  });

  test('from localhost: the client takes it up again; the server is reset', async () => {
    await using stack = new AsyncDisposableStack();
    const { server, from } = await world(stack);
    const client = from(HERE);
    await goesOn(await idle(client, server, ['127.0.0.1', OTHER]), 'client');
    await isReset(await idle(client, server, ['127.0.0.1', OTHER]), 'server');
  });

  test('nf_conntrack_tcp_loose=0: nothing is taken up again', async () => {
    await using stack = new AsyncDisposableStack();
    const { world: outside, far, server, from } = await world(stack);
    await loose(0);
    await isReset(await idle(from(outside), server, [HOST4, SERVER]), 'client');
    await isReset(await idle(from(far.place), server, [HOST4, OTHER]), 'client');
    const pair = await idle(from(outside), server, [HOST4, SERVER]);
    server.send(pair.name, 'row');
    assert.ok(await pair.client.deaf(pair.name, 'row'));
  });

  test('a routed network has no translation that could be forgotten', async () => {
    await using stack = new AsyncDisposableStack();
    const { world: outside, database, server, from } = await world(stack, { options: { [GATEWAY_MODE_OPTION[4]]: 'routed' } });
    await at(outside, 'ip', 'route', 'add', '10.1.0.0/24', 'via', HOST4);
    for (const value of [1, 0] as const) {
      await loose(value);
      for (const first of ['client', 'server'] as const) {
        await goesOn(await idle(from(outside), server, [database.ip, SERVER]), first);
      }
    }
  });
});

test('out to the world: the sandbox takes it up again; the world is reset', async () => {
  await using stack = new AsyncDisposableStack();
  const { near, world: outside, from } = await world(stack);
  const [client, server] = [from(near.place), from(outside)];
  await server.listen(SERVER);
  await goesOn(await idle(client, server, [WORLD4, SERVER]), 'client');
  await isReset(await idle(client, server, [WORLD4, SERVER]), 'server');
});

test('keepalive more often than the time-out keeps all of them', async () => {
  await using stack = new AsyncDisposableStack();
  const { world: outside, far, server, from } = await world(stack);
  await timeout(5);
  const kept: Pair[] = [];
  const lost: number[] = [];
  const clients = [
    { client: from(outside), address: HOST4 },
    { client: from(far.place), address: HOST4 },
    { client: from(HERE), address: '127.0.0.1' },
  ];
  for (const { client, address } of clients) {
    const name = `k${kept.length}`;
    kept.push({ name, from: await client.connect({ name, address, port: OTHER, keepAlive: 1000 }), client, server });
    lost.push(await client.connect({ name: `l${lost.length}`, address, port: OTHER }));
    await server.hears(name, name);
  }
  // Those without are the clock.
  for (const port of lost) assert.ok(await until(async () => (await remembered(port)).length === 0, 30_000));
  for (const pair of kept) {
    assert.equal((await remembered(pair.from)).length, 1, pair.name);
    await goesOn(pair, 'server');
  }
});
