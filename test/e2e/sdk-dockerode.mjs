/** dockerode through a container's life. DOCKER_HOST says where; each step checks what it got. Plain JavaScript, as its users write. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import Docker from 'dockerode';

const docker = new Docker({ socketPath: process.env.DOCKER_HOST.replace('unix://', '') });
assert.equal(String(await docker.ping()), 'OK');

/** Both outputs of a multiplexed stream, when it has ended. */
async function texts(stream) {
  const parts = { stdout: '', stderr: '' };
  const sinks = Object.fromEntries(
    Object.keys(parts).map((name) => [name, new PassThrough().on('data', (data) => (parts[name] += data))]),
  );
  docker.modem.demuxStream(stream, sinks.stdout, sinks.stderr);
  await once(stream, 'end');
  return parts;
}

async function exec(container, ...words) {
  const run = await container.exec({ Cmd: words, AttachStdout: true, AttachStderr: true });
  const output = await texts(await run.start({}));
  const { ExitCode, Running } = await run.inspect();
  assert.equal(Running, false);
  return { ...output, code: ExitCode };
}

const front = await docker.createNetwork({ Name: 'js-front', Driver: 'bridge' });
const config = [{ Subnet: '10.92.0.0/24', Gateway: '10.92.0.1' }];
const back = await docker.createNetwork({ Name: 'js-back', IPAM: { Driver: 'default', Config: config } });
const names = (await docker.listNetworks({ filters: { type: ['custom'] } })).map(({ Name }) => Name);
assert.deepEqual(names.toSorted(), ['js-back', 'js-front']);

let printed = '';
const sink = new PassThrough().on('data', (data) => (printed += data));
const [result] = await docker.run('busybox', ['sh', '-c', 'echo hello; exit 4'], sink, { HostConfig: { AutoRemove: true } });
assert.deepEqual([result.StatusCode, printed], [4, 'hello\r\n'], 'docker.run has a terminal');

const web = await docker.createContainer({
  name: 'js-web',
  Image: 'busybox',
  Cmd: ['sh', '-c', 'echo started; httpd -f -p 80 -h /tmp'],
  Env: ['COLOUR=blue'],
  HostConfig: { NetworkMode: 'js-front', Memory: 64 << 20 },
});
await web.start();
await back.connect({ Container: web.id, EndpointConfig: { IPAMConfig: { IPv4Address: '10.92.0.10' }, Aliases: ['site'] } });
const { NetworkSettings, State } = await web.inspect();
assert.equal(State.Status, 'running');
assert.deepEqual(Object.keys(NetworkSettings.Networks).toSorted(), ['js-back', 'js-front']);
assert.equal(NetworkSettings.Networks['js-back'].IPAddress, '10.92.0.10');
const { Containers } = await back.inspect();
assert.deepEqual(
  Object.values(Containers).map(({ Name, IPv4Address }) => [Name, IPv4Address]),
  [['js-web', '10.92.0.10/24']],
);

assert.deepEqual(await exec(web, 'sh', '-c', 'echo $COLOUR; echo wrong >&2; echo page >/tmp/index.html; exit 5'), {
  stdout: 'blue\n',
  stderr: 'wrong\n',
  code: 5,
});
const client = await docker.createContainer({
  Image: 'busybox',
  Cmd: ['wget', '-q', '-O', '-', 'http://10.92.0.10/'],
  HostConfig: { NetworkMode: 'js-back' },
});
const attached = await client.attach({ stream: true, stdout: true, stderr: true });
await client.start();
assert.deepEqual(await texts(attached), { stdout: 'page\n', stderr: '' });
assert.deepEqual(await client.wait(), { StatusCode: 0 });
await client.remove();

const log = await web.logs({ stdout: true, stderr: true, timestamps: true });
assert.match(log.subarray(8).toString(), /^\d{4}-\d\d-\d\dT\S+Z started\n$/);

const events = await docker.getEvents({ filters: { container: [web.id], event: ['die'] } });
const died = once(events, 'data');
await web.stop({ t: 0 });
const event = JSON.parse(String((await died)[0]));
assert.deepEqual([event.Action, event.Actor.Attributes.name, event.Actor.Attributes.exitCode], ['die', 'js-web', '137']);
events.destroy();

await web.remove();
await assert.rejects(web.inspect(), { statusCode: 404, json: { message: `No such container: ${web.id}` } });
await front.remove();
await back.remove();
assert.deepEqual(await docker.listContainers({ all: true }), []);
process.stdout.write('dockerode: done\n');
