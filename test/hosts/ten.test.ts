// test-timeout: 400 s
/**
 * Three hosts and ten, on each backend: all pairs of sandboxes reach each other within 2 s of the last host's joining; a host that dies is gone from the
 * others' routes, neighbours and forwarding entries within its time to live plus 1 s, and one that leaves within 1 s. These are judged by
 * the machine's own time (clock.ts).
 */
import assert from 'node:assert/strict';
import { createInterface } from 'node:readline';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { base64, type EtcdServer, NO_ETCD } from '../support/etcd.ts';
import { type MachineClock, type Moment, moment, since, spent, startClock } from './clock.ts';
import {
  allReach,
  createHosts,
  createNetwork,
  type Host,
  type Sandbox,
  sandboxOn,
  startStore,
  STORE_FLAGS,
  until,
} from './lab.ts';
import { type Backend, ENTRIES, watchLeaving } from './leaving.ts';

const NODE_TTL_S = 6;
/** The requirements, milliseconds. */
const JOINED_MS = 2_000;
const DEAD_MS = (NODE_TTL_S + 1) * 1000;
const LEFT_MS = 1_000;

const has = async ({ daemon }: Host): Promise<boolean> => (await daemon.request('GET', '/networks/pods')).status === 200;

/** The moment from which the others can know of it: its entry is in the store. */
async function joining(clock: MachineClock, store: EtcdServer, { n }: Host): Promise<Moment> {
  for (;;) {
    const { count } = await store.gateway('kv/range', { key: base64(`/test/nodes/h${n}`), count_only: true });
    if (count === '1') return moment(clock);
    await sleep(10);
  }
}

/** The first answer to a packet of one sandbox to another. */
async function firstAnswer(clock: MachineClock, [{ daemon }, from]: readonly [Host, Sandbox], to: Sandbox): Promise<Moment> {
  const ping = ['ping', '-n', '-i', '0.05', to.address] as const;
  const child = daemon.spawnInside('setpriv', '--pdeathsig', 'KILL', 'nsenter', `--net=${from.netns}`, ...ping);
  try {
    for await (const line of createInterface({ input: child.stdout ?? assert.fail(), signal: AbortSignal.timeout(30_000) }))
      if (/icmp_seq=\d+ ttl=/.test(line)) return moment(clock);
    assert.fail(`${from.name} does not reach ${to.name}`);
  } finally {
    child.kill('SIGKILL');
  }
}

const later = (a: Moment, b: Moment): Moment => (a.ms > b.ms ? a : b);

interface Stage {
  readonly hosts: readonly Host[];
  readonly sandboxes: readonly Sandbox[];
  readonly backend: Backend;
}

/** What `act` does to the last host is judged by what all others' kernels tell. @returns the slowest */
async function leaves({ hosts, sandboxes, backend }: Stage, act: (last: Host) => Promise<unknown>): Promise<Moment> {
  const [last, sandbox] = [hosts.at(-1), sandboxes.at(-1)];
  assert.ok(last && sandbox);
  await using clock = startClock();
  await using stack = new AsyncDisposableStack();
  const watched = await Promise.all(
    hosts.slice(0, -1).map(async (host) => stack.use(await watchLeaving(clock, host, { host: last, sandbox }))),
  );
  const began = moment(clock);
  await act(last);
  const went = await Promise.all(watched.map(({ gone }) => gone(ENTRIES[backend].length)));
  for (const { kinds } of went) assert.deepEqual(kinds, ENTRIES[backend]);
  return since(began, went.map(({ last: at }) => at).reduce(later));
}

/** The last host comes, with a sandbox. @returns its sandbox, and how long it took until the slowest pair */
async function joins(
  store: EtcdServer,
  hosts: readonly Host[],
  sandboxes: readonly Sandbox[],
): Promise<{ readonly own: Sandbox; readonly took: Moment }> {
  const last = hosts.at(-1);
  assert.ok(last);
  await using clock = startClock();
  const [began] = await Promise.all([joining(clock, store, last), last.daemon.start()]);
  await until('the network is there', () => has(last));
  const own = await sandboxOn(last, 'pods');
  const answers = await Promise.all(
    sandboxes.flatMap((other, i) => {
      const host = hosts[i];
      assert.ok(host);
      return [firstAnswer(clock, [last, own], other), firstAnswer(clock, [host, other], own)];
    }),
  );
  return { own, took: since(began, answers.reduce(later)) };
}

async function onBackend(
  t: TestContext,
  { store, hosts, backend }: { readonly store: EtcdServer; readonly hosts: readonly Host[]; readonly backend: Backend },
): Promise<void> {
  const told = (what: string): void => t.diagnostic(`${hosts.length} hosts, ${backend}: ${what}`);
  const [h1, last] = [hosts[0], hosts.at(-1)];
  assert.ok(h1 && last);
  await createNetwork(h1, 'pods', backend);
  const sandboxes: Sandbox[] = [];
  for (const host of hosts.slice(0, -1)) {
    await until('the network is there', () => has(host));
    sandboxes.push(await sandboxOn(host, 'pods'));
  }
  const { own, took } = await joins(store, hosts, sandboxes);
  sandboxes.push(own);
  await allReach(hosts, sandboxes);
  told(`the last one reaches and is reached by all ${spent(took)} after it joined`);

  const died = await leaves({ hosts, sandboxes, backend }, ({ daemon }) => daemon.stop('SIGKILL'));
  told(`gone everywhere ${spent(died)} after it died, its time to live is ${NODE_TTL_S} s`);
  await last.daemon.start();
  await allReach(hosts, sandboxes);

  // It leaves for good, and comes again as a new one.
  const left = await leaves({ hosts, sandboxes, backend }, async ({ daemon }) => {
    assert.equal((await daemon.request('POST', '/moor/reset')).status, 200);
  });
  told(`gone everywhere ${spent(left)} after it was told to leave`);
  await last.daemon.stop();
  for (const [i, { daemon }] of hosts.slice(0, -1).entries())
    await daemon.request('DELETE', `/moor/sandboxes/${sandboxes[i]?.name}`);
  await until('it can be removed', async () => (await h1.daemon.request('DELETE', '/networks/pods')).status === 204);

  assert.ok(took.ms <= JOINED_MS, `reached ${spent(took)} after it joined`);
  assert.ok(died.ms <= DEAD_MS, `gone ${spent(died)} after it died`);
  assert.ok(left.ms <= LEFT_MS, `gone ${spent(left)} after it was told to leave`);
}

for (const count of [3, 10]) {
  test(`${count} hosts`, { skip: NO_ETCD }, async (t) => {
    await using world = await createHosts(count, () => [...STORE_FLAGS, '--node-ttl', `${NODE_TTL_S}s`]);
    await using store = await startStore();
    const { hosts } = world;
    // One after the other: the machine is small.
    for (const { daemon } of hosts.slice(0, -1)) await daemon.start();
    for (const backend of ['vxlan', 'host-gw', 'udp'] as const)
      await t.test(backend, (step) => onBackend(step, { store, hosts, backend }));
  });
}
