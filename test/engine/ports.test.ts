/** Published ports on the fake kernel: what is decided, held, planned, given back. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { MoorError } from '../../src/base/errors.ts';
import type { IpAddress } from '../../src/base/ip.ts';
import type { Store } from '../../src/contracts/store.ts';
import { parsePortSpec } from '../../src/model/ports-parse.ts';
import { bindingText, specText } from '../../src/model/ports-text.ts';
import type { PortSpec } from '../../src/model/ports.ts';
import { type Bench, newWorld, start } from './setup.ts';

const specs = (...texts: readonly string[]): PortSpec[] => texts.map(parsePortSpec);
const texts = (bench: Bench, name: string): string[] => (bench.engine.sandboxes.get(name).ports ?? []).map(bindingText);
const held = ({ kernel }: Bench): string[] => [...kernel.hostPorts.held].toSorted();
/** Elements of our table in whose key this word is. */
function elements({ kernel }: Bench, word: string): string[] {
  return [...kernel.tables.values()].flatMap(({ sets }) =>
    Object.values(sets).flatMap((elements) =>
      Object.entries(elements)
        .filter(([key]) => key.includes(word))
        .map(([key, value]) => `${key} : ${value}`),
    ),
  );
}
const createOn =
  (network: string) =>
  ({ engine }: Bench, name: string, ports: readonly string[]): ReturnType<Bench['engine']['sandboxes']['create']> =>
    engine.sandboxes.create({ name, networks: [{ network }], ports: specs(...ports) });
const create = createOn('bridge');

