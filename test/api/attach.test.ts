/** Connections that stop being HTTP: attach and exec, on real sockets. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { frame } from '../../src/docker/stream/frames.ts';
import { eventually } from '../containers/setup.ts';
import { type ContainerApi, startContainerApi } from '../support/container-api.ts';

const UPGRADE = 'Connection: Upgrade\r\nUpgrade: tcp\r\n';

async function made(api: ContainerApi, config: object = {}): Promise<string> {
  const answer = await api.call('POST', '/containers/create?name=box', { Image: 'busybox', OpenStdin: true, ...config });
  assert.equal(answer.status, 201, answer.text);
  return (answer.json() as { Id: string }).Id;
}

async function running(api: ContainerApi, config: object = {}): Promise<string> {
  const id = await made(api, config);
  assert.equal((await api.call('POST', `/containers/${id}/start`)).status, 204);
  return id;
}

const attachText = (query: string, headers = UPGRADE, version = '/v1.51'): string =>
  `POST ${version}/containers/box/attach?${query} HTTP/1.1\r\nHost: d\r\n${headers}Content-Length: 0\r\n\r\n`;

const ALL = 'stream=1&stdin=1&stdout=1&stderr=1';

test('attach upgrades, frames both outputs, carries input and its end, and closes when the output has', async () => {
  await using api = await startContainerApi();
  await running(api, { StdinOnce: true });
  const connection = await api.open(attachText(ALL));
  assert.equal(
    connection.head,
    'HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n',
  );
  const [process] = api.runtime.attached;
  assert.ok(process);
  connection.socket.write('one ');
  connection.socket.end('two');
  let input = '';
  for await (const chunk of process.stdin) input += String(chunk);
  assert.equal(input, 'one two');
  process.stdout.write('out');
  await eventually(() => assert.equal(connection.data().length, 11));
  process.stderr.write('err');
  await eventually(() => assert.equal(connection.data().length, 22));
  // The client has closed its half long ago; what the process says still arrives, to the last byte.
  process.stdout.end(Buffer.alloc(300_000, 'x'));
  process.stderr.end();
  const rest = await connection.rest;
  const big = rest.subarray(22);
  assert.deepEqual(
    rest.subarray(0, 22),
    Buffer.concat([frame('stdout', Buffer.from('out')), frame('stderr', Buffer.from('err'))]),
  );
  assert.equal(big.filter((byte) => byte === 120).length, 300_000);
});

test('without an upgrade: 200 and the socket all the same', async () => {
  await using api = await startContainerApi();
  await running(api, { StdinOnce: true });
  const connection = await api.open(attachText(ALL, ''));
  assert.equal(connection.head, 'HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n');
  const [process] = api.runtime.attached;
  assert.ok(process);
  // Bytes that are no HTTP: nothing may parse them.
  connection.socket.end('GET / HTTP/9.9\r\n\r\n\0\u0001');
  let input = '';
  for await (const chunk of process.stdin) input += String(chunk);
  assert.equal(input, 'GET / HTTP/9.9\r\n\r\n\0\u0001');
  process.stdout.end('bye');
  process.stderr.end();
  assert.deepEqual(await connection.rest, frame('stdout', Buffer.from('bye')));
});

test('input may be the body of the request, in chunks', async () => {
  await using api = await startContainerApi();
  await running(api, { StdinOnce: true });
  const connection = await api.open(
    `POST /containers/box/attach?${ALL} HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n`,
  );
  assert.match(connection.head, /^HTTP\/1.1 200 OK\r\n/);
  const [process] = api.runtime.attached;
  assert.ok(process);
  connection.socket.write('2\r\nde\r\n0\r\n\r\n');
  let input = '';
  for await (const chunk of process.stdin) input += String(chunk);
  assert.equal(input, 'abcde');
  process.stdout.end();
  process.stderr.end('done');
  assert.deepEqual(await connection.rest, frame('stderr', Buffer.from('done')));
});

test('a terminal has no frames, and its keys detach without the process noticing', async () => {
  await using api = await startContainerApi();
  await running(api, { Tty: true });
  const connection = await api.open(attachText(`${ALL}&detachKeys=ctrl-a,x`));
  assert.match(connection.head, /Content-Type: application\/vnd.docker.raw-stream/);
  const [process] = api.runtime.attached;
  assert.ok(process);
  process.stdout.write('$ ');
  await eventually(() => assert.equal(connection.data().toString(), '$ '));
  const input: Buffer[] = [];
  process.stdin.on('data', (chunk: Buffer) => input.push(chunk));
  connection.socket.write('ls\r\u0001');
  connection.socket.write('\u0001x');
  await connection.rest;
  assert.equal(Buffer.concat(input).toString(), 'ls\r\u0001');
  assert.equal(process.closed, true);
  const state = (await api.call('GET', '/containers/box/json')).json() as { State: { Running: boolean } };
  assert.equal(state.State.Running, true);
});

test('attached before the start, as docker run does: nothing of the output is lost', async () => {
  await using api = await startContainerApi();
  await made(api);
  const connection = await api.open(attachText('stream=1&stdout=1&stderr=1'));
  // What the process says before `start` has answered.
  api.runtime.onAttach = () => api.runtime.attached.at(-1)?.stdout.end('first words');
  assert.equal((await api.call('POST', '/containers/box/start')).status, 204);
  api.runtime.attached.at(-1)?.stderr.end();
  assert.deepEqual(await connection.rest, frame('stdout', Buffer.from('first words')));
});

test('refusals of attach are ordinary answers, also to an upgrade', async () => {
  await using api = await startContainerApi();
  const none = await api.open(attachText(ALL));
  assert.match(none.head, /^HTTP\/1.1 404 Not Found\r\n/);
  assert.deepEqual(JSON.parse((await none.rest).toString()), { message: 'No such container: box' });
  await running(api);
  const keys = await api.open(attachText(`${ALL}&detachKeys=ctrl-1`));
  assert.match(keys.head, /^HTTP\/1.1 400 /);
  assert.deepEqual(JSON.parse((await keys.rest).toString()), { message: 'Invalid detach keys (ctrl-1) provided' });
  await api.call('POST', '/containers/box/pause');
  const paused = await api.open(attachText(ALL));
  assert.match(paused.head, /^HTTP\/1.1 409 /);
  assert.equal((await api.call('GET', '/containers/box/attach/ws')).status, 501);
});

test('the end of the daemon ends the connection and not the process', async () => {
  await using api = await startContainerApi();
  await running(api);
  const connection = await api.open(attachText(ALL));
  api.stop();
  assert.equal((await connection.rest).length, 0);
  assert.equal(api.bench.containers.get('box').state.status, 'running');
});

test('logs=1 gives first what was written before', async () => {
  await using api = await startContainerApi();
  await running(api);
  api.log.push({ stream: 'stderr', time: '2026-11-30T12:00:00Z', data: Buffer.from('old\n') });
  const connection = await api.open(attachText('logs=1&stdout=1&stderr=1'));
  assert.deepEqual(await connection.rest, frame('stderr', Buffer.from('old\n')));
});

async function execId(api: ContainerApi, body: object): Promise<string> {
  const answer = await api.call('POST', '/containers/box/exec', { Cmd: ['sh', '-c', 'x'], AttachStdout: true, ...body });
  assert.equal(answer.status, 201, answer.text);
  return (answer.json() as { Id: string }).Id;
}

const startText = (id: string, body: object): string => {
  const text = JSON.stringify(body);
  return `POST /v1.51/exec/${id}/start HTTP/1.1\r\nHost: d\r\n${UPGRADE}Content-Type: application/json\r\nContent-Length: ${text.length}\r\n\r\n${text}`;
};

test('exec: created, connected to with a body in the upgrade, inspected with its exit code', async () => {
  await using api = await startContainerApi();
  await running(api);
  const id = await execId(api, { AttachStdin: true, User: 'nobody', Env: ['A=1'], WorkingDir: '/tmp', DetachKeys: 'ctrl-d' });
  const connection = await api.open(`${startText(id, { Detach: false, Tty: false })}early`);
  assert.match(connection.head, /^HTTP\/1.1 101 UPGRADED\r\n/);
  const process = api.runtime.attached.at(-1);
  assert.ok(process);
  connection.socket.end();
  let input = '';
  for await (const chunk of process.stdin) input += String(chunk);
  assert.equal(input, 'early');
  process.stdout.end('out');
  process.stderr.end();
  assert.deepEqual(await connection.rest, frame('stdout', Buffer.from('out')));
  api.runtime.endExec([...api.runtime.execs.keys()][0] ?? assert.fail(), 3);
  await eventually(() => assert.equal(api.bench.containers.execGet(id).exitCode, 3));
  const { ContainerID: _, Pid: pid, ...rest } = (await api.call('GET', `/exec/${id}/json`)).json() as Record<string, unknown>;
  assert.equal(typeof pid, 'number');
  assert.deepEqual(rest, {
    ID: id,
    Running: false,
    ExitCode: 3,
    ProcessConfig: { tty: false, entrypoint: 'sh', arguments: ['-c', 'x'], privileged: false, user: 'nobody' },
    OpenStdin: true,
    OpenStderr: true,
    OpenStdout: true,
    CanRemove: false,
    DetachKeys: 'ctrl-d',
  });
});

test('exec: detached, with a size, unknown, twice, without a command', async () => {
  await using api = await startContainerApi();
  await running(api);
  const id = await execId(api, { Tty: true });
  const started = await api.call('POST', `/exec/${id}/start`, { Detach: true, Tty: true, ConsoleSize: [40, 100] });
  assert.equal(started.status, 200, started.text);
  assert.deepEqual(api.runtime.sizes, [{ rows: 40, columns: 100 }]);
  assert.equal(api.runtime.attached.at(-1)?.closed, true);
  assert.equal((await api.call('POST', `/exec/${id}/start`, {})).status, 409);
  assert.equal((await api.call('POST', `/exec/${id}/resize?h=10&w=20`)).status, 200);
  assert.deepEqual(api.runtime.sizes.at(-1), { rows: 10, columns: 20 });
  assert.equal((await api.call('POST', `/exec/${id}/resize?h=10&w=x`)).status, 400);
  const missing = await api.call('POST', '/exec/nope/start', {});
  assert.deepEqual([missing.status, missing.json()], [404, { message: 'No such exec instance: nope' }]);
  const empty = await api.call('POST', '/containers/box/exec', { Cmd: [] });
  assert.deepEqual([empty.status, empty.json()], [400, { message: 'No exec command specified' }]);
  const size = await api.call('POST', `/exec/${id}/start`, { ConsoleSize: [1, 2] });
  assert.deepEqual([size.status, size.json()], [400, { message: 'console size is only supported when TTY is enabled' }]);
});

test('exec: a command that cannot be run is told in the stream, and by its exit code', async () => {
  await using api = await startContainerApi();
  await running(api);
  const id = await execId(api, {});
  const text = 'OCI runtime exec failed: exec: "x": executable file not found in $PATH: unknown';
  api.runtime.failing.set('exec', new Error(text));
  const connection = await api.open(startText(id, {}));
  assert.match(connection.head, /^HTTP\/1.1 101 /);
  assert.deepEqual(await connection.rest, frame('stdout', Buffer.from(`${text}\r\n`)));
  assert.equal(((await api.call('GET', `/exec/${id}/json`)).json() as { ExitCode: number }).ExitCode, 127);
});

test('a client that goes away lets the streams go', async () => {
  await using api = await startContainerApi();
  await running(api);
  const connection = await api.open(attachText('stream=1&stdout=1&stderr=1'));
  connection.socket.destroy();
  await once(connection.socket, 'close');
  const [process] = api.runtime.attached;
  assert.ok(process);
  // A UNIX socket tells it only when something is written.
  const timer = setInterval(() => process.stdout.write('x'), 5);
  await eventually(() => assert.equal(process.closed, true));
  clearInterval(timer);
});
