/** The service of containers with the real kernel, conmon and runc. The truth comes from inside the containers and from `ip`. */
import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Containers } from '../../src/contracts/containers.ts';
import type { HostConfig } from '../../src/model/container.ts';
import { eventually, spec, type SpecOptions } from '../containers/setup.ts';
import { instanceFor, names, NEVER, NO_TRACES, output, service, traces } from './containers-lab.ts';
import { at, HERE } from './packets.ts';

const sh = (script: string, options: SpecOptions = {}): ReturnType<typeof spec> =>
  spec({ ...options, config: { Cmd: ['sh', '-c', script], ...options.config } });

const sleeper = (options: SpecOptions = {}): ReturnType<typeof spec> =>
  spec({ ...options, config: { Cmd: ['sleep', '100000'], StopSignal: 'SIGKILL', ...options.config } });

/** Runs a container to its end. */
async function run(
  containers: Containers,
  asked: ReturnType<typeof spec>,
): Promise<{ readonly code: number; readonly out: string }> {
  const { id } = (await containers.create(asked)).container;
  const text = output(await containers.attach(id));
  const ended = containers.wait(id, 'next-exit', NEVER);
  try {
    await containers.start(id);
    const { code } = await ended;
    return { code, out: await text };
  } finally {
    await containers.remove(id, { force: true, volumes: true });
  }
}

async function exec(containers: Containers, reference: string, ...command: readonly string[]): Promise<string> {
  const asked = { command, env: [], user: '', workingDir: '', tty: false, stdin: false, privileged: false };
  return output(await containers.execStart(await containers.execCreate(reference, asked)));
}

const host = (more: Partial<HostConfig>): SpecOptions => ({ host: more });

test('every network mode, as the container itself sees it', async () => {
  await using made = await instanceFor('modes');
  await using one = await service(made);
  const { containers, engine } = one;
  await engine.networks.create({ name: 'my_net2', pools: [{ subnet: '192.168.7.0/24', gateway: '192.168.7.1' }] });
  const links = 'ls /sys/class/net; ip -4 -o addr show; ip route; hostname; cat /etc/hosts';
  const none = await run(containers, sh(links, host({ NetworkMode: 'none' })));
  assert.match(none.out, /^lo\n1: lo +inet 127\.0\.0\.1\/8 [^\n]*\n[0-9a-f]{12}\n/);
  const bridge = await run(containers, sh(links));
  assert.match(bridge.out, /eth0 +inet 172\.\d+\.0\.2\/16/);
  assert.match(bridge.out, /default via 172\.\d+\.0\.1 dev eth0/);
  const fixed = await run(
    containers,
    sh(links, {
      config: { Hostname: 'www', Domainname: 'example.org' },
      host: { NetworkMode: 'my_net2', ExtraHosts: ['db:10.0.0.9'] },
      networks: [{ network: 'my_net2', endpoint: { ipv4: '192.168.7.10', mac: '02:00:00:00:00:07' } }],
    }),
  );
  assert.match(fixed.out, /eth0 +inet 192\.168\.7\.10\/24/);
  assert.match(fixed.out, /\nwww\n127\.0\.0\.1\tlocalhost\n[^]*10\.0\.0\.9\tdb\n192\.168\.7\.10\twww\.example\.org www /);
  const shared = await run(containers, sh('ls /sys/class/net; cat /etc/hostname', host({ NetworkMode: 'host' })));
  const own = (await at(HERE, 'ls', '/sys/class/net')).trim().split('\n');
  assert.deepEqual(shared.out.trim().split('\n').slice(0, -1), own);
  await containers.create(sleeper({ name: 'first', host: { NetworkMode: 'my_net2' } }));
  await containers.start('first');
  const joined = await run(containers, sh('ip -4 -o addr show dev eth0; hostname', host({ NetworkMode: 'container:first' })));
  assert.match(joined.out, /inet 192\.168\.7\.2\/24/);
  await containers.remove('first', { force: true, volumes: true });
  assert.deepEqual(traces(made), NO_TRACES);
});