describe('a new sandbox', () => {
  test('with a port: it is held, led to the sandbox, and given back with it', async () => {
    await using bench = await start();
    const { value, plan } = await create(bench, 'web', ['8080:80', '53/udp']);
    assert.deepEqual(texts(bench, 'web'), ['0.0.0.0:8080->80/tcp', '0.0.0.0:32768->53/udp']);
    assert.deepEqual(held(bench), ['tcp 0.0.0.0 8080', 'udp 0.0.0.0 32768']);
    const inside = value.endpoints[0]?.ipv4?.split('/')[0];
    assert.deepEqual(elements(bench, '8080'), [`tcp . 8080 : ${inside} . 80`]);
    assert.ok(
      plan.changes.some(({ kind }) => kind === 'conntrack'),
      'a UDP client may have begun before',
    );
    await bench.engine.sandboxes.remove('web');
    assert.deepEqual([held(bench), elements(bench, '8080')], [[], []]);
    await create(bench, 'next', ['8080:80']);
    assert.deepEqual(held(bench), ['tcp 0.0.0.0 8080']);
  });

  test('with the first port: the table is ready before a bridge takes packets for 127.0.0.0/8, and from then on', async () => {
    await using bench = await start();
    const since = (from: number): string[] =>
      bench.kernel.log.slice(from).flatMap((change) => {
        if (change.kind === 'nft-table' && change.netns === undefined) return [`${change.table.chains.length} chains`];
        return change.kind === 'sysctl' && change.key.endsWith('route_localnet') ? ['localhost'] : [];
      });
    const chains = (): number => Object.keys(bench.kernel.tables.get('inet moor')?.chains ?? {}).length;
    const before = chains();
    await bench.engine.sandboxes.create({ name: 'none', ports: specs('8080:80') }, { dryRun: true });
    await create(bench, 'silent', []);
    assert.equal(chains(), before);
    let from = bench.kernel.log.length;
    await bench.engine.sandboxes.publish('silent', specs('8080:80'));
    assert.deepEqual(since(from), [`${before + 2} chains`, 'localhost']);
    from = bench.kernel.log.length;
    await create(bench, 'web', ['8081:80']);
    assert.deepEqual(since(from), ['localhost']);
    for (const name of ['silent', 'web']) await bench.engine.sandboxes.remove(name);
    assert.equal(chains(), before + 2);
  });

  test('a thousand single ports are one element', async () => {
    await using bench = await start();
    const before = bench.kernel.log.length;
    const ports = Array.from({ length: 1000 }, (_, i) => `${7000 + i}:${7000 + i}`);
    await create(bench, 'web', ports);
    const added = bench.kernel.log
      .slice(before)
      .filter((change) => change.kind === 'nft-element' && change.element.key.includes('7000'));
    assert.equal(added.length, 1);
    assert.equal(held(bench).length, 1000);
  });

  test('on networks with both families has both, with the same number', async () => {
    await using bench = await start();
    await bench.engine.networks.create({ name: 'dual', ipv6: true });
    await createOn('dual')(bench, 'web', ['80', '127.0.0.1:8081:81', '[::1]:8082:82']);
    assert.deepEqual(texts(bench, 'web').toSorted(), [
      '0.0.0.0:32768->80/tcp',
      '127.0.0.1:8081->81/tcp',
      '[::1]:8082->82/tcp',
      '[::]:32768->80/tcp',
    ]);
    // Without IPv6 there is no way to lead it.
    await create(bench, 'four', ['[::1]:8083:83']);
    assert.deepEqual(texts(bench, 'four'), []);
  });

  test('the address is the port’s own, else the network’s, else the daemon’s', async () => {
    await using bench = await start({ config: { hostAddress: '127.0.0.1' as IpAddress } });
    await bench.engine.networks.create({ name: 'plain', ipv6: true });
    await bench.engine.networks.create({ name: 'own', options: { 'com.docker.network.bridge.host_binding_ipv4': '127.0.0.7' } });
    await createOn('plain')(bench, 'sa', ['8080:80', '0.0.0.0:8081:80']);
    await createOn('own')(bench, 'sb', ['8080:80']);
    assert.deepEqual(texts(bench, 'sa'), ['127.0.0.1:8080->80/tcp', '0.0.0.0:8081->80/tcp']);
    assert.deepEqual(texts(bench, 'sb'), ['127.0.0.7:8080->80/tcp']);
  });

  test('free ports are looked for where the host has them, and not where they are set aside or taken', async () => {
    await using bench = await start();
    bench.kernel.hostPorts.range = { from: 40_000, to: 40_009 };
    bench.kernel.hostPorts.reserved = [{ from: 40_001, to: 40_002 }];
    bench.kernel.hostPorts.programs.set('tcp 127.0.0.1 40000', { name: 'nginx', pid: 7 });
    await create(bench, 'web', ['80', '81']);
    assert.deepEqual(texts(bench, 'web'), ['0.0.0.0:40003-40004->80-81/tcp']);
    await create(bench, 'next', ['80']);
    assert.deepEqual(texts(bench, 'next'), ['0.0.0.0:40005->80/tcp'], 'not one that was just given out');
    await assert.rejects(create(bench, 'many', ['80-89']), {
      kind: 'exhausted',
      message: 'all ports are allocated: no 10 in a row of 40000-40009/tcp on 0.0.0.0 are free',
    });
    await create(bench, 'choice', ['40000-40009:80']);
    assert.deepEqual(texts(bench, 'choice'), ['0.0.0.0:40001->80/tcp'], 'the first free one of those asked for');
  });

  test('networks that cannot publish: nothing is published, and nothing wrong', async () => {
    await using bench = await start();
    await bench.engine.networks.create({ name: 'inner', internal: true });
    await createOn('none')(bench, 'sa', ['8080:80']);
    await createOn('host')(bench, 'sb', ['8080:80']);
    await createOn('inner')(bench, 'sc', ['8080:80']);
    assert.deepEqual([texts(bench, 'sa'), texts(bench, 'sb'), texts(bench, 'sc'), held(bench)], [[], [], [], []]);
  });

  test('a dry run holds nothing', async () => {
    await using bench = await start();
    const { plan, value } = await bench.engine.sandboxes.create({ name: 'web', ports: specs('8080:80') }, { dryRun: true });
    assert.deepEqual(value.ports?.map(bindingText), ['0.0.0.0:8080->80/tcp']);
    assert.ok(plan.changes.some((change) => change.kind === 'nft-element' && change.element.key.includes('8080')));
    assert.deepEqual(held(bench), []);
  });
});

