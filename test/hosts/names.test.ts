// test-timeout: 300 s
/** Names across hosts on a routed network: everybody finds everybody, as on one host, and nobody finds who is gone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { NO_ETCD } from '../support/etcd.ts';
import { createHosts, createNetwork, type Host, startStore, STORE_FLAGS, until } from './lab.ts';

interface Named {
  readonly id: string;
  readonly netns: string;
  readonly address: string;
}

/** A sandbox that is a namespace and nothing else. */
async function named({ daemon }: Host, name: string, aliases: readonly string[] = []): Promise<Named> {
  const answer = await daemon.request('POST', '/moor/sandboxes', {
    name,
    networks: [{ network: 'pods', endpoint: { aliases } }],
  });
  assert.equal(answer.status, 201, answer.text);
  const { value } = answer.json() as {
    value: { id: string; netns: { path: string }; endpoints: readonly { ipv4: string }[] };
  };
  return { id: value.id, netns: value.netns.path, address: value.endpoints[0]?.ipv4.replace(/\/.*/, '') ?? '' };
}

/** Addresses, or for `-x` names, in the order of the answer. */
async function dig({ daemon }: Host, from: Named, ...query: readonly string[]): Promise<readonly string[]> {
  const words = ['dig', '@127.0.0.11', '+short', '+tries=1', '+time=2', ...query];
  const { stdout } = await daemon.inside('nsenter', `--net=${from.netns}`, ...words);
  return stdout.split('\n').filter((line) => line !== '' && !line.startsWith(';'));
}

async function finds([host, from]: readonly [Host, Named], query: readonly string[], answer: readonly string[]): Promise<void> {
  let last: readonly string[] = [];
  await until(`h${host.n} answers ${query.join(' ')} with ${answer.join(' ') || 'nothing'}, not ${last.join(' ')}`, async () => {
    last = (await dig(host, from, ...query)).toSorted();
    return JSON.stringify(last) === JSON.stringify(answer.toSorted());
  });
}

