// test-timeout: 240 s
/** One network with as many endpoints as a bridge has ports, and a thousand networks on one host. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Network } from '../../src/model/network.ts';
import type { Sandbox } from '../../src/model/sandbox.ts';
import { run, startDaemon, type TestDaemon } from '../support/daemon.ts';
import { createRandom, seedOfRun } from '../support/random.ts';
import { say } from '../support/say.ts';
import { claims, elements, faults, hostLinks, mountedPins } from '../support/truth.ts';

/** Ports of a bridge (BR_MAX_PORTS less port 0, net/bridge/br_private.h). */
const PORTS = 1023;
const NETWORKS = 1000;
/** Requests under way at a time. */
const AT_ONCE = 8;

/** The machine's own namespace, where the limits of the neighbour table show (tools/testing/isolate.sh). */
const OUTER = '/run/outer-netns';
const LIMITS = [
  ...['4', '6'].flatMap((family) => [1, 2, 3].map((n) => `net.ipv${family}.neigh.default.gc_thresh${n}`)),
  'net.core.netdev_max_backlog',
];

const seed = seedOfRun();
const random = createRandom(seed);
say(`MOOR_TEST_SEED=${seed}`);

/** Runs a command in the machine's own namespace. */
const outer = (...command: readonly string[]): ReturnType<typeof run> =>
  existsSync(OUTER) ? run('nsenter', [`--net=${OUTER}`, ...command]) : Promise.resolve({ code: 1, stdout: '', stderr: '' });

let daemon: TestDaemon;
/** What the limits were, by key; empty where they do not show. */
const limits = new Map<string, string>();
const stack = new AsyncDisposableStack();
before(async () => {
  for (const key of LIMITS) {
    const { code, stdout } = await outer('sysctl', '-n', key);
    if (code !== 0) continue;
    limits.set(key, stdout.trim());
    stack.defer(async () => void (await outer('sysctl', '-qw', `${key}=${stdout.trim()}`)));
  }
  daemon = stack.use(await startDaemon(limits.size > 0 ? { initNetns: OUTER } : {}));
});
after(() => stack[Symbol.asyncDispose]());

/** Times that the table was full since the machine started: `table_fulls` of /proc/net/stat/arp_cache, hexadecimal, a line for each CPU. */
async function overflows(): Promise<number> {
  const [head = '', ...lines] = (await outer('cat', '/proc/net/stat/arp_cache')).stdout.trim().split('\n');
  const column = head.trim().split(/\s+/).indexOf('table_fulls');
  assert.ok(column >= 0, head);
  return lines.reduce((sum, line) => sum + Number.parseInt(line.trim().split(/\s+/)[column] ?? '', 16), 0);
}

/** Calls `work` for 0 to `count` - 1, some at a time. */
async function each(count: number, work: (i: number) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
}

async function timed(what: string, work: () => Promise<void>): Promise<void> {
  const started = performance.now();
  await work();
  say(`${what}: ${Math.round(performance.now() - started)} ms`);
}

async function ask(method: string, path: string, body?: unknown): Promise<unknown> {
  const answer = await daemon.request(method, path, body);
  assert.ok(answer.status < 300, `${method} ${path}: ${answer.status} ${answer.text}`);
  return answer.text === '' ? null : answer.json();
}

const pinOf = ({ netns }: Sandbox): string => (netns.type === 'host' ? assert.fail() : netns.path);
const addressOf = ({ endpoints }: Sandbox): string => endpoints[0]?.ipv4?.split('/')[0] ?? assert.fail();

async function pings(from: Sandbox, to: string): Promise<void> {
  const { code, stdout } = await daemon.inside('nsenter', `--net=${pinOf(from)}`, 'ping', '-n', '-c', '1', '-w', '20', to);
  assert.equal(code, 0, `${from.name} to ${to}: ${stdout}`);
}

/** From every sandbox at once, one packet to an address. @returns those that got no answer within 30 s */
async function allPing(sandboxes: readonly Sandbox[], to: string): Promise<readonly string[]> {
  const script = `to=$1; shift
    for pin in "$@"; do
      (nsenter --net="$pin" ping -n -q -c 1 -w 30 "$to" >/dev/null 2>&1 || echo "$pin") &
    done
    wait`;
  const { stdout } = await daemon.inside('sh', '-c', script, 'sh', to, ...sandboxes.map(pinOf));
  return stdout.split('\n').filter(Boolean);
}

