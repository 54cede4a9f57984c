/** Bad input: Docker's words, and nothing made. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { leftovers, newWorld, NOTHING, spec, type SpecOptions, start } from './setup.ts';

interface Refusal {
  readonly asked: SpecOptions;
  readonly kind?: string;
  readonly message: string | RegExp;
}

const REFUSALS: readonly Refusal[] = [
  { asked: { config: { Image: 'nope' } }, kind: 'not-found', message: 'No such image: nope:latest' },
  { asked: { host: { NetworkMode: 'nowhere' } }, kind: 'not-found', message: 'network nowhere not found' },
  { asked: { host: { NetworkMode: 'container:nobody' } }, kind: 'not-found', message: 'No such container: nobody' },
  {
    asked: { host: { NetworkMode: 'container:' } },
    message: 'Invalid network mode: invalid container format container:<name|id>',
  },
  {
    asked: { config: { Hostname: 'x' }, host: { NetworkMode: 'container:a' } },
    message: 'conflicting options: hostname and the network mode',
  },
  { asked: { host: { NetworkMode: 'container:a', Dns: ['1.1.1.1'] } }, message: 'conflicting options: dns and the network mode' },
  {
    asked: { host: { NetworkMode: 'container:a', ExtraHosts: ['a:1.1.1.1'] } },
    message: 'conflicting options: custom host-to-IP mapping and the network mode',
  },
  {
    asked: { host: { NetworkMode: 'container:a' }, networks: [{ network: 'bridge', endpoint: {} }] },
    message: 'container sharing network namespace with another container or host cannot be connected to any other network',
  },
  {
    asked: { host: { NetworkMode: 'host' }, networks: [{ network: 'auto', endpoint: {} }] },
    message: 'container sharing network namespace with another container or host cannot be connected to any other network',
  },
  {
    asked: { host: { NetworkMode: 'none' }, networks: [{ network: 'auto', endpoint: {} }] },
    message: 'container cannot be connected to multiple networks with one of the networks in private (none) mode',
  },
  {
    asked: { host: { NetworkMode: 'auto' }, networks: [{ network: 'auto', endpoint: { ipv4: '192.168.7.10' } }] },
    message: /user specified IP address is supported only when connecting to networks with user configured subnets$/,
  },
  {
    asked: { host: { PortBindings: { '80/tcp': [{ HostIp: '', HostPort: '70000' }] } } },
    message: 'invalid port specification: "70000"',
  },
  { asked: { host: { Links: ['nobody:b'] } }, message: 'could not get container for nobody: No such container: nobody' },
  { asked: { host: { Links: ['a:b:c'] } }, message: 'bad format for links: a:b:c' },
  {
    asked: { host: { NetworkMode: 'auto' }, networks: [{ network: 'auto', endpoint: { links: [':b'] } }] },
    message: /bad format for links: :b$/,
  },
  {
    asked: { host: { AutoRemove: true, RestartPolicy: { Name: 'always', MaximumRetryCount: 0 } } },
    message: "can't create 'AutoRemove' container with restart policy",
  },
  {
    asked: { host: { RestartPolicy: { Name: 'always', MaximumRetryCount: 3 } } },
    message: "invalid restart policy: maximum retry count can only be used with 'on-failure'",
  },
  { asked: { host: { Binds: ['/a:/b:/c:d'] } }, message: "invalid volume specification: '/a:/b:/c:d'" },
  { asked: { host: { Binds: ['/a:/b:oops'] } }, message: "invalid volume specification: '/a:/b:oops': invalid mode: oops" },
  { asked: { host: { Binds: ['/a:b'] } }, message: /mount path must be absolute$/ },
  { asked: { host: { Binds: ['/tmp:/'] } }, message: /invalid specification: destination can't be '\/'$/ },
  { asked: { host: { Binds: ['/tmp:/x', '/var:/x/'] } }, message: 'Duplicate mount point: /x' },
  { asked: { host: { Binds: ['../x:/x'] } }, message: /includes invalid characters for a local volume name/ },
  {
    asked: { host: { Mounts: [{ Type: 'bind', Source: '/does/not/exist', Target: '/x' }] } },
    message: 'invalid mount config for type "bind": bind source path does not exist: /does/not/exist',
  },
  { asked: { host: { Mounts: [{ Type: 'volume', Target: '' }] } }, message: /field Target must not be empty$/ },
  { asked: { host: { Memory: 1024 } }, message: 'Minimum memory limit allowed is 6MB' },
  { asked: { host: { NanoCpus: 1e15 } }, message: /^range of CPUs is from 0\.01 to \d+\.00/ },
  { asked: { host: { Dns: ['x'] } }, message: 'invalid nameserver address: x' },
  { asked: { host: { ExtraHosts: ['nothing'] } }, message: 'bad format for add-host: "nothing"' },
  { asked: { host: { ExtraHosts: ['a:b'] } }, message: 'invalid IP address in add-host: "b"' },
  { asked: { host: { PidMode: 'x' } }, message: 'invalid PID mode: x' },
  {
    asked: { host: { LogConfig: { Type: 'syslog2', Config: {} } } },
    message: "logger: no log driver named 'syslog2' is registered",
  },
  { asked: { config: { WorkingDir: 'x' } }, message: "the working directory 'x' is invalid, it needs to be an absolute path" },
  { asked: { config: { Env: ['=x'] } }, message: 'invalid environment variable: =x' },
  { asked: { config: { StopSignal: 'SIGNOPE' } }, message: 'Invalid signal: SIGNOPE' },
  { asked: { config: { Healthcheck: { Interval: 10 } } }, message: 'Interval in Healthcheck cannot be less than 1ms' },
  { asked: { config: { Entrypoint: [''] } }, message: 'no command specified' },
];

test('what cannot be made is refused before anything is', async () => {
  using world = newWorld();
  await using bench = await start(world);
  await bench.engine.networks.create({ name: 'auto' });
  for (const { asked, kind = 'invalid', message } of REFUSALS) {
    await assert.rejects(bench.containers.create(spec({ name: 'web', ...asked })), { kind, message }, JSON.stringify(asked));
  }
  assert.deepEqual(await leftovers(world), NOTHING);
  await bench.containers.create(spec({ name: 'web' }));
});

test('joining another container: only one that runs, and never itself', async () => {
  using world = newWorld();
  await using bench = await start(world);
  const { containers } = bench;
  await containers.create(spec({ name: 'one', config: { Hostname: 'first' } }));
  await containers.create(spec({ name: 'two', host: { NetworkMode: 'container:one', PidMode: 'container:one' } }));
  await assert.rejects(containers.start('two'), {
    kind: 'conflict',
    message: 'cannot join network namespace of a non running container: container one is created',
  });
  await containers.start('one');
  await containers.start('two');
  const [one, two] = [containers.get('one'), containers.get('two')];
  const request = world.runtime.containers.get(two.id)?.request;
  assert.equal(request?.netns, `/proc/${one.state.process?.pid}/ns/net`);
  assert.equal(request.hostname, 'first');
  assert.equal(request.files['/etc/hosts'], `/exec/sandboxes/${one.id}/hosts`);
  assert.equal(request.shared.pid, `/proc/${one.state.process?.pid}/ns/pid`);
  await assert.rejects(containers.connect('bridge', 'two', {}), {
    kind: 'invalid',
    message: 'container sharing network namespace with another container or host cannot be connected to any other network',
  });
});