describe('a port that cannot be had', () => {
  test('names the sandbox or the program, and leaves nothing behind', async () => {
    await using bench = await start();
    await create(bench, 'web', ['127.0.0.1:8080:80']);
    await assert.rejects(create(bench, 'two', ['8081:81', '8080:80']), {
      kind: 'conflict',
      message: 'Bind for 127.0.0.1:8080 failed: port is already allocated by container web',
    });
    bench.kernel.hostPorts.programs.set('tcp 0.0.0.0 9001', { name: 'nginx', pid: 123 });
    await assert.rejects(create(bench, 'two', ['9000-9002:80-82']), {
      kind: 'conflict',
      message:
        /^failed to bind host port for 0\.0\.0\.0:9001:172\.\d+\.0\.\d+:81\/tcp: address already in use by nginx \(pid 123\)$/,
    });
    bench.kernel.hostPorts.absent.add('192.0.2.1' as IpAddress);
    await assert.rejects(create(bench, 'two', ['192.0.2.1:80:80']), {
      kind: 'unavailable',
      message: /: cannot assign requested address$/,
    });
    assert.deepEqual(held(bench), ['tcp 127.0.0.1 8080']);
    await create(bench, 'two', ['127.0.0.2:8080:80', '8080:80/udp']);
  });

  test('of a container: the words are those of docker run', async () => {
    await using bench = await start();
    await create(bench, 'web', ['8080:80']);
    await assert.rejects(bench.engine.sandboxes.create({ name: 'two', managed: true, ports: specs('8080:80') }), {
      message:
        /^failed to set up container networking: driver failed programming external connectivity on endpoint two \([0-9a-f]{64}\): Bind for 0\.0\.0\.0:8080 failed: port is already allocated by container web$/,
    });
  });

  test('when the plan fails the ports are free again', async () => {
    await using bench = await start();
    bench.kernel.failWhen = (change) => change.kind === 'nft-element' && change.element.key.includes('8080');
    await assert.rejects(create(bench, 'web', ['8080:80']));
    assert.deepEqual(held(bench), []);
    bench.kernel.failWhen = undefined;
    await create(bench, 'web', ['8080:80']);
  });
});

