// test-timeout: 240 s
/** A daemon that goes, in order or by `kill -9`: containers go on, ends are noticed, and nothing stays half-made. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { silentLogger } from '../../src/base/clock.ts';
import type { Plan } from '../../src/contracts/change.ts';
import { createKernel } from '../../src/kernel/kernel.ts';
import { type Instance, tableName } from '../../src/model/instance.ts';
import { processes } from '../../src/main/daemon/processes.ts';
import { spec, eventually } from '../containers/setup.ts';
import { instanceFor, names, NEVER, NO_TRACES, service, traces } from './containers-lab.ts';

const shell = (script: string): ReturnType<typeof spec>['config'] => spec({ config: { Cmd: ['sh', '-c', script] } }).config;

test('a container goes on without a daemon; its output is complete, its exit code true, its policy kept', async () => {
  await using made = await instanceFor('out');
  let pid: number | undefined;
  {
    await using one = await service(made);
    const { containers } = one;
    await containers.create({
      ...spec({ name: 'web' }),
      config: shell('i=0; while [ -z "$go" ]; do echo $i; i=$((i+1)); sleep 0.01; done'),
    });
    await containers.create({ ...spec({ name: 'short' }), config: shell('sleep 1; exit 42') });
    const host = { RestartPolicy: { Name: 'always', MaximumRetryCount: 0 } } as const;
    await containers.create({ ...spec({ name: 'again', host }), config: shell('sleep 1; sleep 100000') });
    for (const name of ['web', 'short', 'again']) await containers.start(name);
    pid = containers.get('web').state.process?.pid;
    const again = containers.get('again').state.process;
    assert.ok(again);
    process.kill(again.pid, 'SIGSTOP');
    await one[Symbol.asyncDispose]();
    process.kill(again.pid, 'SIGKILL');
    await eventually(() => assert.equal(processes.alive(again), false));
  }
  await new Promise((resolve) => setTimeout(resolve, 1200));
  await using two = await service(made);
  const { containers } = two;
  assert.equal(containers.get('web').state.process?.pid, pid);
  const short = containers.get('short').state;
  assert.deepEqual([short.status, short.exitCode], ['exited', 42]);
  await eventually(() => assert.equal(containers.get('again').state.status, 'running'));
  assert.equal(containers.get('again').state.exitCode, 0);
  await containers.stop('web', { timeout: 0 });
  let lines = '';
  for await (const { data } of containers.logs('web', { follow: true, tail: 'all', since: null, until: null }, NEVER)) {
    lines += Buffer.from(data).toString('utf8');
  }
  const numbers = lines.trim().split('\n').map(Number);
  assert.ok(numbers.length > 50);
  assert.deepEqual(
    numbers,
    numbers.map((_, i) => i),
  );
  for (const { id } of containers.list()) await containers.remove(id, { force: true, volumes: true });
  assert.deepEqual(traces(made), NO_TRACES);
});

test('a start that was killed when its plan was applied and no journal row told of it is swept', async () => {
  await using made = await instanceFor('un');
  let plan: Plan;
  {
    await using one = await service(made);
    ({ plan } = await one.engine.sandboxes.create({ name: 'web', networks: [{ network: 'bridge' }] }, { dryRun: true }));
    assert.deepEqual(traces(made), NO_TRACES);
  }
  {
    await using kernel = await createKernel({ instance: made, tableName: tableName(made), logger: silentLogger });
    const applied = await kernel.apply(plan.changes);
    assert.ok(applied.every(({ state }) => state !== 'failed'));
  }
  assert.equal(traces(made).sandboxes?.length, 1);
  await using two = await service(made);
  assert.deepEqual(traces(made), NO_TRACES);
  assert.deepEqual(two.logger.messages('error'), []);
});

/** Runs the child until it is killed. @returns its report */
async function killed({ dataRoot, execRoot }: Instance, round: number): Promise<string[]> {
  const child = spawn(process.execPath, [`${import.meta.dirname}/containers-kill.child.ts`, dataRoot, execRoot, String(round)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exit = once(child, 'exit');
  const lines: string[] = [];
  const end = 5 + ((round * 7) % 11);
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line);
    if (lines.length === end) setTimeout(() => child.kill('SIGKILL'), (round * 13) % 60);
  }
  await exit;
  return lines;
}

/** MOOR_KILLS=50 for the long run. */
const KILLS = Number(process.env['MOOR_KILLS'] ?? 6);

test(`killed ${KILLS} times in the middle of random operations`, async () => {
  await using made = await instanceFor('kc');
  for (let round = 0; round < KILLS; round++) {
    const lines = await killed(made, round);
    assert.ok(lines.some((line) => line.startsWith('ok')));
    assert.deepEqual(
      lines.filter((line) => line.startsWith('fault')),
      [],
      `round ${round}`,
    );
    await using next = await service(made);
    const { containers, engine, runtime } = next;
    const up = containers.list().filter(({ state }) => state.status === 'running');
    for (const { state } of containers.list()) assert.ok(['created', 'running', 'exited'].includes(state.status), state.status);
    for (const { state } of up) assert.ok(state.process !== null && processes.alive(state.process));
    const ids = up.map(({ id }) => id).toSorted();
    assert.deepEqual((await runtime.known()).toSorted(), ids, `round ${round}: in the runtime`);
    assert.deepEqual(
      engine.sandboxes
        .list()
        .map(({ id }) => id)
        .toSorted(),
      ids,
      `round ${round}: sandboxes`,
    );
    assert.deepEqual(names(`${made.execRoot}/sandboxes`).toSorted(), ids, `round ${round}: files`);
    const layers = containers.list().map(({ id }) => id);
    const found = names(`${made.dataRoot}/containers`);
    assert.deepEqual(
      found.filter((id) => !layers.some((one) => one === id)),
      [],
      `round ${round}: layers`,
    );
    const volumes = containers.volumes.list().map(({ name }) => name);
    assert.deepEqual(
      names(`${made.dataRoot}/volumes`).filter((name) => !volumes.includes(name)),
      [],
      `round ${round}: volumes`,
    );
    // What the engine cannot undo of a plan because it was never done is the engine's matter.
    const errors = next.logger.messages('error').filter((line) => !line.startsWith('could not undo: '));
    assert.deepEqual(errors, [], `round ${round}`);
  }
  await using last = await service(made);
  for (const { id } of last.containers.list()) await last.containers.remove(id, { force: true, volumes: true });
  assert.deepEqual(traces(made), NO_TRACES);
});