test('a NIC comes and goes in a live container, with its name and its sysctls', async () => {
  await using made = await instanceFor('nic');
  await using one = await service(made);
  const { containers, engine } = one;
  await engine.networks.create({ name: 'net2', pools: [{ subnet: '10.77.0.0/24' }] });
  await containers.create(sleeper({ name: 'web' }));
  await containers.start('web');
  const options = {
    'com.docker.network.endpoint.ifname': 'lan7',
    'com.docker.network.endpoint.sysctls': 'net.ipv4.conf.IFNAME.log_martians=1',
  };
  await containers.connect('net2', 'web', { ipv4: '10.77.0.7', options, gatewayPriority: 1 });
  assert.match(await exec(containers, 'web', 'ip', '-4', '-o', 'addr', 'show', 'dev', 'lan7'), /10\.77\.0\.7\/24/);
  assert.match(await exec(containers, 'web', 'ip', 'route'), /default via 10\.77\.0\.1 dev lan7/);
  assert.equal(await exec(containers, 'web', 'cat', '/proc/sys/net/ipv4/conf/lan7/log_martians'), '1\n');
  assert.match(await exec(containers, 'web', 'cat', '/etc/hosts'), /10\.77\.0\.7\t/, 'the mounted file changes with it');
  await containers.disconnect('net2', 'web', { force: false });
  assert.match(await exec(containers, 'web', 'ip', 'route'), /default via 172\./);
  assert.doesNotMatch(await exec(containers, 'web', 'cat', '/etc/hosts'), /10\.77\.0\.7/);
  assert.deepEqual(await engine.reconcile(), []);
  const kept = `${made.execRoot}/containers/${containers.get('web').id}/exec`;
  await eventually(() => assert.deepEqual(names(kept), [], 'an exec that has ended leaves nothing'));
});

test('twenty at once, and hundreds in a row, leave nothing', async () => {
  await using made = await instanceFor('many');
  await using one = await service(made);
  const { containers } = one;
  const fds = (): number => readdirSync('/proc/self/fd').length;
  const twenty = await Promise.all(
    Array.from({ length: 20 }, (_, i) => run(containers, sh(`echo ${i}; exit ${i}`, { host: { AutoRemove: false } }))),
  );
  assert.deepEqual(
    twenty.map(({ code, out }) => [code, out]),
    Array.from({ length: 20 }, (_, i) => [i, `${i}\n`]),
  );
  await eventually(() => assert.deepEqual(traces(made), NO_TRACES));
  const before = fds();
  for (let i = 0; i < 30; i++) {
    const { id } = (await containers.create(sh('true', host({ AutoRemove: true })))).container;
    const removed = containers.wait(id, 'removed', NEVER);
    await containers.start(id);
    assert.equal((await removed).code, 0);
  }
  assert.deepEqual(traces(made), NO_TRACES);
  assert.ok(fds() <= before, 'no descriptor stays open');
  assert.deepEqual(containers.list(), []);
});

test('archive calls reach volumes, whether the container runs or not; other parts of the host never', async () => {
  await using made = await instanceFor('cp');
  await using one = await service(made);
  const { containers } = one;
  const { container } = await containers.create(sleeper({ name: 'web', host: { Binds: ['data:/srv/data'] } }));
  const volume = container.mounts[0]?.source ?? '';
  const put = async (name: string): Promise<void> => {
    const { root, done } = await containers.root('web');
    try {
      writeFileSync(`${root}/srv/data/${name}`, 'x');
    } finally {
      await done();
      await done();
    }
  };
  await put('stopped');
  await containers.start('web');
  await put('running');
  assert.deepEqual((await exec(containers, 'web', 'ls', '/srv/data')).trim().split('\n'), ['running', 'stopped']);
  assert.deepEqual(readdirSync(volume).toSorted(), ['running', 'stopped']);
  await containers.remove('web', { force: true, volumes: true });
  assert.deepEqual(readdirSync(volume).toSorted(), ['running', 'stopped'], 'a named volume outlives the container');
  assert.deepEqual(traces(made), NO_TRACES);
});