describe('a sandbox that exists', () => {
  test('publishes more, and less; a restart knows of it', async () => {
    const world = newWorld();
    {
      await using bench = await start({ world });
      await create(bench, 'web', ['8080:80']);
      const added = await bench.engine.sandboxes.publish('web', specs('8443:443', '5000-5009:5000-5009/udp'));
      assert.deepEqual(added.value.ports.map(bindingText), [
        '0.0.0.0:8080->80/tcp',
        '0.0.0.0:8443->443/tcp',
        '0.0.0.0:5000-5009->5000-5009/udp',
      ]);
      assert.ok(
        added.plan.changes.every((change) => change.kind === 'nft-element' || change.kind === 'conntrack'),
        'nothing else is touched',
      );
      await assert.rejects(bench.engine.sandboxes.publish('web', specs('8080:81')), { kind: 'conflict' });
      const removed = await bench.engine.sandboxes.unpublish('web', specs('443', '5004/udp'));
      assert.deepEqual(removed.value.ports.map(bindingText), [
        '0.0.0.0:8080->80/tcp',
        '0.0.0.0:5000-5003->5000-5003/udp',
        '0.0.0.0:5005-5009->5005-5009/udp',
      ]);
      assert.deepEqual(removed.value.publish.map(specText), [
        '8080:80/tcp',
        '5000-5003:5000-5003/udp',
        '5005-5009:5005-5009/udp',
      ]);
      assert.equal(held(bench).length, 10);
      await assert.rejects(bench.engine.sandboxes.unpublish('web', specs('443')), {
        kind: 'not-found',
        message: "No public port '443/tcp' published for web",
      });
      assert.deepEqual(
        bench.events
          .filter(({ action }) => action.endsWith('publish'))
          .map(({ action, attributes }) => [action, attributes['ports']]),
        [
          ['publish', '0.0.0.0:8443->443/tcp, 0.0.0.0:5000-5009->5000-5009/udp'],
          ['unpublish', '0.0.0.0:8443->443/tcp, 0.0.0.0:5004->5004/udp'],
        ],
      );
    }
    world.kernel.hostPorts.drop();
    const log = world.kernel.log.length;
    await using bench = await start({ world });
    assert.equal(held(bench).length, 10);
    assert.deepEqual(
      world.kernel.log.slice(log).filter(({ kind }) => kind === 'nft-element'),
      [],
      'what leads to it was not touched',
    );
    await assert.rejects(create(bench, 'two', ['5009:1/udp']), /already allocated by container web/);
  });

  test('one family of a port alone goes, or the port by its host’s number', async () => {
    await using bench = await start();
    await bench.engine.networks.create({ name: 'dual', ipv6: true });
    await createOn('dual')(bench, 'web', ['80', '8081:81']);
    await bench.engine.sandboxes.unpublish('web', specs('[::]:8081:81'));
    assert.deepEqual(bench.engine.sandboxes.get('web').publish?.map(specText).toSorted(), ['0.0.0.0:8081:81/tcp', '80/tcp']);
    await bench.engine.sandboxes.unpublish('web', specs('32768:80'));
    assert.deepEqual(texts(bench, 'web'), ['0.0.0.0:8081->81/tcp']);
    assert.deepEqual(bench.engine.sandboxes.get('web').publish?.map(specText), ['0.0.0.0:8081:81/tcp']);
  });

  test('dry runs show the elements, and change nothing', async () => {
    await using bench = await start();
    await create(bench, 'web', ['8080:80']);
    const before = bench.kernel.log.length;
    const add = await bench.engine.sandboxes.publish('web', specs('8081:81'), { dryRun: true });
    const remove = await bench.engine.sandboxes.unpublish('web', specs('80'), { dryRun: true });
    assert.deepEqual([add.plan.changes.length, remove.plan.changes.filter(({ kind }) => kind === 'nft-element').length], [1, 1]);
    assert.equal(bench.kernel.log.length, before);
    assert.deepEqual([texts(bench, 'web'), held(bench)], [['0.0.0.0:8080->80/tcp'], ['tcp 0.0.0.0 8080']]);
  });

  test('when the kernel or the store refuses, everything is as before', async () => {
    const world = newWorld();
    let full = false;
    const store = (real: Store): Store => ({
      ...real,
      commit: async (writes) => {
        if (full && writes.some(({ key }) => key.startsWith('sandbox/'))) throw new MoorError('unavailable', 'disk full');
        return real.commit(writes);
      },
    });
    await using bench = await start({ world, between: { store } });
    await create(bench, 'web', ['8080:80']);
    const same = (): void => {
      assert.deepEqual([texts(bench, 'web'), held(bench)], [['0.0.0.0:8080->80/tcp'], ['tcp 0.0.0.0 8080']]);
      assert.deepEqual([elements(bench, '8080').length, elements(bench, '8081').length], [1, 0]);
    };
    full = true;
    await assert.rejects(bench.engine.sandboxes.publish('web', specs('8081:81')), { message: 'disk full' });
    same();
    await assert.rejects(bench.engine.sandboxes.unpublish('web', specs('80')), { message: 'disk full' });
    same();
    full = false;
    world.kernel.failWhen = (change) => change.kind === 'nft-element';
    await assert.rejects(bench.engine.sandboxes.publish('web', specs('8081:81')), { kind: 'forbidden' });
    same();
    // As every removal: what cannot be removed is told, and swept later.
    const { warnings, value } = await bench.engine.sandboxes.unpublish('web', specs('80'));
    assert.deepEqual([warnings.length, value.ports, elements(bench, '8080').length], [1, [], 1]);
    world.kernel.failWhen = undefined;
    await bench.engine.reconcile();
    assert.deepEqual(elements(bench, '8080'), []);
    await bench.engine.sandboxes.publish('web', specs('8080:81'));
  });

  test('of the host’s stack cannot publish', async () => {
    await using bench = await start();
    await createOn('host')(bench, 'sh', []);
    await assert.rejects(bench.engine.sandboxes.publish('sh', specs('80')), { kind: 'invalid' });
  });
});

