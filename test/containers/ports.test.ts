/** Published ports of containers: from Docker's words to the engine, over restarts, and while they run. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parsePortSpec } from '../../src/model/ports-parse.ts';
import { bindingText } from '../../src/model/ports-text.ts';
import { newWorld, spec, start } from './setup.ts';

type Bench = Awaited<ReturnType<typeof start>>;
const ports = ({ engine }: Bench, name: string): string[] => (engine.sandboxes.get(name).ports ?? []).map(bindingText);
const binding = (HostPort = '', HostIp = ''): { readonly HostIp: string; readonly HostPort: string } => ({ HostIp, HostPort });

describe('a container that is started', () => {
  test('publishes what was asked for; fixed ports stay over a restart and free ones change', async () => {
    using world = newWorld();
    await using bench = await start(world);
    const { containers } = bench;
    const PortBindings = { '80/tcp': [binding('8080'), binding('8081', '127.0.0.1')], '443/tcp': [], '53/udp': [binding()] };
    await containers.create(spec({ name: 'web', host: { PortBindings } }));
    assert.equal(world.kernel.hostPorts.held.size, 0);
    await containers.start('web');
    assert.deepEqual(ports(bench, 'web'), [
      '0.0.0.0:8080->80/tcp',
      '127.0.0.1:8081->80/tcp',
      '0.0.0.0:32768->443/tcp',
      '0.0.0.0:32768->53/udp',
    ]);
    await containers.restart('web', { timeout: 0 });
    assert.deepEqual(ports(bench, 'web'), [
      '0.0.0.0:8080->80/tcp',
      '127.0.0.1:8081->80/tcp',
      '0.0.0.0:32769->443/tcp',
      '0.0.0.0:32769->53/udp',
    ]);
    await containers.stop('web', { timeout: 0 });
    assert.equal(world.kernel.hostPorts.held.size, 0);
    assert.deepEqual(containers.get('web').hostConfig.PortBindings, PortBindings, 'shown as it was asked');
  });

  test('with -P publishes every exposed port that is not published otherwise', async () => {
    using world = newWorld();
    await using bench = await start(world);
    const host = { PublishAllPorts: true, PortBindings: { '80/tcp': [binding('8080')] } };
    const config = { ExposedPorts: { '80/tcp': {}, '81/tcp': {}, '82/tcp': {}, '53/udp': {} } };
    await bench.containers.create(spec({ name: 'web', host, config }));
    await bench.containers.start('web');
    assert.deepEqual(ports(bench, 'web'), ['0.0.0.0:8080->80/tcp', '0.0.0.0:32768-32769->81-82/tcp', '0.0.0.0:32768->53/udp']);
  });

  test('on the host’s network or none publishes nothing; for the first there is a warning', async () => {
    using world = newWorld();
    await using bench = await start(world);
    for (const [name, warnings] of [
      ['host', ['Published ports are discarded when using host network mode']],
      ['none', []],
    ] as const) {
      const made = await bench.containers.create(
        spec({ name: `on-${name}`, host: { NetworkMode: name, PortBindings: { '80/tcp': [binding('8080')] } } }),
      );
      assert.deepEqual(made.warnings, warnings);
      await bench.containers.start(`on-${name}`);
      assert.deepEqual(ports(bench, `on-${name}`), []);
    }
    await assert.rejects(bench.containers.publish('on-host', [parsePortSpec('80')]), { kind: 'invalid' });
  });

  test('whose port is taken is not started, in the words of docker run', async () => {
    using world = newWorld();
    await using bench = await start(world);
    const host = { PortBindings: { '80/tcp': [binding('8080')] } };
    for (const name of ['web', 'two']) await bench.containers.create(spec({ name, host }));
    await bench.containers.start('web');
    await assert.rejects(bench.containers.start('two'), {
      kind: 'conflict',
      message:
        /^failed to set up container networking: driver failed programming external connectivity on endpoint two \([0-9a-f]{64}\): Bind for 0\.0\.0\.0:8080 failed: port is already allocated by container web$/,
    });
    assert.equal(bench.containers.get('two').state.status, 'created');
    await bench.containers.remove('web', { force: true, volumes: false });
    await bench.containers.start('two');
  });
});

describe('more and less ports', () => {
  test('while it runs, kept over a restart of the container and of the daemon', async () => {
    using world = newWorld();
    {
      await using bench = await start(world);
      const { containers } = bench;
      await containers.create(spec({ name: 'web', host: { PortBindings: { '80/tcp': [binding('8080')] } } }));
      await containers.start('web');
      const pid = containers.get('web').state.process?.pid;
      const dry = await containers.publish('web', [parsePortSpec('8443:443')], { dryRun: true });
      assert.ok(dry.plan.changes.length > 0);
      assert.deepEqual(containers.get('web').hostConfig.PortBindings, { '80/tcp': [binding('8080')] });
      await containers.publish('web', [parsePortSpec('8443:443'), parsePortSpec('8081:80')]);
      assert.deepEqual(containers.get('web').hostConfig.PortBindings, {
        '80/tcp': [binding('8080'), binding('8081')],
        '443/tcp': [binding('8443')],
      });
      assert.equal(containers.get('web').state.process?.pid, pid);
      await containers.unpublish('web', [parsePortSpec('8080:80')]);
      assert.deepEqual(ports(bench, 'web'), ['0.0.0.0:8443->443/tcp', '0.0.0.0:8081->80/tcp']);
    }
    world.kernel.hostPorts.drop();
    await using bench = await start(world);
    assert.deepEqual(ports(bench, 'web').toSorted(), ['0.0.0.0:8081->80/tcp', '0.0.0.0:8443->443/tcp']);
    await bench.containers.restart('web', { timeout: 0 });
    assert.deepEqual(ports(bench, 'web').toSorted(), ['0.0.0.0:8081->80/tcp', '0.0.0.0:8443->443/tcp']);
    await assert.rejects(bench.containers.unpublish('web', [parsePortSpec('8080:80')]), { kind: 'not-found' });
  });

  test('of one that does not run count from its next start', async () => {
    using world = newWorld();
    await using bench = await start(world);
    const { containers } = bench;
    await containers.create(
      spec({ name: 'web', config: { ExposedPorts: { '80/tcp': {}, '81/tcp': {} } }, host: { PublishAllPorts: true } }),
    );
    const added = await containers.publish('web', [parsePortSpec('8443:443')]);
    assert.deepEqual([added.value.ports, added.plan.changes], [[], []]);
    await containers.unpublish('web', [parsePortSpec('81')]);
    await assert.rejects(containers.unpublish('web', [parsePortSpec('81')]), {
      message: "No public port '81/tcp' published for web",
    });
    await containers.start('web');
    assert.deepEqual(ports(bench, 'web').toSorted(), ['0.0.0.0:32768->80/tcp', '0.0.0.0:8443->443/tcp']);
  });
});
