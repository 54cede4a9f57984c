/** Restart policies, health checks, execs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MoorError } from '../../src/base/errors.ts';
import { nextHealth, probeCommand } from '../../src/containers/service/health.ts';
import { nextDelay, shouldRestart, shouldStartWithDaemon } from '../../src/containers/service/restart-policy.ts';
import { TIMES } from '../../src/containers/service/context.ts';
import type { ExecRequest } from '../../src/contracts/containers.ts';
import type { Container, HealthState, RestartPolicy } from '../../src/model/container.ts';
import { eventually, newWorld, spec, start } from './setup.ts';

const policy = (Name: RestartPolicy['Name'], MaximumRetryCount = 0): { readonly RestartPolicy: RestartPolicy } => ({
  RestartPolicy: { Name, MaximumRetryCount },
});

test('when to start again', async () => {
  using world = newWorld();
  await using bench = await start(world);
  const base = (await bench.containers.create(spec())).container;
  const of = (name: RestartPolicy['Name'], more: Partial<Container> = {}, count = 0): Container => ({
    ...base,
    ...more,
    hostConfig: { ...base.hostConfig, ...policy(name, count) },
  });
  assert.equal(shouldRestart(of('no'), 1), false);
  assert.equal(shouldRestart(of('always'), 0), true);
  assert.equal(shouldRestart(of('always', { stoppedByUser: true }), 0), false);
  assert.equal(shouldRestart(of('on-failure'), 0), false);
  assert.equal(shouldRestart(of('on-failure'), 1), true);
  assert.equal(shouldRestart(of('on-failure', { restartCount: 2 }, 3), 1), true);
  assert.equal(shouldRestart(of('on-failure', { restartCount: 3 }, 3), 1), false);
  const ended = { state: { ...base.state, status: 'exited' } } as const;
  assert.equal(shouldStartWithDaemon(of('always', { stoppedByUser: true, ...ended })), true);
  assert.equal(shouldStartWithDaemon(of('unless-stopped', { stoppedByUser: true, ...ended })), false);
  assert.equal(shouldStartWithDaemon(of('unless-stopped', ended)), true);
  let delay = 0;
  const delays = Array.from({ length: 12 }, () => (delay = nextDelay(delay, 50, TIMES)));
  assert.deepEqual(delays.slice(0, 4), [100, 200, 400, 800]);
  assert.equal(delays.at(-1), 60_000);
  assert.equal(nextDelay(60_000, 10_001, TIMES), 100);
});

test('on-failure: so many times, then it stays ended', async () => {
  using world = newWorld();
  await using bench = await start(world);
  const { containers } = bench;
  const { id } = (await containers.create(spec({ name: 'web', host: policy('on-failure', 2) }))).container;
  await containers.start('web');
  for (const count of [1, 2]) {
    const pid = containers.get('web').state.process?.pid;
    world.runtime.end(id, 1);
    await eventually(() => {
      const { state, restartCount } = containers.get('web');
      assert.deepEqual([state.status, restartCount], ['running', count]);
      assert.notEqual(state.process?.pid, pid);
    });
  }
  world.runtime.end(id, 1);
  await eventually(() => assert.equal(containers.get('web').state.status, 'exited'));
  assert.equal(containers.get('web').restartCount, 2);
});

test('a stop while the policy waits calls the restart off; a failing start ends it', async () => {
  using world = newWorld();
  const slow = { restartFirst: 60_000 };
  {
    await using bench = await start(world, {
      deps: { config: { dataRoot: world.directory, execRoot: world.directory, times: slow } },
    });
    const { containers } = bench;
    const { id } = (await containers.create(spec({ name: 'web', host: policy('always') }))).container;
    await containers.start('web');
    world.runtime.end(id, 1);
    await eventually(() => assert.equal(containers.get('web').state.status, 'restarting'));
    await assert.rejects(containers.remove('web', { force: false, volumes: false }), { message: /container is restarting/ });
    assert.equal(await containers.start('web'), false);
    assert.equal(await containers.stop('web', { timeout: 0 }), true);
    assert.equal(containers.get('web').state.status, 'exited');
    await containers.remove('web', { force: false, volumes: false });
  }
  await using bench = await start(world);
  const { containers } = bench;
  const { id } = (await containers.create(spec({ name: 'web', host: policy('always') }))).container;
  await containers.start('web');
  world.runtime.failing.set('create', new MoorError('internal', 'OCI runtime create failed'));
  world.runtime.end(id, 1);
  await eventually(() => {
    const { status, error } = containers.get('web').state;
    assert.deepEqual([status, error], ['exited', 'OCI runtime create failed']);
  });
});

test('health: words of a test, and the state after each result', () => {
  assert.deepEqual(probeCommand({ Test: ['CMD', 'a', 'b'] }), ['a', 'b']);
  assert.deepEqual(probeCommand({ Test: ['CMD-SHELL', 'a b'] }), ['/bin/sh', '-c', 'a b']);
  assert.equal(probeCommand({ Test: ['NONE'] }), null);
  assert.equal(probeCommand({ Test: [] }), null);
  const entry = (exitCode: number): HealthState['log'][number] => ({ start: '', end: '', exitCode, output: '' });
  const fresh: HealthState = { status: 'starting', failingStreak: 0, log: [] };
  const young = nextHealth(fresh, { entry: entry(1), young: true, retries: 1 });
  assert.deepEqual([young.status, young.failingStreak, young.log.length], ['starting', 0, 1]);
  let state = nextHealth(young, { entry: entry(0), young: true, retries: 2 });
  assert.equal(state.status, 'healthy');
  state = nextHealth(state, { entry: entry(1), young: true, retries: 2 });
  assert.deepEqual([state.status, state.failingStreak], ['healthy', 1], 'once healthy, the start period is over');
  state = nextHealth(state, { entry: entry(1), young: false, retries: 2 });
  assert.equal(state.status, 'unhealthy');
  for (let i = 0; i < 9; i++) state = nextHealth(state, { entry: entry(0), young: false, retries: 2 });
  assert.deepEqual([state.status, state.failingStreak, state.log.length], ['healthy', 0, 5]);
});

test('health: a probe runs in the container, its result is told, and it ends with the container', async () => {
  using world = newWorld();
  await using bench = await start(world);
  const { containers } = bench;
  const Healthcheck = { Test: ['CMD-SHELL', 'test -e /ok'], Interval: 2e6, StartInterval: 2e6, Retries: 2 };
  const { id } = (await containers.create(spec({ name: 'web', config: { Healthcheck } }))).container;
  let code = 0;
  const asked: (readonly string[])[] = [];
  world.runtime.onExec = ({ id: exec, command }: ExecRequest): void => {
    asked.push(command);
    setImmediate(() => world.runtime.endExec(exec, code, 'said'));
  };
  await containers.start('web');
  assert.equal(containers.get('web').state.health?.status, 'starting');
  await eventually(() => assert.equal(containers.get('web').state.health?.status, 'healthy'));
  assert.equal(containers.get('web').state.health?.log[0]?.output, 'said');
  await eventually(() => assert.ok(world.runtime.execs.size <= 1, 'a probe that has ended leaves nothing'));
  code = 1;
  await eventually(() => assert.equal(containers.get('web').state.health?.status, 'unhealthy'));
  assert.deepEqual(asked[0], ['/bin/sh', '-c', 'test -e /ok']);
  await eventually(() =>
    assert.deepEqual(
      bench.actions().filter((action) => action.includes('health')),
      ['container health_status: healthy', 'container health_status: unhealthy'],
    ),
  );
  world.runtime.end(id, 0);
  await eventually(() => assert.equal(containers.get('web').state.status, 'exited'));
  const before = asked.length;
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(asked.length, before);
});

test('health: a probe that hangs is killed and counts as failed', async () => {
  using world = newWorld();
  await using bench = await start(world);
  const { containers } = bench;
  const Healthcheck = { Test: ['CMD', 'sleep'], Interval: 2e6, StartInterval: 2e6, Timeout: 5e6, Retries: 1 };
  await containers.create(spec({ name: 'web', config: { Healthcheck } }));
  await containers.start('web');
  await eventually(() => assert.equal(containers.get('web').state.health?.status, 'unhealthy'));
  const { health } = containers.get('web').state;
  assert.match(health?.log[0]?.output ?? '', /^Health check exceeded timeout \(0\.005s\)$/);
  assert.equal(health?.log[0]?.exitCode, -1);
});

const EXEC = { command: ['ls', '-l'], env: [], user: '', workingDir: '', tty: false, stdin: false, privileged: false };

test('exec: prepared, started once, its code told', async () => {
  using world = newWorld();
  await using bench = await start(world);
  const { containers } = bench;
  const { id } = (await containers.create(spec({ name: 'web', config: { User: 'nobody' } }))).container;
  await assert.rejects(containers.execCreate('web', EXEC), { kind: 'conflict', message: `container ${id} is not running` });
  await containers.start('web');
  await assert.rejects(containers.execCreate('web', { ...EXEC, command: [] }), { message: 'No exec command specified' });
  const exec = await containers.execCreate('web', EXEC);
  assert.deepEqual([containers.execGet(exec).running, containers.execGet(exec).exitCode], [false, null]);
  const streams = await containers.execStart(exec);
  assert.equal(world.runtime.execs.get(exec)?.request.user, 'nobody');
  assert.equal(containers.execGet(exec).running, true);
  await assert.rejects(containers.execStart(exec), {
    kind: 'conflict',
    message: `Error: Exec command ${exec} is already running`,
  });
  const chunks: string[] = [];
  streams.stdout.on('data', (chunk: Buffer) => chunks.push(chunk.toString()));
  // A client asks for the exit code when the output has ended.
  const atEnd: (number | null)[] = [];
  streams.stdout.once('end', () => atEnd.push(containers.execGet(exec).exitCode));
  world.runtime.endExec(exec, 4, 'listed');
  await eventually(() => {
    assert.deepEqual([containers.execGet(exec).running, containers.execGet(exec).exitCode], [false, 4]);
    assert.deepEqual([chunks, atEnd], [['listed'], [4]]);
  });
  await assert.rejects(containers.execStart(exec), { kind: 'conflict', message: `Error: Exec command ${exec} has already run` });
  assert.deepEqual(bench.actions().slice(-3), [
    'container exec_create: ls -l',
    'container exec_start: ls -l',
    'container exec_die',
  ]);
  assert.throws(() => containers.execGet('nope'), { kind: 'not-found', message: 'No such exec instance: nope' });
  const other = await containers.execCreate('web', EXEC);
  world.runtime.failing.set(
    'exec',
    new MoorError('invalid', 'OCI runtime exec failed: "ls": executable file not found in $PATH'),
  );
  await assert.rejects(containers.execStart(other), { kind: 'invalid' });
  assert.equal(containers.execGet(other).exitCode, 127);
  await containers.pause('web');
  await assert.rejects(containers.execCreate('web', EXEC), {
    message: 'Container web is paused, unpause the container before exec',
  });
  await containers.remove('web', { force: true, volumes: true });
  assert.throws(() => containers.execGet(exec), { kind: 'not-found' });
});