describe('the way out', () => {
  test('ports follow it when networks are connected and disconnected', async () => {
    await using bench = await start();
    for (const name of ['a', 'b']) await bench.engine.networks.create({ name, ipv6: name === 'b' });
    await createOn('a')(bench, 'web', ['8080:80']);
    const at = (network: string): string | undefined => {
      const { id } = bench.engine.networks.get(network);
      return bench.engine.sandboxes
        .get('web')
        .endpoints.find(({ networkId }) => networkId === id)
        ?.ipv4?.split('/')[0];
    };
    assert.deepEqual(elements(bench, '. 8080'), [`tcp . 8080 : ${at('a')} . 80`]);
    await bench.engine.networks.connect('b', { sandbox: 'web', endpoint: { gatewayPriority: 1 } });
    assert.ok(elements(bench, '. 8080').includes(`tcp . 8080 : ${at('b')} . 80`));
    assert.deepEqual(texts(bench, 'web'), ['0.0.0.0:8080->80/tcp', '[::]:8080->80/tcp'], 'b has IPv6');
    await bench.engine.networks.disconnect('b', 'web');
    assert.deepEqual(elements(bench, '. 8080'), [`tcp . 8080 : ${at('a')} . 80`]);
    assert.deepEqual(held(bench), ['tcp 0.0.0.0 8080']);
    await bench.engine.networks.disconnect('a', 'web');
    assert.deepEqual([texts(bench, 'web'), held(bench), elements(bench, '. 8080')], [[], [], []]);
    await bench.engine.networks.connect('a', { sandbox: 'web', endpoint: {} });
    assert.deepEqual([texts(bench, 'web'), elements(bench, '. 8080').length], [['0.0.0.0:8080->80/tcp'], 1]);
  });

  test('another default address of the new network', async () => {
    await using bench = await start();
    await bench.engine.networks.create({ name: 'a' });
    await bench.engine.networks.create({ name: 'b', options: { 'com.docker.network.bridge.host_binding_ipv4': '127.0.0.1' } });
    await createOn('a')(bench, 'web', ['8080:80', '81']);
    await bench.engine.networks.connect('b', { sandbox: 'web', endpoint: { gatewayPriority: 1 } });
    assert.deepEqual(texts(bench, 'web'), ['127.0.0.1:8080->80/tcp', '127.0.0.1:32768->81/tcp']);
    assert.deepEqual(held(bench), ['tcp 127.0.0.1 32768', 'tcp 127.0.0.1 8080']);
  });

  test('what cannot be held at the new one is told, and keeps nobody from leaving', async () => {
    await using bench = await start();
    await bench.engine.networks.create({ name: 'a', ipv6: true });
    await createOn('bridge')(bench, 'web', ['8080:80', '9081:81']);
    bench.kernel.hostPorts.programs.set('tcp :: 8080', { name: 'nginx', pid: 7 });
    const { warnings } = await bench.engine.networks.connect('a', { sandbox: 'web', endpoint: { gatewayPriority: 1 } });
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? '', /^8080:80\/tcp .*address already in use by nginx \(pid 7\)$/);
    assert.deepEqual(texts(bench, 'web').toSorted(), ['0.0.0.0:8080->80/tcp', '0.0.0.0:9081->81/tcp', '[::]:9081->81/tcp']);
  });
});

