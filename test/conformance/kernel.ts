/** The contract of `Kernel` as tests: the same suite for the one in memory and the real one. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseIp, parsePrefix } from '../../src/base/ip.ts';
import { type Change, HOST } from '../../src/contracts/change.ts';
import { describe } from '../../src/contracts/describe.ts';
import { inverse, inversePlan, subsume } from '../../src/contracts/inverse.ts';
import type { Applied, ApplyOptions, KernelEvent } from '../../src/contracts/kernel.ts';
import type { KernelHarness, KernelUnderTest } from './kernel-harness.ts';
import * as plan from './kernel-plans.ts';

/** A foreign change must be noticed within this time (milliseconds); the engine wants 100 ms, a busy machine gets more. */
const NOTICE_MS = 5000;

export function kernelConformance(harness: KernelHarness): void {
  suite(`Kernel contract: ${harness.name}`, () => {
    let under: KernelUnderTest;
    let before: unknown;

    beforeEach(async () => {
      under = await harness.open();
      before = world();
    });
    afterEach(async () => {
      await under[Symbol.asyncDispose]();
    });

    const path = (name: string): string => `${under.directory}/${name}`;
    const world = (): unknown => ({ host: under.truth.netns(HOST), table: under.truth.table(plan.REF) });
    const apply = (changes: readonly Change[], options?: ApplyOptions): Promise<readonly Applied[]> =>
      under.kernel.apply(changes, options);
    const states = (results: readonly Applied[]): readonly string[] =>
      results.map((result) => (result.state === 'failed' ? `failed: ${result.error.message}` : result.state));
    const all = (n: number, state: string): string[] => Array.from({ length: n }, () => state);
    const ok = async (changes: readonly Change[], options?: ApplyOptions): Promise<void> => {
      const results = states(await apply(changes, options));
      const others = results.flatMap((state, i) =>
        state === 'changed' ? [] : [`${changes[i] && describe(changes[i])} -> ${state}`],
      );
      assert.deepEqual(others.slice(0, 5), []);
    };
    const undo = async (changes: readonly Change[], applied?: readonly Applied[]): Promise<void> => {
      const back = subsume(inversePlan(changes, applied));
      for (const result of await apply(back, { keepGoing: true }))
        assert.notEqual(result.state, 'failed', JSON.stringify(result));
    };

    /** Applied, repeated, inverted, inverted again; `check` looks while it is there. */
    async function cycle(given: readonly Change[], change: Change, check: () => void): Promise<void> {
      await ok(given);
      const start = world();
      assert.deepEqual(states(await apply([change])), ['changed'], describe(change));
      check();
      assert.deepEqual(states(await apply([change])), ['already'], describe(change));
      check();
      const back = inverse(change);
      assert.ok(back);
      assert.deepEqual(states(await apply([back])), ['changed'], describe(back));
      assert.deepEqual(world(), start);
      assert.deepEqual(states(await apply([back])), ['already'], describe(back));
      assert.deepEqual(world(), start);
      await undo(given);
      assert.deepEqual(world(), before);
    }

    const host = (): NonNullable<ReturnType<KernelUnderTest['truth']['netns']>> => {
      const truth = under.truth.netns(HOST);
      assert.ok(truth);
      return truth;
    };
    const inside = (name: string): NonNullable<ReturnType<KernelUnderTest['truth']['netns']>> => {
      const truth = under.truth.netns(path(name));
      assert.ok(truth, `namespace ${name} is there`);
      return truth;
    };
    const includes = (list: readonly string[], entry: string): void =>
      assert.ok(list.includes(entry), `${entry} in ${list.join(', ')}`);

    test('netns', async () => {
      await cycle([], plan.netns(path('deep/er/a')), () =>
        includes(inside('deep/er/a').links, 'lo device up mtu 65536 master none alias none'),
      );
      assert.equal(under.truth.netns(path('deep/er/a')), null);
    });

    test('netns-pin: the namespace of somebody else outlives our pin', async () => {
      const source = under.foreign.adopt();
      await cycle([], { kind: 'netns-pin', op: 'add', path: path('pin'), source }, () => void inside('pin'));
      assert.ok(under.truth.netns(source));
      await ok([plan.netns(path('other'))]);
      const [result] = await apply([{ kind: 'netns-pin', op: 'add', path: path('other'), source }]);
      assert.ok(result?.state === 'failed' && result.error.kind === 'conflict', JSON.stringify(result));
      await undo([plan.netns(path('other'))]);
    });

    test('link: bridge', () =>
      cycle([], plan.bridge('tbr0', { mtu: 1400, mac: plan.MAC, alias: 'moor:test:x' }), () =>
        includes(host().links, 'tbr0 bridge up mtu 1400 master none alias moor:test:x'),
      ));

    test('link: veth pair into a namespace, port of a bridge', () =>
      cycle(
        [plan.bridge('tbr0'), plan.netns(path('a'))],
        plan.link({
          name: 'tveth0',
          up: true,
          mtu: 1400,
          master: 'tbr0',
          alias: 'moor:test:e',
          isolated: true,
          hairpin: true,
          kind: { type: 'veth', peer: { name: 'eth0', netns: path('a'), mac: plan.MAC, mtu: 1400 } },
        }),
        () => {
          includes(host().links, 'tveth0 veth up mtu 1400 master tbr0 alias moor:test:e isolated hairpin');
          includes(inside('a').links, 'eth0 veth down mtu 1400 master none alias none');
        },
      ));

    test('link: vxlan and macvlan on a device', async () => {
      const parent = plan.link({ name: 'tpar0', up: true, kind: { type: 'veth', peer: { name: 'tpar1', netns: HOST } } });
      const vxlan = {
        type: 'vxlan',
        vni: 77,
        port: 4789,
        local: parseIp('192.0.2.1'),
        device: 'tpar0',
        learning: false,
      } as const;
      await cycle([parent], plan.link({ name: 'tvx0', up: true, mtu: 1450, kind: vxlan }), () =>
        includes(host().links, 'tvx0 vxlan up mtu 1450 master none alias none'),
      );
      await cycle(
        [parent],
        plan.link({ name: 'tmac0', up: true, kind: { type: 'macvlan', parent: 'tpar0', mode: 'bridge' } }),
        () => includes(host().links, 'tmac0 macvlan up mtu 1500 master none alias none'),
      );
    });

    test('link: tun and tap', async () => {
      await cycle([], plan.link({ name: 'ttun0', up: true, mtu: 1380, alias: 'moor:test:t', kind: { type: 'tun' } }), () =>
        includes(host().links, 'ttun0 tun up mtu 1380 master none alias moor:test:t'),
      );
      await cycle([plan.bridge('tbr0')], plan.link({ name: 'ttap0', up: true, master: 'tbr0', kind: { type: 'tap' } }), () =>
        includes(host().links, 'ttap0 tun up mtu 1500 master tbr0 alias none'),
      );
    });

    test('link-set: every attribute and back', async () => {
      const old = { up: true, mtu: 1500, master: 'tbr0', isolated: false, hairpin: false } as const;
      const given = [plan.bridge('tbr0'), plan.bridge('tbr1'), plan.netns(path('a')), plan.pair('tveth0', path('a'), { ...old })];
      const set = (value: Extract<Change, { kind: 'link-set' }>['value'], was: typeof value): Change => ({
        kind: 'link-set',
        netns: HOST,
        name: 'tveth0',
        value,
        old: was,
      });
      await cycle(given, set({ mtu: 1300, isolated: true, hairpin: true, up: false }, old), () =>
        includes(host().links, 'tveth0 veth down mtu 1300 master tbr0 alias none isolated hairpin'),
      );
      await cycle(given, set({ master: 'tbr1' }, { master: 'tbr0' }), () =>
        includes(host().links, 'tveth0 veth up mtu 1500 master tbr1 alias none'),
      );
      await cycle(given, set({ master: '' }, { master: 'tbr0' }), () =>
        includes(host().links, 'tveth0 veth up mtu 1500 master none alias none'),
      );
    });

    test('address: IPv4 and IPv6', async () => {
      await cycle([plan.bridge('tbr0')], plan.address(HOST, 'tbr0', '192.0.2.1/24'), () =>
        includes(host().addresses, 'tbr0 192.0.2.1/24'),
      );
      await cycle([plan.bridge('tbr0')], plan.address(HOST, 'tbr0', '2001:db8::1/64'), () =>
        includes(host().addresses, 'tbr0 2001:db8::1/64'),
      );
    });

    test('route: default, on-link, blackhole, device, IPv6, table and metric', async () => {
      const given = [
        plan.bridge('tbr0'),
        plan.address(HOST, 'tbr0', '192.0.2.1/24'),
        plan.address(HOST, 'tbr0', '2001:db8::1/64'),
      ];
      const route = (value: Extract<Change, { kind: 'route' }>['route']): Change => ({
        kind: 'route',
        op: 'add',
        netns: HOST,
        route: value,
      });
      const destination = parsePrefix('198.51.100.0/24');
      await cycle(given, plan.defaultRoute(HOST, '192.0.2.9', 'tbr0'), () =>
        includes(host().routes, 'default via 192.0.2.9 dev tbr0'),
      );
      await cycle(given, plan.defaultRoute(HOST, '2001:db8::9', 'tbr0'), () =>
        includes(host().routes, '-6 default via 2001:db8::9 dev tbr0'),
      );
      await cycle(given, route({ destination, via: parseIp('203.0.113.1'), device: 'tbr0', onlink: true }), () =>
        includes(host().routes, '198.51.100.0/24 via 203.0.113.1 dev tbr0 onlink'),
      );
      await cycle(given, route({ destination, type: 'blackhole' }), () => includes(host().routes, 'blackhole 198.51.100.0/24'));
      await cycle(given, route({ destination, type: 'unreachable', metric: 50 }), () =>
        includes(host().routes, 'unreachable 198.51.100.0/24 metric 50'),
      );
      await cycle(given, route({ destination, device: 'tbr0', source: parseIp('192.0.2.1') }), () =>
        includes(host().routes, '198.51.100.0/24 dev tbr0 src 192.0.2.1'),
      );
      await cycle(given, route({ destination, via: parseIp('192.0.2.9'), device: 'tbr0', table: 100, metric: 7 }), () =>
        includes(host().routes, '198.51.100.0/24 via 192.0.2.9 dev tbr0 metric 7 table 100'),
      );
      await cycle(given, route({ type: 'local', destination, device: 'tbr0', metric: 7 }), () =>
        includes(host().routes, 'local 198.51.100.0/24 dev tbr0 metric 7'),
      );
    });

    test('rule', async () => {
      const rule = { family: 4, priority: 7000, table: 100, from: parsePrefix('192.0.2.0/24'), fwmark: 5 } as const;
      await cycle([], { kind: 'rule', op: 'add', netns: HOST, rule }, () =>
        includes(host().rules, '7000: from 192.0.2.0/24 fwmark 5 lookup 100'),
      );
      await cycle([], { kind: 'rule', op: 'add', netns: HOST, rule: { family: 6, priority: 7001, table: 100, iif: 'lo' } }, () =>
        includes(host().rules, '7001: iif lo lookup 100'),
      );
      const narrow = { family: 4, priority: 7002, table: 100, suppressPrefixLength: 0 } as const;
      await cycle([], { kind: 'rule', op: 'add', netns: HOST, rule: narrow }, () =>
        includes(host().rules, '7002: lookup 100 suppress_prefixlength 0'),
      );
    });

    test('neighbour', async () => {
      const neighbour = { device: 'tbr0', address: parseIp('192.0.2.5'), mac: plan.MAC, state: 'permanent' } as const;
      const change: Change = { kind: 'neighbour', op: 'add', netns: HOST, neighbour };
      const given = [plan.bridge('tbr0'), plan.address(HOST, 'tbr0', '192.0.2.1/24')];
      await cycle(given, change, () => includes(host().neighbours, `192.0.2.5 dev tbr0 lladdr ${plan.MAC} permanent`));
    });

    test('fdb: of a vxlan device and of a bridge port', async () => {
      const kind = { type: 'vxlan', vni: 78, port: 4789, local: parseIp('192.0.2.1'), learning: false } as const;
      const entry = { device: 'tvx0', mac: plan.MAC, destination: parseIp('192.0.2.77') };
      await cycle([plan.link({ name: 'tvx0', up: true, kind })], { kind: 'fdb', op: 'add', netns: HOST, entry }, () =>
        includes(host().fdb, `${plan.MAC} dev tvx0 dst 192.0.2.77`),
      );
      const port = { device: 'tveth0', mac: plan.MAC };
      const given = [plan.bridge('tbr0'), plan.netns(path('a')), plan.pair('tveth0', path('a'), { master: 'tbr0' })];
      await cycle(given, { kind: 'fdb', op: 'add', netns: HOST, entry: port }, () =>
        includes(host().fdb, `${plan.MAC} dev tveth0`),
      );
    });

    test('sysctl: in the namespace that is meant', async () => {
      const key = 'net/ipv4/conf/all/rp_filter';
      const given = [plan.netns(path('a'))];
      await ok(given);
      const old = under.truth.sysctl(path('a'), key);
      const outside = under.truth.sysctl(HOST, key);
      await undo(given);
      const value = old === '2' ? '1' : '2';
      await cycle(given, { kind: 'sysctl', netns: path('a'), key, value, old }, () => {
        assert.equal(under.truth.sysctl(path('a'), key), value);
        assert.equal(under.truth.sysctl(HOST, key), outside);
      });
      const [result] = await apply([
        { kind: 'sysctl', netns: HOST, key: 'net/ipv4/conf/nosuchdev/rp_filter', value: '1', old: null },
      ]);
      assert.ok(result?.state === 'failed' && result.error.kind === 'not-found', JSON.stringify(result));
    });

    test('nft: table, elements of sets and maps, a rule in a foreign chain', async () => {
      await cycle([], plan.table, () => {
        const truth = under.truth.table(plan.REF);
        assert.deepEqual(truth?.chains, { forward: ['replies', 'within'], internal: ['internal'] });
        assert.deepEqual(truth.sets, { within: {}, bridges: {}, subnets: {}, publish: {} });
      });
      const elements: readonly (readonly [string, string, string?])[] = [
        ['within', '"tbr0" . "tbr0"', 'goto internal'],
        ['bridges', '"tbr0"'],
        ['subnets', '192.0.2.0/24'],
        ['publish', 'tcp . 8080', '192.0.2.5 . 80'],
      ];
      for (const [set, key, value] of elements) {
        await cycle([plan.table], plan.element(set, key, value), () =>
          assert.equal(under.truth.table(plan.REF)?.sets[set]?.[key], value ?? ''),
        );
      }
      under.foreign.makeTable(plan.FOREIGN);
      before = world();
      const rule = { expr: 'iifname "tbr*" accept', comment: 'moor test' };
      await cycle([], { kind: 'nft-rule', op: 'add', family: 'ip', table: 'foreign', chain: 'USER', rule }, () =>
        assert.deepEqual(under.truth.table({ family: 'ip', name: 'foreign' })?.chains['USER'], ['moor test', 'theirs']),
      );
    });

    test('nft-table: one that lost rules is completed in place and keeps its elements', async () => {
      await ok([
        plan.table,
        plan.element('bridges', '"tbr0"'),
        plan.element('subnets', '192.0.2.0/25'),
        plan.element('subnets', '192.0.2.128/25'),
      ]);
      const fewer = { ...plan.TABLE, chains: plan.TABLE.chains.map((chain) => ({ ...chain, rules: [] })) };
      assert.deepEqual(states(await apply([{ kind: 'nft-table', op: 'add', table: fewer }])), ['already']);
      assert.deepEqual(under.truth.table(plan.REF)?.chains, { forward: [], internal: [] });
      const more = [plan.table, plan.element('subnets', '203.0.113.0/24'), plan.element('bridges', '"tbr0"')];
      assert.deepEqual(states(await apply(more)), ['already', 'changed', 'already']);
      const truth = under.truth.table(plan.REF);
      assert.deepEqual(truth?.chains, { forward: ['replies', 'within'], internal: ['internal'] });
      assert.deepEqual(truth.sets['bridges'], { '"tbr0"': '' });
      assert.deepEqual(truth.sets['subnets'], { '192.0.2.0/25': '', '192.0.2.128/25': '', '203.0.113.0/24': '' });
      assert.deepEqual(await under.kernel.listTable(plan.REF), { ...plan.REF, ...truth });
      const { family, name } = plan.REF;
      const names = async (): Promise<readonly string[]> =>
        (await under.kernel.tableNames()).filter((one) => one.name === name).map((one) => `${one.family} ${one.name}`);
      assert.deepEqual(await names(), [`${family} ${name}`]);
      await undo([plan.table]);
      assert.deepEqual(await names(), []);
    });

    test('nft-table: chains that it has no more go, or are left empty while an element leads there', async () => {
      const leading = plan.element('within', '"tbr0" . "tbr0"', 'goto internal');
      await ok([plan.table, leading]);
      const earlier = plan.TABLE.chains.filter(({ name }) => name !== 'internal');
      const without: Change = { kind: 'nft-table', op: 'add', table: { ...plan.TABLE, chains: earlier } };
      const chains = (): unknown => under.truth.table(plan.REF)?.chains;
      assert.deepEqual(states(await apply([without])), ['already']);
      assert.deepEqual(chains(), { forward: ['replies', 'within'], internal: [] });
      await undo([leading]);
      assert.deepEqual(states(await apply([without])), ['already']);
      assert.deepEqual(chains(), { forward: ['replies', 'within'] });
      assert.deepEqual(states(await apply([plan.table, leading])), ['already', 'changed']);
      assert.deepEqual(chains(), { forward: ['replies', 'within'], internal: ['internal'] });
      await undo([plan.table]);
    });

    test('nft-table in a namespace: there and nowhere else, completed in place, gone with it', async () => {
      const [here, there] = [path('a'), path('b')];
      const given = [plan.netns(here), plan.netns(there), plan.table];
      await cycle(given, plan.inner(here), () => {
        assert.deepEqual(under.truth.table(plan.INNER, here)?.chains, { out: ['queries'] });
        assert.equal(under.truth.table(plan.INNER, there), null);
        assert.equal(under.truth.table(plan.INNER), null);
        assert.equal(under.truth.table(plan.REF, here), null);
      });
      const changes = [plan.netns(here), plan.inner(here), plan.bridge('tbr0'), plan.table, plan.element('bridges', '"tbr0"')];
      await ok(changes);
      const ref = { family: plan.INNER.family, name: plan.INNER.name };
      assert.deepEqual(await under.kernel.listTable(ref, here), { ...ref, chains: { out: ['queries'] }, sets: {} });
      assert.equal(await under.kernel.listTable(ref), null);
      assert.equal(await under.kernel.listTable(plan.REF, here), null);
      assert.equal(await under.kernel.listTable(ref, path('gone')), null);
      const bare = { ...plan.INNER, chains: plan.INNER.chains.map((chain) => ({ ...chain, rules: [] })) };
      assert.deepEqual(states(await apply([{ kind: 'nft-table', op: 'add', table: bare, netns: here }])), ['already']);
      assert.deepEqual(under.truth.table(plan.INNER, here)?.chains, { out: [] });
      assert.deepEqual(states(await apply([plan.inner(here)])), ['already']);
      assert.deepEqual(under.truth.table(plan.INNER, here)?.chains, { out: ['queries'] });

      // The host's transaction and this one fail or go through each by itself, in the order of the list.
      const results = await apply([plan.inner(path('gone')), plan.element('bridges', '"x"')]);
      assert.deepEqual(
        results.map(({ state }) => state),
        ['failed', 'skipped'],
      );
      assert.ok(results[0]?.state === 'failed' && results[0].error.kind === 'not-found', JSON.stringify(results[0]));
      assert.match(
        results[0].error.message,
        /^nsenter --net=.*\/gone nft add table ip moortest_inner # 0 sets, 1 chain, 1 rule: /,
      );
      assert.deepEqual(states(await apply(inversePlan([plan.inner(path('gone'))]))), ['already']);
      const back = subsume(inversePlan(changes));
      assert.equal(
        back.some((change) => change.kind === 'nft-table' && change.netns !== undefined),
        false,
        'a table that goes with its namespace is not removed by itself',
      );
      await undo(changes);
      assert.deepEqual(world(), before);
    });

    test('file: written whole, with its mode; folders come and go', async () => {
      const file = path('deep/er/resolv.conf');
      const change: Change = { kind: 'file', path: file, value: 'nameserver 192.0.2.53\n', old: null, mode: 0o640 };
      await cycle([], change, () => {
        const truth = under.truth.file(file);
        assert.equal(truth?.text, 'nameserver 192.0.2.53\n');
        assert.ok(truth.mode === null || truth.mode === 0o640);
      });
      assert.equal(under.truth.file(file), null);
      await ok([change]);
      await cycle([], { ...change, value: 'x', old: change.value }, () => assert.equal(under.truth.file(file)?.text, 'x'));
      await undo([change]);
    });

    test('conntrack: forgetting what is not there changes nothing, and is done last', async () => {
      const changes: readonly Change[] = [
        { kind: 'conntrack', tuple: { family: 4, destination: parseIp('192.0.2.99') } },
        plan.bridge('tbr0'),
      ];
      const results = await apply(changes);
      assert.ok(results[0]?.state === 'changed' || results[0]?.state === 'already', JSON.stringify(results[0]));
      await undo(changes, results);
    });

    test('a network with an endpoint in one list, and everything undone', async () => {
      const changes = [
        plan.table,
        ...plan.network('tbr0', '192.0.2.1/24'),
        plan.netns(path('a')),
        ...plan.endpoint({ name: 'tveth0', bridge: 'tbr0', netns: path('a'), address: '192.0.2.5/24', gateway: '192.0.2.1' }),
      ];
      await ok(changes);
      includes(host().links, 'tveth0 veth up mtu 1500 master tbr0 alias moor:test:tveth0');
      includes(inside('a').addresses, 'eth0 192.0.2.5/24');
      includes(inside('a').routes, 'default via 192.0.2.1 dev eth0');
      assert.deepEqual(states(await apply(changes)), all(changes.length, 'already'));
      const [state] = await under.kernel.snapshot([path('a')], ['links', 'addresses', 'routes']);
      assert.deepEqual(state?.links.map(({ name, up }) => [name, up]).sort(), [
        ['eth0', true],
        ['lo', true],
      ]);
      assert.ok(state.addresses.some((entry) => entry.device === 'eth0' && entry.address === '192.0.2.5/24' && !entry.kernel));
      assert.ok(
        state.routes.some((route) => route.destination === '0.0.0.0/0' && route.via === '192.0.2.1' && route.device === 'eth0'),
      );
      await undo(changes);
      assert.deepEqual(world(), before);
      assert.equal(under.truth.netns(path('a')), null);
    });

    test('a failure at each place: what changed is told, and undone nothing is left', async () => {
      await ok([plan.table]);
      const start = world();
      const good = [
        ...plan.network('tbr0', '192.0.2.1/24'),
        plan.netns(path('a')),
        ...plan.endpoint({ name: 'tveth0', bridge: 'tbr0', netns: path('a'), address: '192.0.2.5/24', gateway: '192.0.2.1' }),
      ];
      for (let at = 0; at <= good.length; at++) {
        const changes = [...good.slice(0, at), plan.IMPOSSIBLE, ...good.slice(at)];
        const results = await apply(changes);
        assert.equal(results.length, changes.length);
        const result = results[at];
        assert.ok(result?.state === 'failed', `${at}: ${JSON.stringify(result)}`);
        assert.equal(result.error.kind, 'not-found');
        assert.ok(result.error.message.startsWith('ip link set nosuchdev up: '), result.error.message);
        assert.equal(results.filter(({ state }) => state === 'failed').length >= 1, true);
        await undo(changes, results);
        assert.deepEqual(world(), start, `undone after a failure at ${at}`);
        assert.equal(under.truth.netns(path('a')), null);
      }
      // keepGoing: all the others are done.
      const changes = [...good.slice(0, 3), plan.IMPOSSIBLE, ...good.slice(3)];
      const results = await apply(changes, { keepGoing: true });
      assert.deepEqual(
        results.map(({ state }) => state),
        changes.map((change) => (change === plan.IMPOSSIBLE ? 'failed' : 'changed')),
      );
      await undo(changes, results);
      await undo([plan.table]);
    });

    test('nft: one bad element, none applied; with keepGoing all the good ones', async () => {
      await ok([plan.table, plan.element('publish', 'tcp . 1', '192.0.2.1 . 1')]);
      const changes = [
        plan.element('bridges', '"tbr0"'),
        plan.element('publish', 'tcp . 1', '192.0.2.2 . 2'),
        plan.element('subnets', '192.0.2.0/24'),
        plan.element('publish', 'tcp . 2', '192.0.2.2 . 2'),
      ];
      const results = await apply(changes);
      assert.deepEqual(
        results.map(({ state }) => state),
        ['skipped', 'failed', 'skipped', 'skipped'],
      );
      const [, guilty] = results;
      assert.ok(guilty?.state === 'failed');
      assert.equal(guilty.error.kind, 'conflict');
      assert.match(guilty.error.message, /192\.0\.2\.1 \. 1, not 192\.0\.2\.2 \. 2/);
      assert.deepEqual(under.truth.table(plan.REF)?.sets['bridges'], {});
      assert.deepEqual(
        (await apply(changes, { keepGoing: true })).map(({ state }) => state),
        ['changed', 'failed', 'changed', 'changed'],
      );
      // Elements are removed by key, as nft does.
      const other = inverse(plan.element('publish', 'tcp . 1', '192.0.2.2 . 2'));
      assert.ok(other);
      assert.deepEqual(states(await apply([other])), ['changed']);
      assert.equal(under.truth.table(plan.REF)?.sets['publish']?.['tcp . 1'], undefined);
      await undo([plan.table]);
    });

    test('nft: a long list, with some that are there and one that differs', async () => {
      const count = 100;
      const elements = Array.from({ length: count }, (_, i) => plan.element('publish', `tcp . ${i + 1}`, `192.0.2.1 . ${i + 1}`));
      await ok([plan.table, ...elements.slice(0, 50)]);
      const different = plan.element('publish', 'tcp . 7', '192.0.2.2 . 7');
      const results = await apply([...elements, different]);
      assert.equal(results.at(-1)?.state, 'failed');
      assert.equal(Object.keys(under.truth.table(plan.REF)?.sets['publish'] ?? {}).length, 50);
      const again = await apply([...elements, different], { keepGoing: true });
      assert.deepEqual(
        again.map(({ state }) => state),
        [...all(50, 'already'), ...all(50, 'changed'), 'failed'],
      );
      const back = inversePlan(elements);
      assert.deepEqual(states(await apply(back)), all(count, 'changed'));
      assert.deepEqual(states(await apply(back)), all(count, 'already'));
      await undo([plan.table]);
    });

    test('conflicts name both values', async () => {
      const given = [
        plan.bridge('tbr0', { mtu: 1400 }),
        plan.address(HOST, 'tbr0', '192.0.2.1/24'),
        plan.defaultRoute(HOST, '192.0.2.8', 'tbr0'),
      ];
      await ok(given);
      const neighbour = { device: 'tbr0', address: parseIp('192.0.2.5'), mac: plan.MAC, state: 'permanent' } as const;
      await ok([
        { kind: 'neighbour', op: 'add', netns: HOST, neighbour: { ...neighbour, mac: '02:00:00:00:00:01' as typeof plan.MAC } },
      ]);
      const cases: readonly (readonly [Change, RegExp])[] = [
        [plan.bridge('tbr0', { mtu: 1500 }), /^ip link add tbr0 mtu 1500 .*: exists, but mtu is 1400, not 1500$/],
        [
          plan.link({ name: 'tbr0', up: true, kind: { type: 'macvlan', parent: 'lo', mode: 'bridge' } }),
          /type is bridge, not macvlan$/,
        ],
        [plan.defaultRoute(HOST, '192.0.2.9', 'tbr0'), /via is 192\.0\.2\.8, not 192\.0\.2\.9$/],
        [{ kind: 'neighbour', op: 'add', netns: HOST, neighbour }, /is 02:00:00:00:00:01.*not 02:42:c0:00:02:05/],
      ];
      for (const [change, message] of cases) {
        const [result] = await apply([change]);
        assert.ok(result?.state === 'failed', `${describe(change)}: ${JSON.stringify(result)}`);
        assert.equal(result.error.kind, 'conflict', result.error.message);
        assert.match(result.error.message, message);
      }
      await undo(given);
    });

    test('what is gone counts as removed: devices, namespaces, tables', async () => {
      const gone = path('gone');
      const inside: readonly Change[] = [
        plan.pair('tveth0', gone),
        plan.up(gone, 'eth0'),
        plan.address(gone, 'eth0', '192.0.2.5/24'),
        plan.defaultRoute(gone, '192.0.2.1'),
        { kind: 'rule', op: 'add', netns: gone, rule: { family: 4, priority: 9, table: 9 } },
        plan.element('within', '"a" . "b"', 'accept'),
        { kind: 'file', path: path('nofile'), value: 'x', old: null },
        { kind: 'netns-pin', op: 'add', path: gone, source: '/proc/self/ns/net' },
        { kind: 'nft-rule', op: 'add', family: 'ip', table: 'nosuch', chain: 'USER', rule: { expr: 'accept', comment: 'x' } },
        plan.table,
        plan.inner(gone),
      ];
      const back = inversePlan(inside);
      assert.deepEqual(states(await apply(back, { keepGoing: true })), all(back.length, 'already'));
      // A namespace that somebody takes away between two calls.
      await ok([plan.netns(gone), ...inside.slice(0, 4)]);
      under.foreign.removeNetns(gone);
      const [state] = await under.kernel.snapshot([gone], ['links']);
      assert.equal(state, null);
      const [address] = await apply([plan.address(gone, 'eth0', '192.0.2.6/24')]);
      assert.ok(address?.state === 'failed' && address.error.kind === 'not-found', JSON.stringify(address));
      for (const result of await apply(inversePlan(inside.slice(0, 4)), { keepGoing: true }))
        assert.notEqual(result.state, 'failed', JSON.stringify(result));
      assert.equal(await under.kernel.listTable(plan.REF), null);
      assert.ok(!host().links.some((line) => line.startsWith('tveth0 ')));
    });

    test('200 endpoints in one list', async () => {
      const count = 200;
      const endpoints = Array.from({ length: count }, (_, i) => ({
        name: `tv${i}`,
        bridge: 'tbr0',
        netns: path(`ns${i}`),
        address: `198.18.${i >> 8}.${(i & 255) + 2}/15`,
        gateway: '198.18.0.1',
      }));
      const changes = [
        plan.table,
        ...plan.network('tbr0', '198.18.0.1/15'),
        ...endpoints.map(({ netns }) => plan.netns(netns)),
        ...endpoints.flatMap(plan.endpoint),
      ];
      await ok(changes);
      assert.equal(host().links.filter((line) => / veth up .* master tbr0 /.test(line)).length, count);
      includes(inside('ns199').addresses, 'eth0 198.18.0.201/15');
      assert.equal(Object.keys(under.truth.table(plan.REF)?.sets['bridges'] ?? {}).length, count + 1);
      assert.equal((await under.kernel.pins(under.directory)).length, count);
      await undo(changes);
      assert.deepEqual(world(), before);
      assert.deepEqual(await under.kernel.pins(under.directory), []);
    });

    test('140 pairs in a row, each into another namespace', async () => {
      const indexes = Array.from({ length: 140 }, (_, i) => i);
      const changes = [
        ...indexes.map((i) => plan.netns(path(`ns${i}`))),
        ...indexes.map((i) => plan.pair(`tv${i}`, path(`ns${i}`), { alias: `moor:test:${i}` })),
        ...indexes.map((i) => plan.address(path(`ns${i}`), 'eth0', `198.18.0.${i + 1}/24`)),
      ];
      await ok(changes);
      for (const i of [0, 1, 63, 64, 127, 128, 129, 139])
        assert.deepEqual(inside(`ns${i}`).addresses, [`eth0 198.18.0.${i + 1}/24`]);
      await undo(changes);
      assert.deepEqual(world(), before);
    });

    test('what is expected and does not come, comes twice, or is not there does no harm', async () => {
      under.kernel.expect([path('a')]);
      const changes = [plan.netns(path('a')), plan.netns(path('b'))];
      await ok(changes);
      under.kernel.expect([path('a'), HOST]);
      under.kernel.expect([path('a'), path('b'), path('none')]);
      const pair = plan.pair('tveth0', path('a'));
      assert.deepEqual(states(await apply([pair])), ['changed']);
      under.kernel.expect([path('b')]);
      // What was opened keeps no namespace, and another one at the same path is another one.
      await undo([...changes, pair]);
      assert.deepEqual(world(), before);
      await ok([plan.netns(path('b'))]);
      assert.deepEqual(inside('b').addresses, []);
      await undo([plan.netns(path('b'))]);
      assert.deepEqual(world(), before);
    });

    test('watch: what others do shows, what we do does not', async () => {
      const events: KernelEvent[] = [];
      const stop = await under.kernel.watch((event) => events.push(event));
      const changes = [
        plan.table,
        ...plan.network('tbr0', '192.0.2.1/24'),
        plan.netns(path('a')),
        ...plan.endpoint({ name: 'tveth0', bridge: 'tbr0', netns: path('a'), address: '192.0.2.5/24', gateway: '192.0.2.1' }),
      ];
      await ok(changes);
      await under.kernel.observe([path('a')]);

      const noticed = async (what: string, wanted: (event: KernelEvent) => boolean): Promise<void> => {
        const end = performance.now() + NOTICE_MS;
        while (!events.some(wanted)) {
          assert.ok(performance.now() < end, `${what} was not noticed; there were ${JSON.stringify(events)}`);
          await sleep(2);
        }
        events.length = 0;
      };
      // The first foreign event comes after all that our own changes could have made.
      under.foreign.removeAddress(HOST, 'tbr0', plan.ifAddress('192.0.2.1/24'));
      const end = performance.now() + NOTICE_MS;
      while (events.length === 0 && performance.now() < end) await sleep(2);
      assert.deepEqual(events[0], { type: 'address', netns: HOST, device: 'tbr0' });
      assert.deepEqual(
        events.filter((event) => event.type === 'nft' || event.type === 'link'),
        [],
      );
      await sleep(50); // the connected route that goes with the address
      events.length = 0;

      under.foreign.removeAddress(path('a'), 'eth0', plan.ifAddress('192.0.2.5/24'));
      await noticed(
        'an address removed in a sandbox',
        (event) => event.type === 'address' && event.netns === path('a') && event.device === 'eth0',
      );
      assert.deepEqual(states(await apply([plan.address(path('a'), 'eth0', '192.0.2.5/24')])), ['changed']);
      const [routeState] = await apply([plan.defaultRoute(path('a'), '192.0.2.1')]);
      assert.notEqual(routeState?.state, 'failed');
      events.length = 0;
      under.foreign.flushRoutes(path('a'), 'eth0');
      await noticed(
        'routes flushed in a sandbox',
        (event) => event.type === 'route' && event.netns === path('a') && event.device === 'eth0',
      );
      assert.deepEqual(states(await apply([plan.inner(path('a'))])), ['changed']);
      under.foreign.flushRuleset(path('a'));
      await noticed(
        'the ruleset of a sandbox flushed',
        (event) => event.type === 'nft' && event.netns === path('a') && event.table?.name === plan.INNER.name,
      );
      under.foreign.flushRuleset();
      await noticed(
        'the ruleset flushed',
        (event) => event.type === 'nft' && (event.table === null || event.table.name === plan.REF.name),
      );
      assert.equal((await apply([plan.table]))[0]?.state, 'changed');
      under.foreign.removeLink(HOST, 'tveth0');
      await noticed(
        'a link removed',
        (event) => event.type === 'link' && event.netns === HOST && event.name === 'tveth0' && event.gone,
      );
      under.foreign.removeLink(HOST, 'tbr0');
      await noticed('a bridge removed', (event) => event.type === 'link' && event.name === 'tbr0' && event.gone);

      await under.kernel.forget([path('a')]);
      await stop();
      await undo(changes);
      assert.deepEqual(world(), before);
    });

    test('facts, features and pins', async () => {
      const facts = await under.kernel.facts();
      assert.ok('net/ipv4/ip_forward' in facts.sysctls);
      assert.ok(facts.uplinkMtu >= 576);
      assert.ok(facts.addresses.some((entry) => entry === '127.0.0.1/8'));
      const features = await under.kernel.features();
      assert.ok(features.length > 0);
      for (const { name, why } of features) assert.ok(why !== '', `${name} says why`);
      assert.deepEqual(await under.kernel.pins(path('nothing')), []);
    });
  });
}
