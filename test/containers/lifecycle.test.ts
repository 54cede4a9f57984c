/** Create, start, end, remove: states, events, and what is left. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MoorError } from '../../src/base/errors.ts';
import { eventually, leftovers, newWorld, NOTHING, only, spec, start } from './setup.ts';

const NEVER = new AbortController().signal;

test('a container comes, runs, ends and goes without a trace', async () => {
  using world = newWorld();
  await using bench = await start(world);
  const { containers } = bench;
  const { container } = await containers.create(spec({ name: 'web', config: { Labels: { mine: '1' } } }));
  assert.equal(container.state.status, 'created');
  assert.deepEqual(container.config.Labels, { from: 'image', mine: '1' });
  assert.deepEqual(container.config.Cmd, ['sh']);
  assert.equal(container.config.Hostname, container.id.slice(0, 12));
  assert.equal(await containers.start('web'), true);
  assert.equal(await containers.start('/web'), false);
  const running = containers.get(container.id.slice(0, 12));
  assert.equal(running.state.status, 'running');
  assert.ok(running.state.process);
  const request = world.runtime.containers.get(container.id)?.request;
  assert.equal(request?.netns, `/exec/netns/${container.id.slice(0, 12)}`);
  assert.equal(request.files['/etc/hosts'], `/exec/sandboxes/${container.id}/hosts`);
  assert.equal(bench.engine.sandboxes.get('web').id, container.id);
  const waiting = containers.wait('web', 'not-running', NEVER);
  world.runtime.end(container.id, 3);
  assert.equal((await waiting).code, 3);
  const ended = containers.get('web').state;
  assert.deepEqual([ended.status, ended.exitCode, ended.process], ['exited', 3, null]);
  assert.throws(() => bench.engine.sandboxes.get('web'), { kind: 'not-found' });
  assert.equal((await containers.wait('web', 'not-running', NEVER)).code, 3);
  const removed = containers.wait('web', 'removed', NEVER);
  await containers.remove('web', { force: false, volumes: false });
  assert.equal((await removed).code, 3);
  assert.throws(() => containers.get('web'), { kind: 'not-found', message: 'No such container: web' });
  assert.deepEqual(await leftovers(world), NOTHING);
  assert.deepEqual(bench.actions(), ['container create', 'container start', 'container die', 'container destroy']);
  const die = bench.events.find(({ action }) => action === 'die');
  assert.deepEqual(die?.attributes, {
    from: 'image',
    mine: '1',
    exitCode: '3',
    execDuration: '0',
    image: 'busybox',
    name: 'web',
  });
});

test('--rm: gone when it has ended, and whoever waits for that is told the exit code', async () => {
  using world = newWorld();
  await using bench = await start(world);
  const { containers } = bench;
  const { container } = await containers.create(spec({ host: { AutoRemove: true } }));
  const removed = containers.wait(container.id, 'removed', NEVER);
  await containers.start(container.id);
  world.runtime.end(container.id, 7);
  assert.equal((await removed).code, 7);
  assert.deepEqual(await leftovers(world), NOTHING);
});

test('a start that fails at any step undoes all of it, says why, and can be tried again', async () => {
  const cases: readonly {
    readonly step: 'create' | 'start' | 'root' | 'network';
    readonly error: Error;
    readonly exitCode: number;
    readonly kind: string;
  }[] = [
    {
      step: 'create',
      error: new MoorError('invalid', 'OCI runtime create failed: exec: "nope": executable file not found in $PATH: unknown'),
      exitCode: 127,
      kind: 'invalid',
    },
    {
      step: 'create',
      error: new MoorError('internal', 'OCI runtime create failed: exec: "/etc": permission denied: unknown'),
      exitCode: 126,
      kind: 'invalid',
    },
    { step: 'start', error: new MoorError('internal', 'OCI runtime start failed: it broke'), exitCode: 128, kind: 'internal' },
    { step: 'root', error: new MoorError('unavailable', 'no space left'), exitCode: 128, kind: 'unavailable' },
    { step: 'network', error: new MoorError('conflict', ''), exitCode: 128, kind: 'conflict' },
  ];
  for (const { step, error, exitCode, kind } of cases) {
    using world = newWorld();
    await using bench = await start(world);
    const { containers, engine } = bench;
    await engine.networks.create({ name: 'net1', pools: [{ subnet: '10.9.0.0/24' }] });
    const holder = (await engine.sandboxes.create({ networks: [{ network: 'net1', endpoint: { ipv4: '10.9.0.9' } }] })).value;
    const endpoint = step === 'network' ? { ipv4: '10.9.0.9' } : {};
    const { container } = await containers.create(
      spec({ name: 'web', host: { NetworkMode: 'net1' }, networks: [{ network: 'net1', endpoint }] }),
    );
    const before = await leftovers(world);
    if (step === 'root') world.roots.failure = error;
    else if (step !== 'network') world.runtime.failing.set(step, error);
    const late = await containers.attach('web');
    const ended = late.stdout.resume();
    await assert.rejects(containers.start('web'), { kind, ...(step === 'network' ? {} : { message: error.message }) }, step);
    await eventually(() => assert.equal(ended.readableEnded, true));
    const { state } = containers.get('web');
    assert.deepEqual([state.status, state.exitCode, state.process], ['created', exitCode, null], step);
    assert.notEqual(state.error, '');
    assert.deepEqual(await leftovers(world), before, step);
    world.roots.failure = null;
    world.runtime.failing.clear();
    await engine.sandboxes.remove(holder.id);
    await containers.start('web');
    assert.deepEqual([containers.get('web').state.status, containers.get('web').state.error], ['running', ''], step);
    await containers.remove(container.id, { force: true, volumes: true });
    assert.deepEqual(await leftovers(world), NOTHING, step);
  }
});

test('--rm: a start that fails leaves nothing', async () => {
  using world = newWorld();
  await using bench = await start(world);
  world.runtime.failing.set('create', new MoorError('internal', 'OCI runtime create failed'));
  const { container } = await bench.containers.create(spec({ host: { AutoRemove: true } }));
  await assert.rejects(bench.containers.start(container.id), { kind: 'internal' });
  assert.deepEqual(await leftovers(world), NOTHING);
});

test('stop: its signal, the wait, then SIGKILL; a stopped one is left alone', async () => {
  using world = newWorld();
  await using bench = await start(world);
  const { containers } = bench;
  await containers.create(spec({ name: 'web', config: { StopSignal: 'SIGUSR1' } }));
  assert.equal(await containers.stop('web', { timeout: null }), false);
  await containers.start('web');
  assert.equal(await containers.stop('web', { timeout: null }), true);
  assert.deepEqual(world.runtime.signals, [10]);
  assert.equal(containers.get('web').state.exitCode, 138);
  await containers.start('web');
  world.runtime.ignored.add(10);
  assert.equal(await containers.stop('web', { timeout: 0 }), true);
  assert.deepEqual(world.runtime.signals, [10, 10, 9]);
  assert.equal(containers.get('web').state.exitCode, 137);
  const tail = bench.actions().slice(-4);
  assert.deepEqual(tail, ['container kill', 'container kill', 'container die', 'container stop']);
});

test('kill: any signal by name or number; errors in words that Docker users know', async () => {
  using world = newWorld();
  await using bench = await start(world);
  const { containers } = bench;
  const { id } = (await containers.create(spec({ name: 'web' }))).container;
  await assert.rejects(containers.kill('web', 'KILL'), {
    kind: 'conflict',
    message: `cannot kill container: web: container ${id} is not running`,
  });
  await containers.start('web');
  world.runtime.ignored.add(1).add(37);
  await containers.kill('web', 'sighup');
  await containers.kill('web', 'RTMIN+3');
  for (const text of ['NOPE', '0', '65', 'SIGRTMAX+1', '-1']) {
    await assert.rejects(containers.kill('web', text), { kind: 'invalid', message: `Invalid signal: ${text}` });
  }
  await containers.kill('web', '9');
  assert.deepEqual(world.runtime.signals, [1, 37, 9]);
  assert.equal(containers.get('web').state.status, 'exited');
});

test('pause: frozen and told, woken by what ends it', async () => {
  using world = newWorld();
  await using bench = await start(world);
  const { containers } = bench;
  const { id } = (await containers.create(spec({ name: 'web' }))).container;
  await assert.rejects(containers.pause('web'), { kind: 'conflict', message: `container ${id} is not running` });
  await containers.start('web');
  await assert.rejects(containers.unpause('web'), { message: `Container ${id} is not paused` });
  await containers.pause('web');
  assert.equal(containers.get('web').state.status, 'paused');
  await assert.rejects(containers.pause('web'), { message: `Container ${id} is already paused` });
  await assert.rejects(containers.start('web'), {
    kind: 'conflict',
    message: 'cannot start a paused container, try unpause instead',
  });
  await assert.rejects(containers.remove('web', { force: false, volumes: false }), {
    message:
      'cannot remove container "web": container is paused: unpause and then stop the container before removing or force remove',
  });
  await containers.unpause('web');
  await containers.pause('web');
  await containers.stop('web', { timeout: 1 });
  assert.equal(containers.get('web').state.status, 'exited');
});

test('names: one holder, also against sandboxes; rename reaches the network', async () => {
  using world = newWorld();
  await using bench = await start(world);
  const { containers, engine } = bench;
  const { id } = (await containers.create(spec({ name: 'web' }))).container;
  const taken = new RegExp(`^Conflict\\. The container name "/web" is already in use by container "${id}"`);
  await assert.rejects(containers.create(spec({ name: 'web' })), { kind: 'conflict', message: taken });
  await assert.rejects(engine.sandboxes.create({ name: 'web' }), { kind: 'conflict', message: taken });
  await engine.sandboxes.create({ name: 'bare' });
  await assert.rejects(containers.create(spec({ name: 'bare' })), { kind: 'conflict', message: /"\/bare" is already in use/ });
  await assert.rejects(containers.create(spec({ name: 'x y' })), { kind: 'invalid', message: /Invalid container name \(x y\)/ });
  await containers.start('web');
  await assert.rejects(containers.rename('web', 'bare'), {
    kind: 'conflict',
    message: /^Error when allocating new name: Conflict/,
  });
  await assert.rejects(containers.rename('web', 'web'), { kind: 'invalid' });
  await containers.rename('web', 'www');
  assert.equal(containers.get('www').id, id);
  assert.equal(engine.sandboxes.get('www').id, id);
  assert.throws(() => containers.get('web'), { kind: 'not-found' });
  await engine.sandboxes.create({ name: 'web' });
  const { container } = await containers.create(spec());
  assert.match(container.name, /^[a-z]+_[a-z]+/);
});

test('attach before the start sees everything, and ends with the process', async () => {
  using world = newWorld();
  await using bench = await start(world);
  const { containers } = bench;
  await containers.create(spec({ name: 'web', config: { OpenStdin: true } }));
  const streams = await containers.attach('web');
  assert.ok(streams.stdin);
  await containers.start('web');
  const live = await containers.attach('web');
  const chunks: string[] = [];
  streams.stdout.on('data', (chunk: Buffer) => chunks.push(chunk.toString()));
  live.stdout.resume();
  world.runtime.containers.get(only(world))?.output.write('hello');
  await eventually(() => assert.deepEqual(chunks, ['hello']));
  world.runtime.end(only(world), 0);
  await eventually(() => assert.equal(streams.stdout.readableEnded, true));
});

test('twenty at once, and their removal', async () => {
  using world = newWorld();
  await using bench = await start(world);
  const { containers } = bench;
  await bench.engine.networks.create({ name: 'net1' });
  const made = await Promise.all(
    Array.from({ length: 20 }, (_, i) => containers.create(spec({ name: `c${i}`, host: { NetworkMode: 'net1' } }))),
  );
  await Promise.all(made.map(({ container }) => containers.start(container.id)));
  const addresses = new Set(bench.engine.sandboxes.list().map(({ endpoints }) => endpoints[0]?.ipv4));
  assert.equal(addresses.size, 20);
  await Promise.all(made.map(({ container }) => containers.remove(container.id, { force: true, volumes: true })));
  assert.deepEqual(await leftovers(world), NOTHING);
});

test('two that remove or start one container at the same moment', async () => {
  using world = newWorld();
  await using bench = await start(world);
  const { containers } = bench;
  await containers.create(spec({ name: 'web' }));
  assert.deepEqual(await Promise.all([containers.start('web'), containers.start('web')]), [true, false]);
  const results = await Promise.allSettled([
    containers.remove('web', { force: true, volumes: true }),
    containers.remove('web', { force: true, volumes: true }),
  ]);
  assert.deepEqual(results.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected']);
  assert.deepEqual(await leftovers(world), NOTHING);
});

test('update: limits reach the process, and are checked', async () => {
  using world = newWorld();
  await using bench = await start(world);
  const { containers } = bench;
  await containers.create(spec({ name: 'web' }));
  await containers.start('web');
  await containers.update('web', {
    Memory: 64 << 20,
    MemorySwap: 128 << 20,
    RestartPolicy: { Name: 'always', MaximumRetryCount: 0 },
  });
  assert.deepEqual(world.runtime.updates, [{ Memory: 64 << 20, MemorySwap: 128 << 20 }]);
  assert.equal(containers.get('web').hostConfig.RestartPolicy.Name, 'always');
  await assert.rejects(containers.update('web', { Memory: 1000 }), {
    kind: 'invalid',
    message: 'Minimum memory limit allowed is 6MB',
  });
});

test('prune: what does not run and is accepted', async () => {
  using world = newWorld();
  await using bench = await start(world);
  const { containers } = bench;
  for (const name of ['running', 'created', 'kept']) await containers.create(spec({ name }));
  await containers.start('running');
  const { ids, reclaimed } = await containers.prune(({ name }) => name !== 'kept');
  assert.deepEqual([ids.length, reclaimed], [1, 100]);
  assert.deepEqual(
    containers.list().map(({ name }) => name),
    ['running', 'kept'],
  );
});

test('top: the rows of its processes', async () => {
  using world = newWorld();
  await using bench = await start(world);
  const { containers } = bench;
  await containers.create(spec({ name: 'web' }));
  await containers.start('web');
  const { titles, processes } = await containers.top('web', ['-o', 'pid,comm']);
  assert.deepEqual(titles, ['PID', 'COMMAND']);
  assert.deepEqual(
    processes.map(([pid]) => pid),
    [String(process.pid)],
  );
  await assert.rejects(containers.top('web', ['-o', 'comm']), { message: "Couldn't find PID field in ps output" });
});