describe('a daemon’s start', () => {
  test('a port that a program took meanwhile is told of; the others are held', async () => {
    const world = newWorld();
    {
      await using bench = await start({ world });
      await create(bench, 'web', ['7000-7009:7000-7009', '8080:80']);
    }
    world.kernel.hostPorts.drop();
    world.kernel.hostPorts.programs.set('tcp 127.0.0.1 7004', { name: 'nginx', pid: 7 });
    await using bench = await start({ world });
    assert.equal(held(bench).length, 10);
    const text =
      'port 0.0.0.0:7004/tcp of web is published and cannot be held: nginx (pid 7) has it; it leads to web as before, and not to a program of the host';
    assert.ok((await bench.engine.status()).warnings.includes(text));
    assert.ok(bench.logger.messages('warn').includes(text));
    await bench.engine.sandboxes.remove('web');
    assert.ok(!(await bench.engine.status()).warnings.includes(text));
  });

  test('it is held as soon as the program has gone, and not if it was unpublished meanwhile', async () => {
    const world = newWorld();
    {
      await using bench = await start({ world });
      await create(bench, 'web', ['8080:80', '9090:90']);
    }
    world.kernel.hostPorts.drop();
    for (const port of [8080, 9090]) world.kernel.hostPorts.programs.set(`tcp 0.0.0.0 ${port}`, { name: 'nginx', pid: 7 });
    await using bench = await start({ world, config: { times: { settle: 1, sweep: 3_600_000, ports: 2 } } });
    const told = async (): Promise<number> =>
      (await bench.engine.status()).warnings.filter((line) => line.includes('cannot be held')).length;
    assert.equal(await told(), 2);
    await bench.engine.sandboxes.unpublish('web', specs('90'));
    world.kernel.hostPorts.programs.clear();
    while ((await told()) > 0) await setTimeout(1);
    assert.deepEqual(held(bench), ['tcp 0.0.0.0 8080']);
    assert.ok(bench.logger.messages('info').includes('the ports of web are held again'));
  });

  test('an address that the host does not have yet, and more ports than files, are told of in one line', async () => {
    const world = newWorld();
    {
      await using bench = await start({ world });
      await create(bench, 'web', ['192.0.2.1:7000-7009:7000-7009']);
      await create(bench, 'next', ['8080:80']);
    }
    world.kernel.hostPorts.drop();
    world.kernel.hostPorts.absent.add('192.0.2.1' as IpAddress);
    await using bench = await start({ world });
    const lines = (await bench.engine.status()).warnings.filter((line) => line.includes('cannot be held'));
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? '', /^port 192\.0\.2\.1:7000-7009\/tcp of web .*: the host does not have the address; /);
    assert.deepEqual(held(bench), ['tcp 0.0.0.0 8080']);
  });

  test('after a flush everything is back, and the clients that reached the host meanwhile are forgotten', async () => {
    await using bench = await start();
    await create(bench, 'web', ['8080:80', '53:53/udp']);
    const log = bench.kernel.log.length;
    bench.kernel.foreign.flushRuleset();
    await bench.engine.reconcile();
    assert.equal(elements(bench, '8080').length, 1);
    assert.equal(elements(bench, '. 53').length, 1);
    const tuples = bench.kernel.log.slice(log).flatMap((change) => (change.kind === 'conntrack' ? [change.tuple] : []));
    assert.ok(tuples.length > 0 && tuples.every(({ protocol, translated }) => protocol === 'udp' && translated === false));
    assert.equal(held(bench).length, 2, 'they were never let go');
  });
});
