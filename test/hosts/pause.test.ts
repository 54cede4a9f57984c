// test-timeout: 300 s
/** A daemon that is stopped (SIGSTOP) for twice as long as its lease holds, and one that is killed half-way: nothing is given twice, nothing stays behind. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { base64, type EtcdServer, NO_ETCD } from '../support/etcd.ts';
import { allReach, createHosts, createOverlay, type Host, reaches, type Sandbox, startStore, STORE_FLAGS, until } from './lab.ts';

/** Of a node in the store, milliseconds (src/cluster/store-cluster.ts). */
const LEASE_MS = 30_000;

/** What is in the store below a folder: the last part of each key. */
async function stored(store: EtcdServer, folder: string): Promise<readonly string[]> {
  const prefix = `/test/${folder}/`;
  const { kvs = [] } = (await store.gateway('kv/range', {
    key: base64(prefix),
    range_end: base64(`${prefix.slice(0, -1)}0`),
    keys_only: true,
  })) as { kvs?: readonly { readonly key: string }[] };
  return kvs.map(({ key }) => Buffer.from(key, 'base64').toString().split('/').at(-1) ?? '').toSorted();
}

interface Made extends Sandbox {
  readonly endpoint: string;
}

/** nsenter(1), its parent, stops itself with it. */
function wake(pid: number): void {
  const parent = Number(/^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  for (const one of [pid, parent]) process.kill(one, 'SIGCONT');
}

interface Asked {
  readonly status: number;
  readonly made: Made | null;
}

async function make({ daemon }: Host, name: string, ipv4?: string): Promise<Asked> {
  const endpoint = ipv4 === undefined ? {} : { endpoint: { ipv4 } };
  const answer = await daemon.request('POST', '/moor/sandboxes', { name, networks: [{ network: 'ov_net1', ...endpoint }] });
  if (answer.status !== 201) return { status: answer.status, made: null };
  const { value } = answer.json() as {
    value: { name: string; netns: { path: string }; endpoints: readonly { id: string; ipv4: string }[] };
  };
  const [first] = value.endpoints;
  const made = { name, netns: value.netns.path, address: first?.ipv4.replace(/\/.*/, '') ?? '', endpoint: first?.id ?? '' };
  return { status: 201, made };
}

test('a long pause, and a kill half-way', { skip: NO_ETCD }, async (t) => {
  await using world = await createHosts(3, () => STORE_FLAGS);
  await using store = await startStore();
  const { hosts } = world;
  const [h1, h2, h3] = hosts;
  assert.ok(h1 && h2 && h3);
  await Promise.all(hosts.map(({ daemon }) => daemon.start()));
  await createOverlay(h1, 'ov_net1', { IPAM: { Config: [{ Subnet: '10.0.0.0/24' }] } });
  for (const { daemon, n } of hosts)
    await until(`h${n} has the network`, async () => (await daemon.request('GET', '/networks/ov_net1')).status === 200);
  const live: { readonly host: Host; readonly made: Made }[] = [];
  const begin = async (host: Host, name: string): Promise<Made> => {
    const { made } = await make(host, name);
    assert.ok(made);
    live.push({ host, made });
    return made;
  };
  const [s1, s2, s3] = [await begin(h1, 's1'), await begin(h2, 's2'), await begin(h3, 's3')];
  await allReach(hosts, [s1, s2, s3]);

  const began = Date.now();
  const passed = (what: string): void => t.diagnostic(`${((Date.now() - began) / 1000).toFixed(1)} s: ${what}`);
  const consistent = async (): Promise<void> => {
    const addresses = live.map(({ made }) => made.address);
    assert.equal(new Set(addresses).size, addresses.length, addresses.join(' '));
    const want = {
      endpoints: live.map(({ made }) => made.endpoint).toSorted(),
      addresses: [...addresses, '10.0.0.1'].toSorted(),
      nodes: ['h1', 'h2', 'h3'],
    };
    let have: object = {};
    await until(
      'the store holds what there is, and nothing else',
      async () => {
        have = {
          endpoints: await stored(store, 'endpoints'),
          addresses: await stored(store, 'addresses'),
          nodes: await stored(store, 'nodes'),
        };
        return JSON.stringify(have) === JSON.stringify(want);
      },
      60_000,
    ).catch((error: unknown) => assert.deepEqual(have, want, String(error)));
  };
  await consistent();

  await t.test('SIGSTOP for twice the lease', async (step) => {
    const pid = h2.daemon.pid();
    process.kill(pid, 'SIGSTOP');
    step.after(() => wake(pid));
    const stopped = Date.now();
    // Asked while it sleeps: done when it wakes.
    const asleep = make(h2, 'late2');
    asleep.catch(() => {});
    await until('its endpoints are gone', async () => !(await stored(store, 'endpoints')).includes(s2.endpoint), 2 * LEASE_MS);
    assert.deepEqual(await stored(store, 'nodes'), ['h1', 'h3']);
    // Its addresses are not: its sandbox is there still.
    assert.equal((await make(h1, 'thief', s2.address)).status, 409);
    for (const host of [h1, h3]) for (let i = 0; i < 3; i++) await begin(host, `more${host.n}${i}`);
    await sleep(Math.max(0, 2 * LEASE_MS - (Date.now() - stopped)));
    wake(pid);
    passed('awake');
    const { status, made } = await asleep;
    passed('answered');
    // Either it got an address of its own, or it was told that it cannot.
    t.diagnostic(`what was asked of it while it slept: ${status}`);
    if (made !== null) live.push({ host: h2, made });
    await consistent();
    passed('consistent');
    for (const { host, made: to } of live) if (host !== h1) await until(`s1 reaches ${to.name}`, () => reaches(h1, s1, to));
  });

  await t.test('killed while it claims, and started again', async () => {
    for (let round = 0; round < 3; round++) {
      const asked = Promise.all([0, 1, 2, 3].map((i): Promise<Asked | null> => make(h3, `half${round}${i}`).catch(() => null)));
      await sleep(10 + 15 * round);
      await h3.daemon.stop('SIGKILL');
      const answers = await asked;
      await h3.daemon.start();
      // What it has now is what counts.
      const list = (await h3.daemon.request('GET', '/moor/sandboxes')).json() as readonly {
        readonly name: string;
        readonly netns: { readonly path: string };
        readonly endpoints: readonly { readonly id: string; readonly ipv4: string; readonly interfaceName: string }[];
      }[];
      for (const answer of answers)
        if (answer?.made)
          assert.ok(
            list.some(({ name }) => name === answer.made?.name),
            'what was acknowledged is there',
          );
      for (const { name, netns, endpoints } of list) {
        const address = endpoints[0]?.ipv4.replace(/\/.*/, '') ?? '';
        if (live.some(({ host, made }) => host === h3 && made.name === name)) continue;
        live.push({ host: h3, made: { name, netns: netns.path, address, endpoint: endpoints[0]?.id ?? '' } });
      }
    }
    await consistent();
  });

  await t.test('all that goes leaves nothing', async () => {
    for (const { host, made } of live)
      assert.equal((await host.daemon.request('DELETE', `/moor/sandboxes/${made.name}`)).status, 200);
    live.length = 0;
    await consistent();
    await until('it can be removed', async () => (await h2.daemon.request('DELETE', '/networks/ov_net1')).status === 204);
    for (const folder of ['endpoints', 'addresses', 'pools', 'vnis', 'networks', 'names'])
      assert.deepEqual(await stored(store, folder), [], folder);
  });
});