test(`${PORTS} endpoints on one network, all at work at once; the next one is refused`, async (t) => {
  await ask('POST', '/moor/networks', { name: 'full', pools: [{ subnet: '10.80.0.0/20' }] });
  await timed(`create ${PORTS} sandboxes`, () =>
    each(PORTS, async (i) => void (await ask('POST', '/moor/sandboxes', { name: `s${i}`, networks: [{ network: 'full' }] }))),
  );
  const refused = await daemon.request('POST', '/moor/sandboxes', { name: 'one-too-many', networks: [{ network: 'full' }] });
  assert.equal(refused.status, 503, refused.text);
  assert.match((refused.json() as { readonly message: string }).message, /full.*1023/);
  const connect = await daemon.request('POST', '/moor/sandboxes', { name: 'beside', networks: [{ network: 'none' }] });
  assert.equal(connect.status, 201);
  await ask('DELETE', '/moor/sandboxes/beside');

  const { sandboxes } = await claims(daemon);
  assert.equal(sandboxes.length, PORTS);
  assert.equal(new Set(sandboxes.map(addressOf)).size, PORTS, 'no address twice');
  const sample = Array.from({ length: 20 }, () => random.pick(sandboxes));
  assert.deepEqual(await faults(daemon, { look: ({ id }) => sample.some((one) => one.id === id) }), []);

  if (limits.size === 0) t.diagnostic('the limits of the neighbour table do not show here: only a sample talks');
  else {
    for (const key of LIMITS) {
      const { stdout } = await outer('sysctl', '-n', key);
      assert.ok(Number(stdout) > 4 * PORTS, `${key} is ${stdout.trim()}: raised for so many endpoints`);
    }
    const before = await overflows();
    await timed(`${PORTS} pings at once`, async () => assert.deepEqual(await allPing(sandboxes, '10.80.0.1'), []));
    const entries = (await daemon.inside('ip', 'neigh', 'show', 'to', '10.80.0.0/20')).stdout.trim().split('\n');
    assert.equal(entries.filter((line) => line.includes('lladdr')).length, PORTS, 'the host knows all of them');
    assert.equal((await overflows()) - before, 0, 'the neighbour table was full');
  }
  for (const one of sample) await pings(one, addressOf(random.pick(sandboxes)));

  await timed(`remove ${PORTS} sandboxes`, () => each(PORTS, async (i) => void (await ask('DELETE', `/moor/sandboxes/s${i}`))));
  await ask('DELETE', '/moor/networks/full');
  await assertEmpty();
});

/** Nothing but the default network. */
async function assertEmpty(): Promise<void> {
  assert.deepEqual(await faults(daemon), []);
  assert.deepEqual((await hostLinks(daemon)).map(({ ifname }) => ifname).toSorted(), ['lo', 'moor0']);
  assert.deepEqual(mountedPins(daemon), []);
}

test(`${NETWORKS} networks on one host; their rules come back when somebody deletes them`, async () => {
  await timed(`create ${NETWORKS} networks`, () =>
    each(NETWORKS, async (i) => void (await ask('POST', '/moor/networks', { name: `n${i}` }))),
  );
  let listed: readonly { readonly network: Network }[] = [];
  await timed('list them', async () => {
    listed = (await ask('GET', '/moor/networks')) as readonly { readonly network: Network }[];
  });
  assert.equal(listed.length, NETWORKS + 3);
  const subnets = listed.flatMap(({ network }) => network.pools.map(({ subnet }) => subnet));
  assert.equal(new Set(subnets).size, NETWORKS + 1);

  const used = Array.from({ length: 10 }, () => `n${random.below(NETWORKS)}`).filter((name, at, all) => all.indexOf(name) === at);
  for (const name of used) {
    await ask('POST', '/moor/sandboxes', { name: `${name}-a`, networks: [{ network: name }] });
    await ask('POST', '/moor/sandboxes', { name: `${name}-b`, networks: [{ network: name }] });
  }
  const { sandboxes } = await claims(daemon);
  const find = (name: string): Sandbox => sandboxes.find((one) => one.name === name) ?? assert.fail(name);
  for (const name of used) await pings(find(`${name}-a`), addressOf(find(`${name}-b`)));
  assert.deepEqual(await faults(daemon), []);

  await rulesComeBack();
  for (const name of used) await pings(find(`${name}-b`), addressOf(find(`${name}-a`)));

  await timed('restart', async () => {
    assert.equal(await daemon.stop(), 0);
    await daemon.start();
  });
  assert.deepEqual(await faults(daemon), []);
  for (const { name } of sandboxes) await ask('DELETE', `/moor/sandboxes/${name}`);
  await timed(`remove ${NETWORKS / 2} networks one by one`, () =>
    each(NETWORKS / 2, async (i) => void (await ask('DELETE', `/moor/networks/n${i}`))),
  );
  await timed('prune the rest', async () => {
    const { value } = (await ask('POST', '/moor/networks/prune')) as { readonly value: { readonly networks: readonly string[] } };
    assert.equal(value.networks.length, NETWORKS / 2);
  });
  await assertEmpty();
});

/** Deletes the table under the daemon. `nft monitor`, line by line, tells how long the rules were away. */
async function rulesComeBack(): Promise<void> {
  const before = await elements(daemon);
  assert.ok(before !== null && before.length > NETWORKS * 5);
  const logged = daemon.log().length;
  const monitor = daemon.spawnInside('stdbuf', '-oL', 'nft', 'monitor');
  let [gone, back] = [0, 0];
  // It says nothing when it is ready: a table of the test's own does.
  const ready = Promise.withResolvers<void>();
  createInterface({ input: monitor.stdout ?? assert.fail() }).on('line', (line) => {
    if (line === 'delete table inet moor') gone = performance.now();
    else if (line.endsWith(' table inet moor')) back = performance.now();
    else if (line.includes('probe')) ready.resolve();
  });
  const poke = setInterval(() => void daemon.inside('nft', 'add table ip probe; delete table ip probe'), 50);
  await ready.promise;
  clearInterval(poke);
  await daemon.inside('nft', 'delete', 'table', 'inet', 'moor');
  const deadline = performance.now() + 20_000;
  // One transaction brings table, rules and elements: when the table is there, all is.
  let now: readonly string[] | null = null;
  while (now?.length !== before.length && performance.now() < deadline) {
    await sleep(50);
    now = await elements(daemon);
  }
  assert.deepEqual(now, before);
  monitor.kill('SIGKILL');
  say(`rules of ${NETWORKS} networks were away for ${Math.round(back - gone)} ms`);
  const lines = daemon.log().slice(logged).trim().split('\n');
  assert.equal(lines.length, 1, lines.join('\n'));
  assert.match(lines[0] ?? '', /WARN  restored table inet moor and \d+ elements in the host: it was deleted/);
}
