// test-timeout: 300 s
/**
 * `kill -9` in the middle of 200 random operations, 50 times. Each time the next start brings everything in line: what was
 * acknowledged is there as it was acknowledged, what was under way is there wholly or not at all, nothing else is there, and two
 * sandboxes that nobody touches have not lost one packet to each other and to the world behind the host's address.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { ping } from '../support/pinger.ts';
import { createRandom, seedOfRun } from '../support/random.ts';
import { say } from '../support/say.ts';
import { claims, faults } from '../support/truth.ts';
import { Client } from './chaos-client.ts';

const ROUNDS = Number(process.env['MOOR_TEST_ROUNDS'] ?? 50);
const OPERATIONS = 200;
const CLIENTS = 4;
/** Longest time between the chosen request and the kill, in milliseconds: about what an operation takes. */
const KILL_WITHIN_MS = 12;

const UPLINK = 'up0';
const HOST_IP = '203.0.113.1';
const WORLD_IP = '203.0.113.2';

/** A machine outside, behind the daemon's default route. */
async function makeWorld(daemon: TestDaemon): Promise<AsyncDisposable> {
  const script = `ip netns add chaos-world
    ip link add ${UPLINK} type veth peer name eth0 netns chaos-world
    ip addr add ${HOST_IP}/24 dev ${UPLINK} && ip link set ${UPLINK} up && ip route add default via ${WORLD_IP}
    ip -n chaos-world addr add ${WORLD_IP}/24 dev eth0 && ip -n chaos-world link set eth0 up`;
  const { code, stderr } = await daemon.inside('sh', '-e', '-c', script);
  assert.equal(code, 0, stderr);
  return { [Symbol.asyncDispose]: async () => void (await daemon.inside('ip', 'netns', 'del', 'chaos-world')) };
}

async function make(daemon: TestDaemon, path: string, body: unknown): Promise<void> {
  const { status, text } = await daemon.request('POST', path, body);
  assert.equal(status, 201, text);
}

test('killed fifty times in the middle of 200 operations: every start converges, nothing acknowledged is lost', async (t) => {
  const seed = seedOfRun();
  t.diagnostic(`MOOR_TEST_SEED=${seed}`);
  say(`MOOR_TEST_SEED=${seed}`);
  const random = createRandom(seed);
  await using daemon = await startDaemon({ start: false });
  await using _world = await makeWorld(daemon);
  await daemon.start();
  await make(daemon, '/moor/networks', { name: 'shared', ipv6: true });
  await make(daemon, '/moor/networks', { name: 'inner', internal: true });
  await make(daemon, '/moor/sandboxes', { name: 'ping-a', networks: [{ network: 'shared' }] });
  await make(daemon, '/moor/sandboxes', { name: 'ping-b', networks: [{ network: 'shared' }] });
  const start = await claims(daemon);
  const [pinA, addressB] = [pinOf(start, 'ping-a'), addressOf(start, 'ping-b')];
  const beside = await ping(daemon, pinA, addressB);
  const outside = await ping(daemon, pinA, WORLD_IP);

  const clients = Array.from({ length: CLIENTS }, (_, i) => new Client(daemon, `c${i}`, createRandom(seed + i + 1)));
  for (const client of clients) client.learn(start);
  for (let round = 0; round < ROUNDS; round++) {
    const killAt = random.below(OPERATIONS);
    const delay = random.below(KILL_WITHIN_MS);
    let sent = 0;
    const killed = Promise.withResolvers<void>();
    const run = async (client: Client): Promise<void> => {
      while (sent < OPERATIONS) {
        if (sent++ === killAt)
          void sleep(delay)
            .then(() => daemon.stop('SIGKILL'))
            .then(() => killed.resolve(), killed.reject);
        if (!(await client.step())) return;
      }
    };
    await Promise.all([...clients.map(run), killed.promise]);

    const logged = daemon.log().length;
    await daemon.start();
    const what = `seed ${seed}, round ${round}, killed ${delay} ms after request ${killAt}`;
    const now = await claims(daemon);
    for (const client of clients) client.verify(now);
    assert.deepEqual(await faults(daemon, { foreign: [UPLINK] }), [], what);
    const { text } = await daemon.request('POST', '/moor/reconcile');
    assert.deepEqual(JSON.parse(text), { repaired: [] }, `${what}: not converged by the start`);
    const log = daemon.log().slice(logged);
    assert.doesNotMatch(log, / (ERROR|FATAL) /, what);
  }
  say(`packets answered: ${await beside.finish()} to the neighbour, ${await outside.finish()} to the world`);
  say(JSON.stringify(clients.map(({ counts }) => counts)));

  for (const client of clients) await client.clean();
  assert.deepEqual(await faults(daemon, { foreign: [UPLINK] }), []);
  assert.equal(await daemon.stop('SIGTERM'), 0);
});

function pinOf({ sandboxes }: Awaited<ReturnType<typeof claims>>, name: string): string {
  const netns = sandboxes.find((sandbox) => sandbox.name === name)?.netns;
  assert.ok(netns && netns.type !== 'host');
  return netns.path;
}

function addressOf({ sandboxes }: Awaited<ReturnType<typeof claims>>, name: string): string {
  const endpoint = sandboxes.find((sandbox) => sandbox.name === name)?.endpoints[0];
  return endpoint?.ipv4?.split('/')[0] ?? assert.fail();
}