test('names across hosts', { skip: NO_ETCD }, async (t) => {
  await using world = await createHosts(3, () => STORE_FLAGS);
  await using store = await startStore();
  const { hosts } = world;
  const [h1, h2, h3] = hosts;
  assert.ok(h1 && h2 && h3);
  await Promise.all(hosts.map(({ daemon }) => daemon.start()));
  await createNetwork(h1, 'pods', 'host-gw');
  for (const { daemon, n } of hosts)
    await until(`h${n} has the network`, async () => (await daemon.request('GET', '/networks/pods')).status === 200);
  const begin = (host: Host): Promise<Named> => named(host, `s${host.n}`, ['all', `alias${host.n}`]);
  const [a, b] = [await begin(h1), await begin(h2)];

  await t.test('who is on it shows from any host, also from one that has nobody on it', async () => {
    const elsewhere = async ({ daemon }: Host): Promise<readonly string[]> => {
      const answer = await daemon.request('GET', '/networks/pods?verbose=1');
      assert.equal(answer.status, 200, answer.text);
      const { Containers, Peers } = answer.json() as {
        Containers: Readonly<Record<string, { readonly Name: string; readonly IPv4Address: string }>>;
        Peers?: readonly { readonly Name: string; readonly IP: string }[];
      };
      const others = Object.entries(Containers).filter(([id]) => id.startsWith('ep-'));
      return [
        ...others.map(([, { Name, IPv4Address }]) => `${Name} ${IPv4Address}`),
        ...(Peers ?? []).map(({ Name, IP }) => `${Name} ${IP}`),
      ].toSorted();
    };
    const [one, two] = [`s1 ${a.address}/16`, `s2 ${b.address}/16`];
    const at = (n: number): string => `h${n} 10.9.0.${n}`;
    for (const [host, want] of [
      [h1, [two, at(2), at(3)]],
      [h2, [one, at(1), at(3)]],
      [h3, [one, two, at(1), at(2)]],
    ] as const) {
      await until(`h${host.n} shows all`, async () => (await elsewhere(host)).join() === want.map(String).toSorted().join());
      const short = await host.daemon.request('GET', '/networks/pods');
      assert.doesNotMatch(short.text, /"ep-/);
    }
    const { stdout, code } = await h3.daemon.moor('network', 'inspect', '--verbose', 'pods');
    assert.equal(code, 0);
    assert.match(stdout, /"ep-[0-9a-f]{64}"/);
  });

  const c = await begin(h3);

  await t.test('names, aliases, short ids, addresses, everywhere; the same name is all of its holders', async () => {
    for (const [host, from] of [
      [h1, a],
      [h2, b],
      [h3, c],
    ] as const) {
      for (const [i, to] of [a, b, c].entries()) {
        await finds([host, from], [`s${i + 1}`], [to.address]);
        await finds([host, from], [`alias${i + 1}`], [to.address]);
        await finds([host, from], [`s${i + 1}.pods`], [to.address]);
        await finds([host, from], [to.id.slice(0, 12)], [to.address]);
        await finds([host, from], ['-x', to.address], [`s${i + 1}.pods.`]);
      }
      await finds([host, from], ['all'], [a.address, b.address, c.address]);
    }
    const firsts = new Set<string | undefined>();
    for (let i = 0; i < 60; i++) firsts.add((await dig(h1, a, 'all'))[0]);
    assert.deepEqual(firsts, new Set([a.address, b.address, c.address]), 'each is first at times');
    // By name, over the network itself.
    const ping = await h1.daemon.inside('nsenter', `--net=${a.netns}`, 'ping', '-n', '-c', '1', '-W', '2', b.address);
    assert.equal(ping.code, 0, ping.stdout);
  });

  await t.test('one that comes, and goes', async () => {
    const late = await named(h2, 'late');
    await finds([h1, a], ['late'], [late.address]);
    assert.equal((await h2.daemon.request('DELETE', `/moor/sandboxes/${late.id}`)).status, 200);
    await finds([h1, a], ['late'], []);
  });

  await t.test('a daemon that is started again, or killed: its names stay, and it knows all', async () => {
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      await h2.daemon.stop(signal);
      await sleep(300);
      assert.deepEqual(await dig(h1, a, 's2'), [b.address]);
      await h2.daemon.start();
      assert.deepEqual(await dig(h2, b, 's1'), [a.address]);
      assert.deepEqual(await dig(h2, b, 's3'), [c.address]);
      assert.deepEqual(await dig(h1, a, 's2'), [b.address]);
    }
  });

  await t.test('while the store is away names stay, also those of others after a start', async () => {
    await store.freeze();
    await sleep(6_000);
    assert.deepEqual(await dig(h1, a, 's2'), [b.address]);
    await h1.daemon.stop('SIGKILL');
    await h1.daemon.start();
    assert.deepEqual(await dig(h1, a, 's2'), [b.address]);
    assert.deepEqual(await dig(h1, a, 's3'), [c.address]);
    const meanwhile = await named(h3, 'meanwhile');
    store.thaw();
    await finds([h1, a], ['meanwhile'], [meanwhile.address]);
    assert.deepEqual(await dig(h2, b, 's1'), [a.address]);
  });

  await t.test('the names of a host that dies go with its lease', async () => {
    await h3.daemon.stop('SIGKILL');
    const died = Date.now();
    assert.deepEqual(await dig(h1, a, 's3'), [c.address]);
    await until(
      'its names are gone',
      async () => (await dig(h1, a, 's3')).length === 0 && (await dig(h2, b, 'all')).length === 2,
    );
    const seconds = (Date.now() - died) / 1_000;
    t.diagnostic(`gone ${seconds.toFixed(0)} s after its death, of a time to live of 30 s`);
    assert.ok(seconds > 10, `${seconds} s`);
    await finds([h1, a], ['all'], [a.address, b.address]);
  });
});
