/** `/containers` over the real service: shapes, filters, statuses and texts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ContainerInspectResponse, ContainerSummary, ContainerWaitResponse } from '@docker/node-sdk';
import { eventually, IMAGE } from '../containers/setup.ts';
import { type ContainerApi, startContainerApi } from '../support/container-api.ts';

interface Made {
  readonly Id: string;
  readonly Warnings: readonly string[];
}

const createIn =
  (version: string) =>
  async (api: ContainerApi, name: string, body: object = {}): Promise<Made> => {
    const answer = await api.call('POST', `/v${version}/containers/create?name=${name}`, { Image: 'busybox', ...body });
    assert.equal(answer.status, 201, answer.text);
    return answer.json() as Made;
  };
const create = createIn('1.51');

async function run(api: ContainerApi, name: string, body: object = {}): Promise<Made> {
  const made = await create(api, name, body);
  const answer = await api.call('POST', `/containers/${name}/start`);
  assert.equal(answer.status, 204, answer.text);
  return made;
}

async function refused(api: ContainerApi, path: string, body?: object): Promise<readonly [number, string]> {
  const answer = await api.call('POST', path, body);
  return [answer.status, (answer.json() as { message: string }).message];
}

async function names(api: ContainerApi, query: string): Promise<readonly string[]> {
  const answer = await api.call('GET', `/containers/json?${query}`);
  assert.equal(answer.status, 200, answer.text);
  return (answer.json() as ContainerSummary[]).flatMap(({ Names }) => Names ?? []);
}

const filter = (value: object): string => `filters=${encodeURIComponent(JSON.stringify(value))}`;

async function inspect(api: ContainerApi, name: string): Promise<ContainerInspectResponse> {
  return (await api.call('GET', `/containers/${name}/json`)).json() as ContainerInspectResponse;
}

test('a running container on the default network, inspected', async () => {
  await using api = await startContainerApi();
  const { Id, Warnings } = await run(api, 'web', {
    Cmd: ['httpd', '-f'],
    Entrypoint: ['/bin/busybox'],
    Env: ['A=1'],
    Labels: { owner: 'me' },
    ExposedPorts: { '80/tcp': {}, '53/udp': {} },
    HostConfig: { Binds: ['/tmp:/data:ro'], Memory: 64 << 20, RestartPolicy: { Name: 'always' }, CapAdd: ['NET_ADMIN'] },
  });
  assert.deepEqual(Warnings, []);
  const info = await inspect(api, Id.slice(0, 12));
  assert.equal(info.Id, Id);
  assert.equal(info.Name, '/web');
  assert.deepEqual([info.Path, info.Args], ['/bin/busybox', ['httpd', '-f']]);
  assert.equal(info.Image, IMAGE.id);
  assert.equal(info.State?.Status, 'running');
  assert.equal(info.State?.Running, true);
  assert.ok((info.State?.Pid ?? 0) > 0);
  assert.equal(String(info.State?.FinishedAt), '0001-01-01T00:00:00Z');
  assert.deepEqual(info.Config?.Env, ['A=1', 'PATH=/bin']);
  assert.deepEqual(info.Config?.Labels, { from: 'image', owner: 'me' });
  assert.equal(info.Config?.Hostname, Id.slice(0, 12));
  assert.equal(info.HostConfig?.NetworkMode, 'bridge');
  assert.deepEqual(info.HostConfig?.CapAdd, ['NET_ADMIN']);
  assert.deepEqual(info.HostConfig?.RestartPolicy, { Name: 'always', MaximumRetryCount: 0 });
  assert.equal(info.HostConfig?.Memory, 64 << 20);
  assert.ok(info.HostConfig?.MaskedPaths?.includes('/proc/kcore'));
  assert.deepEqual(info.Mounts, [
    { Type: 'bind', Source: '/tmp', Destination: '/data', Mode: 'ro', RW: false, Propagation: 'rprivate' },
  ]);
  assert.deepEqual(info.NetworkSettings?.Ports, { '53/udp': null, '80/tcp': null });
  const bridge = info.NetworkSettings?.Networks?.['bridge'];
  assert.equal(bridge?.IPAddress, '172.17.0.2');
  assert.equal(bridge?.Gateway, '172.17.0.1');
  assert.equal(bridge?.IPPrefixLen, 16);
  assert.match(bridge?.MacAddress ?? '', /^[0-9a-f:]{17}$/);
  assert.equal((info.NetworkSettings as { IPAddress?: string }).IPAddress, '172.17.0.2');
  assert.match(String(info.HostsPath), /hosts$/);
  // Beside a bare sandbox, which is a container too.
  await api.bench.engine.sandboxes.create({ name: 'bare' });
  assert.deepEqual((await names(api, 'all=1')).toSorted(), ['/bare', '/web']);
  assert.deepEqual(await names(api, ''), ['/web']);
});

test('a stopped container shows what it will ask for; its end has a code and a time', async () => {
  await using api = await startContainerApi();
  await api.call('POST', '/networks/create', { Name: 'neta', IPAM: { Config: [{ Subnet: '10.7.0.0/24' }] } });
  await api.call('POST', '/networks/create', { Name: 'netb' });
  const { Id } = await create(api, 'box', {
    HostConfig: { NetworkMode: 'netb' },
    NetworkingConfig: {
      EndpointsConfig: {
        neta: { IPAMConfig: { IPv4Address: '10.7.0.9' }, Aliases: ['db'], GwPriority: 5 },
        netb: { MacAddress: '02:42:0a:00:00:01' },
      },
    },
  });
  const before = await inspect(api, 'box');
  assert.equal(before.State?.Status, 'created');
  assert.deepEqual(Object.keys(before.NetworkSettings?.Networks ?? {}), ['netb', 'neta']);
  assert.deepEqual(before.NetworkSettings?.Networks?.['neta']?.IPAMConfig, { IPv4Address: '10.7.0.9' });
  assert.equal((await api.call('POST', '/containers/box/start')).status, 204);
  assert.equal((await api.call('POST', '/containers/box/start')).status, 304);
  const live = (await inspect(api, 'box')).NetworkSettings?.Networks;
  assert.equal(live?.['neta']?.IPAddress, '10.7.0.9');
  assert.equal(live?.['netb']?.MacAddress, '02:42:0a:00:00:01');
  assert.deepEqual(live?.['neta']?.Aliases, ['db']);
  const old = (await api.call('GET', '/v1.41/containers/box/json')).json() as ContainerInspectResponse;
  assert.deepEqual(old.NetworkSettings?.Networks?.['neta']?.Aliases, ['db', Id.slice(0, 12)]);
  const wait = api.call('POST', '/containers/box/wait');
  api.runtime.end(api.bench.containers.get(Id).id, 7);
  assert.deepEqual(((await wait).json() as ContainerWaitResponse).StatusCode, 7);
  const after = await inspect(api, 'box');
  assert.deepEqual([after.State?.Status, after.State?.ExitCode, after.State?.Running, after.State?.Pid], ['exited', 7, false, 0]);
  const [row] = (await api.call('GET', '/containers/json?all=1')).json() as ContainerSummary[];
  assert.match(row?.Status ?? '', /^Exited \(7\) /);
  assert.equal((await api.call('POST', '/containers/box/stop')).status, 304);
});

test('wait sends its head at once, as docker run starts the container only then', async () => {
  await using api = await startContainerApi();
  await create(api, 'box');
  const connection = await api.open(
    'POST /v1.51/containers/box/wait?condition=next-exit HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n',
  );
  assert.match(connection.head, /^HTTP\/1.1 200 OK\r\n/);
  await api.call('POST', '/containers/box/start');
  await api.call('POST', '/containers/box/kill?signal=KILL');
  assert.deepEqual(api.runtime.signals, [9]);
  await eventually(() => assert.match(connection.data().toString(), /\{"StatusCode":137\}\n/));
  connection.socket.destroy();
  assert.deepEqual(await refused(api, '/containers/box/wait?condition=x'), [400, 'invalid condition: "x"']);
  assert.deepEqual(await refused(api, '/containers/nope/wait'), [404, 'No such container: nope']);
});

test('stop, restart, kill, pause, rename, update, resize, top, remove: words and statuses', async () => {
  await using api = await startContainerApi();
  await run(api, 'box', { Tty: true });
  assert.equal((await api.call('POST', '/containers/box/pause')).status, 204);
  assert.match((await inspect(api, 'box')).State?.Status ?? '', /paused/);
  assert.equal((await api.call('POST', '/containers/box/unpause')).status, 204);
  assert.equal((await api.call('POST', '/containers/box/rename?name=crate')).status, 204);
  assert.deepEqual(await refused(api, '/containers/crate/rename?name='), [400, 'Neither old nor new names may be empty']);
  const updated = await api.call('POST', '/containers/crate/update', { Memory: 32 << 20, RestartPolicy: { Name: 'no' } });
  assert.deepEqual([updated.status, updated.json()], [200, { Warnings: null }]);
  assert.equal((await inspect(api, 'crate')).HostConfig?.Memory, 32 << 20);
  assert.equal((await api.call('POST', '/containers/crate/resize?h=50&w=132')).status, 200);
  assert.deepEqual(api.runtime.sizes, [{ rows: 50, columns: 132 }]);
  const top = await api.call('GET', '/containers/crate/top?ps_args=-o%20pid,comm');
  assert.deepEqual((top.json() as { Titles: string[] }).Titles, ['PID', 'COMMAND']);
  const conflict = await api.call('DELETE', '/containers/crate');
  assert.equal(conflict.status, 409, conflict.text);
  assert.equal((await api.call('POST', '/containers/crate/restart?t=0')).status, 204);
  assert.equal((await api.call('POST', '/containers/crate/stop?t=0&signal=SIGINT')).status, 204);
  assert.ok(api.runtime.signals.includes(2));
  const id = api.bench.containers.get('crate').id;
  assert.deepEqual(await refused(api, '/containers/crate/kill'), [
    409,
    `cannot kill container: crate: container ${id} is not running`,
  ]);
  assert.deepEqual(await refused(api, '/containers/nope/kill'), [404, 'cannot kill container: nope: No such container: nope']);
  assert.equal((await refused(api, '/containers/crate/kill?signal=SIGNOPE'))[0], 400);
  assert.equal((await refused(api, '/containers/crate/stop?t=soon'))[0], 400);
  assert.equal((await api.call('DELETE', '/containers/crate?v=1')).status, 204);
  assert.equal((await api.call('GET', '/containers/crate/json')).status, 404);
});

test('create: what is wrong, in use, missing, or not built', async () => {
  await using api = await startContainerApi();
  await create(api, 'taken');
  const cases: readonly (readonly [object | undefined, string, number, RegExp])[] = [
    [undefined, 'a', 400, /^invalid JSON: got EOF while reading request body$/],
    [{ Image: 'nope' }, 'a', 404, /^No such image: nope:latest$/],
    [{ Image: 'busybox' }, 'taken', 409, /already in use/],
    [{ Image: 'busybox' }, 'a%20b', 400, /Invalid container name/],
    [
      { Image: 'busybox', HostConfig: { PortBindings: { '80/tcp': [{ HostPort: 'x' }] } } },
      'a',
      400,
      /^invalid port specification: "x"$/,
    ],
    [{ Image: 'busybox', HostConfig: { PortBindings: { 'x/tcp': [] } } }, 'a', 400, /^invalid port specification: "x"$/],
    [{ Image: 'busybox', HostConfig: { PortBindings: { '80-81/tcp': [] } } }, 'a', 400, /^invalid port specification: "80-81"$/],
    [{ Image: 'busybox', HostConfig: { PortBindings: { '80/x': [] } } }, 'a', 400, /^invalid proto: x$/],
    [{ Image: 'busybox', HostConfig: { PortBindings: { '80/tcp': [{ HostIp: 'x' }] } } }, 'a', 400, /^invalid IP address: x$/],
    [{ Image: 'busybox', HostConfig: { VolumesFrom: ['x'] } }, 'a', 501, /--volumes-from/],
    [{ Image: 'busybox', HostConfig: { DeviceRequests: [{ Count: -1 }] } }, 'a', 501, /--gpus/],
    [{ Image: 'busybox', HostConfig: { CgroupnsMode: 'private' } }, 'a', 501, /--cgroupns/],
    [{ Image: 'busybox', HostConfig: { Runtime: 'kata' } }, 'a', 501, /--runtime/],
    [{ Image: 'busybox', HostConfig: { MaskedPaths: [] } }, 'a', 501, /systempaths/],
    [{ Image: 'busybox', HostConfig: { Mounts: [{ Type: 'image', Target: '/x' }] } }, 'a', 501, /type image/],
    [{ Image: 'busybox', HostConfig: { Mounts: [{ Type: 'disk', Target: '/x' }] } }, 'a', 400, /mount type unknown/],
    [
      { Image: 'busybox', HostConfig: { Mounts: [{ Type: 'bind', Source: '/', Target: '/x', VolumeOptions: {} }] } },
      'a',
      400,
      /^VolumeOptions must not be specified on mount type "bind"$/,
    ],
    [{ Image: 'busybox', HostConfig: { RestartPolicy: { Name: 'often' } } }, 'a', 400, /unknown policy 'often'/],
    [{ Image: 'busybox', HostConfig: { NetworkMode: 'nonet' } }, 'a', 400, /^network nonet not found$/],
    [{ Image: 'busybox', HostConfig: { NetworkMode: 'container:nope' } }, 'a', 400, /^No such container: nope$/],
    [{ Image: 'busybox', ExposedPorts: { '99999/tcp': {} } }, 'a', 400, /^Invalid port: "99999\/tcp"$/],
    [{ Image: 'busybox', Cmd: 3 }, 'a', 400, /^invalid JSON: Cmd: expected array, got number$/],
    [{ Image: 'busybox', HostConfig: { Sysctls: { 'net.ipv4.conf.eth0.forwarding': '1' } } }, 'a', 400, /driver option/],
    [
      {
        Image: 'busybox',
        MacAddress: '02:42:ac:11:00:09',
        NetworkingConfig: { EndpointsConfig: { x: {} } },
        HostConfig: { NetworkMode: 'y' },
      },
      'a',
      400,
      /must match the identity/,
    ],
  ];
  for (const [body, name, status, text] of cases) {
    const answer = await api.call('POST', `/v1.51/containers/create?name=${name}`, body);
    assert.equal(answer.status, status, `${JSON.stringify(body)}: ${answer.text}`);
    assert.match((answer.json() as { message: string }).message, text);
  }
  assert.deepEqual(await names(api, 'all=1'), ['/taken']);
});

test('create: what older API versions say differently', async () => {
  await using api = await startContainerApi();
  await api.call('POST', '/networks/create', { Name: 'neta' });
  const mac = await createIn('1.43')(api, 'mac', { MacAddress: '02:42:ac:11:00:09' });
  assert.deepEqual(mac.Warnings, []);
  await createIn('1.40')(api, 'listed', { NetworkingConfig: { EndpointsConfig: { neta: {} } } });
  const sysctl = await createIn('1.45')(api, 'sysctl', {
    HostConfig: { Sysctls: { 'net.ipv4.conf.eth0.forwarding': '1', 'net.core.somaxconn': '9' } },
  });
  assert.deepEqual(sysctl.Warnings, [
    'Migrated sysctl "net.ipv4.conf.eth0.forwarding" to DriverOpts{"com.docker.network.endpoint.sysctls":"net.ipv4.conf.IFNAME.forwarding=1"}.',
  ]);
  assert.equal((await inspect(api, 'mac')).NetworkSettings?.Networks?.['bridge']?.MacAddress, '02:42:ac:11:00:09');
  assert.deepEqual(Object.keys((await inspect(api, 'listed')).NetworkSettings?.Networks ?? {}), ['neta']);
  const moved = await inspect(api, 'sysctl');
  assert.deepEqual(moved.HostConfig?.Sysctls, { 'net.core.somaxconn': '9' });
  const newer = await create(api, 'newer', { MacAddress: '02:42:ac:11:00:0a' });
  assert.match(newer.Warnings[0] ?? '', /MacAddress field is now deprecated/);
  const several = await api.call('POST', '/v1.43/containers/create', {
    Image: 'busybox',
    NetworkingConfig: { EndpointsConfig: { neta: {}, bridge: {} } },
  });
  assert.equal(several.status, 400);
});

test('none, host and another container as network', async () => {
  await using api = await startContainerApi();
  const none = await run(api, 'none', { HostConfig: { NetworkMode: 'none' } });
  await run(api, 'host', { HostConfig: { NetworkMode: 'host' } });
  await run(api, 'joined', { HostConfig: { NetworkMode: 'container:none' } });
  assert.deepEqual(Object.keys((await inspect(api, 'none')).NetworkSettings?.Networks ?? {}), ['none']);
  assert.deepEqual(Object.keys((await inspect(api, 'host')).NetworkSettings?.Networks ?? {}), ['host']);
  assert.equal((await inspect(api, 'host')).NetworkSettings?.SandboxKey, '');
  const joined = await inspect(api, 'joined');
  assert.deepEqual(joined.NetworkSettings?.Networks, {});
  assert.equal(joined.HostConfig?.NetworkMode, `container:${none.Id}`);
});

test('filters of the list', async () => {
  await using api = await startContainerApi();
  await api.call('POST', '/networks/create', { Name: 'neta' });
  await run(api, 'up', { Labels: { tier: 'web' }, ExposedPorts: { '80/tcp': {} }, HostConfig: { Binds: ['/tmp:/data'] } });
  await run(api, 'linked', { HostConfig: { NetworkMode: 'neta' } });
  await create(api, 'made');
  await run(api, 'gone');
  api.runtime.end(api.bench.containers.get('gone').id, 3);
  await api.call('POST', '/containers/gone/wait');
  const by = async (value: object, more = ''): Promise<readonly string[]> =>
    (await names(api, `${filter(value)}${more}`)).toSorted();
  assert.deepEqual(await by({ status: ['exited'] }), ['/gone']);
  assert.deepEqual(await by({ status: { created: true, exited: true } }), ['/gone', '/made']);
  assert.deepEqual(await by({ exited: ['3'] }), ['/gone']);
  assert.deepEqual(await by({ exited: ['4'] }), []);
  assert.deepEqual(await by({ label: ['tier=web'] }), ['/up']);
  assert.deepEqual(await by({ name: ['^/up$'] }), ['/up']);
  assert.deepEqual(await by({ network: ['neta'] }), ['/linked']);
  assert.deepEqual(await by({ volume: ['/data'] }), ['/up']);
  assert.deepEqual(await by({ ancestor: ['busybox'] }, '&all=1'), ['/gone', '/linked', '/made', '/up']);
  assert.deepEqual(await by({ ancestor: ['nope'] }, '&all=1'), []);
  assert.deepEqual(await by({ health: ['none'] }), ['/linked', '/up']);
  assert.deepEqual(await by({ expose: ['70-90/tcp'] }), ['/up']);
  assert.deepEqual(await by({ expose: ['80/udp'] }), []);
  assert.deepEqual(await by({ publish: ['80'] }), []);
  assert.deepEqual(await by({ before: ['linked'] }), ['/up']);
  assert.deepEqual(await by({ since: ['linked'] }), ['/gone', '/made']);
  assert.deepEqual(await by({ 'is-task': ['true'] }, '&all=1'), []);
  assert.deepEqual(await names(api, 'limit=1'), ['/gone']);
  for (const bad of [{ nope: ['x'] }, { status: ['up'] }, { exited: ['x'] }, { health: ['good'] }, { expose: ['x'] }]) {
    assert.equal((await api.call('GET', `/containers/json?${filter(bad)}`)).status, 400, JSON.stringify(bad));
  }
  assert.equal((await api.call('GET', `/containers/json?${filter({ since: ['nope'] })}`)).status, 404);
  const [row] = (await api.call('GET', `/containers/json?size=1&${filter({ name: ['up'] })}`)).json() as ContainerSummary[];
  assert.deepEqual([row?.Image, row?.Command, row?.State, row?.SizeRw, row?.SizeRootFs], ['busybox', 'sh', 'running', 100, 115]);
  assert.deepEqual(row?.Ports, [{ PrivatePort: 80, Type: 'tcp' }]);
});

test('logs: frames or raw, tail, times, a range, and what is refused', async () => {
  await using api = await startContainerApi();
  await run(api, 'box');
  api.log.push(
    { stream: 'stdout', time: '2026-11-30T14:00:00.5+02:00', data: Buffer.from('one\n') },
    { stream: 'stderr', time: '2026-11-30T12:00:01.123456789Z', data: Buffer.from('tw') },
    { stream: 'stderr', time: '2026-11-30T12:00:02Z', data: Buffer.from('o\n') },
  );
  const logs = await api.call(
    'GET',
    '/v1.51/containers/box/logs?stdout=1&stderr=1&timestamps=1&tail=20&since=1700000000.000000001',
  );
  assert.equal(logs.headers['content-type'], 'application/vnd.docker.multiplexed-stream');
  assert.equal(
    logs.text,
    '\x01\0\0\0\0\0\0\x232026-11-30T12:00:00.500000000Z one\n'.replace('\x23', String.fromCharCode(35)) +
      `\x02\0\0\0\0\0\0${String.fromCharCode(33)}2026-11-30T12:00:01.123456789Z tw\x02\0\0\0\0\0\0\x02o\n`,
  );
  assert.deepEqual(api.logQueries.at(-1), { follow: false, tail: 20, since: '2023-11-14T22:13:20.000000001Z', until: null });
  const old = await api.call('GET', '/v1.41/containers/box/logs?stderr=1&tail=all');
  assert.equal(old.headers['content-type'], 'application/vnd.docker.raw-stream');
  assert.equal(old.text, '\x02\0\0\0\0\0\0\x02tw\x02\0\0\0\0\0\0\x02o\n');
  assert.equal(api.logQueries.at(-1)?.tail, 'all');
  const none = await api.call('GET', '/containers/box/logs');
  assert.deepEqual([none.status, none.json()], [400, { message: 'Bad parameters: you must choose at least one stream' }]);
  assert.equal((await api.call('GET', '/containers/box/logs?stdout=1&since=then')).status, 400);
  assert.equal((await api.call('GET', '/containers/nope/logs?stdout=1')).status, 404);
  await run(api, 'term', { Tty: true });
  assert.equal((await api.call('GET', '/containers/term/logs?stdout=1')).text, 'one\n');
});

test('logs that are followed arrive as they come and end with the client', async () => {
  await using api = await startContainerApi();
  await run(api, 'box');
  api.log.push({ stream: 'stdout', time: '2026-11-30T12:00:00Z', data: Buffer.from('one\n') });
  const connection = await api.open('GET /containers/box/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: d\r\n\r\n');
  assert.match(connection.head, /^HTTP\/1.1 200 OK\r\n/);
  connection.socket.destroy();
});

test('stats: once, of what does not run, and two samples for a rate', async () => {
  await using api = await startContainerApi();
  await run(api, 'box');
  const once = (await api.call('GET', '/containers/box/stats?stream=0&one-shot=1')).json() as Record<string, unknown>;
  assert.equal(once['name'], '/box');
  assert.deepEqual(once['memory_stats'], { usage: 7 });
  assert.equal(once['preread'], '0001-01-01T00:00:00Z');
  const two = (await api.call('GET', '/containers/box/stats?stream=0')).json() as Record<string, unknown>;
  assert.deepEqual(two['precpu_stats'], { cpu_usage: { total_usage: 5 } });
  assert.notEqual(two['preread'], '0001-01-01T00:00:00Z');
  await create(api, 'idle');
  const idle = (await api.call('GET', '/containers/idle/stats?stream=0')).json() as Record<string, unknown>;
  assert.deepEqual(idle['memory_stats'], {});
});

test('files: stat, read, write, export, changes', async () => {
  await using api = await startContainerApi();
  await create(api, 'box');
  const head = await api.call('HEAD', '/containers/box/archive?path=/etc/hosts');
  const stat = { name: 'hosts', size: 5, mode: 420, mtime: '2026-01-01T00:00:00Z', linkTarget: '' };
  const decoded = (text: unknown): unknown => JSON.parse(Buffer.from(String(text), 'base64').toString()) as unknown;
  assert.deepEqual([head.status, decoded(head.headers['x-docker-container-path-stat'])], [200, stat]);
  const read = await api.call('GET', '/containers/box/archive?path=/etc/hosts');
  assert.deepEqual([read.text, read.headers['content-type']], ['tar of /etc/hosts', 'application/x-tar']);
  assert.deepEqual(decoded(read.headers['x-docker-container-path-stat']), stat);
  // More than any JSON body may have, and of a type that is no JSON.
  const big = 'x'.repeat(3 << 20);
  const put = await api.call('PUT', '/containers/box/archive?path=/etc', big, { 'content-type': 'application/x-tar' });
  assert.equal(put.status, 200, put.text);
  assert.deepEqual(api.written, [{ path: '/etc', data: big }]);
  assert.equal((await api.call('GET', '/containers/box/archive?path=/nope')).status, 404);
  assert.equal((await api.call('PUT', '/containers/box/archive?path=/nope', big)).status, 404);
  assert.equal((await api.call('GET', '/containers/box/archive')).status, 400);
  assert.equal((await api.call('GET', '/containers/box/export')).text, 'tar of all');
  assert.deepEqual((await api.call('GET', '/containers/box/changes')).json(), [{ Path: '/etc/new', Kind: 1 }]);
  assert.deepEqual([...api.bench.world.roots.mounted], []);
});

test('prune, connect and disconnect of live and of stopped containers', async () => {
  await using api = await startContainerApi();
  await api.call('POST', '/networks/create', { Name: 'neta', IPAM: { Config: [{ Subnet: '10.7.0.0/24' }] } });
  await run(api, 'live');
  await create(api, 'idle', { Labels: { keep: '1' } });
  for (const name of ['live', 'idle']) {
    const answer = await api.call('POST', '/networks/neta/connect', { Container: name, EndpointConfig: { Aliases: ['x'] } });
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(Object.keys((await inspect(api, name)).NetworkSettings?.Networks ?? {}).sort(), ['bridge', 'neta']);
  }
  await api.call('POST', '/networks/neta/connect', { Container: 'idle' });
  const taken = (await inspect(api, 'live')).NetworkSettings?.Networks?.['neta']?.IPAddress;
  await api.bench.engine.sandboxes.create({ name: 'bare' });
  const clash = await api.call('POST', '/networks/neta/connect', {
    Container: 'bare',
    EndpointConfig: { IPAMConfig: { IPv4Address: taken } },
  });
  assert.equal(clash.status, 403, clash.text);
  for (const name of ['live', 'idle']) {
    assert.equal((await api.call('POST', '/networks/neta/disconnect', { Container: name })).status, 200);
    assert.deepEqual(Object.keys((await inspect(api, name)).NetworkSettings?.Networks ?? {}), ['bridge']);
  }
  await create(api, 'idle2');
  const pruned = await api.call('POST', `/containers/prune?${filter({ 'label!': ['keep'] })}`);
  const { ContainersDeleted, SpaceReclaimed } = pruned.json() as { ContainersDeleted: string[]; SpaceReclaimed: number };
  assert.deepEqual([ContainersDeleted.length, SpaceReclaimed], [1, 100]);
  assert.deepEqual((await names(api, 'all=1')).toSorted(), ['/bare', '/idle', '/live']);
  assert.deepEqual(await refused(api, '/containers/bare/start'), [
    501,
    'Cannot start bare: it is a sandbox of `moor run`, not a container; it can be inspected, connected and removed',
  ]);
  assert.equal((await api.call('DELETE', '/containers/bare')).status, 204);
});

test('events of a container, and filters that name what is before the colon', async () => {
  await using api = await startContainerApi();
  const since = Date.now() / 1000;
  await run(api, 'box', { Labels: { owner: 'me' } });
  const exec = (await api.call('POST', '/containers/box/exec', { Cmd: ['true'] })).json() as { Id: string };
  await api.call('POST', `/exec/${exec.Id}/start`, { Detach: true });
  await api.call('DELETE', '/containers/box?force=1');
  const seen = async (value: object): Promise<readonly string[]> => {
    const answer = await api.call('GET', `/events?since=${since}&until=${Date.now() / 1000}&${filter(value)}`);
    return answer.text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => (JSON.parse(line) as { Action: string }).Action);
  };
  const actions = await seen({ container: ['box'] });
  for (const action of ['create', 'start', 'exec_create: true', 'exec_start: true', 'die', 'destroy']) {
    assert.ok(actions.includes(action), `${action} in ${actions.join(', ')}`);
  }
  assert.deepEqual(await seen({ event: ['exec_create'] }), ['exec_create: true']);
});

test('published ports: in the list, in an inspection, as a filter', async () => {
  await using api = await startContainerApi();
  const PortBindings = {
    80: [{ HostPort: '8080' }],
    '53/udp': [{ HostIp: '127.0.0.1', HostPort: '5300' }],
    ...Object.fromEntries(Array.from({ length: 3 }, (_, i) => [`${7000 + i}/tcp`, [{ HostPort: String(7000 + i) }]])),
  };
  await run(api, 'web', { ExposedPorts: { '80/tcp': {}, '99/tcp': {} }, HostConfig: { PortBindings } });
  await run(api, 'bare');
  const info = await inspect(api, 'web');
  assert.deepEqual(info.NetworkSettings?.Ports, {
    '80/tcp': [{ HostIp: '0.0.0.0', HostPort: '8080' }],
    '99/tcp': null,
    '53/udp': [{ HostIp: '127.0.0.1', HostPort: '5300' }],
    '7000/tcp': [{ HostIp: '0.0.0.0', HostPort: '7000' }],
    '7001/tcp': [{ HostIp: '0.0.0.0', HostPort: '7001' }],
    '7002/tcp': [{ HostIp: '0.0.0.0', HostPort: '7002' }],
  });
  assert.deepEqual(info.HostConfig?.PortBindings?.['80/tcp'], [{ HostIp: '', HostPort: '8080' }]);
  const [row] = (await api.call('GET', `/containers/json?${filter({ name: ['web'] })}`)).json() as ContainerSummary[];
  assert.equal(row?.Ports?.length, 6);
  assert.deepEqual(row?.Ports?.[0], { PrivatePort: 99, Type: 'tcp' });
  assert.ok(
    row?.Ports?.some(
      ({ IP, PrivatePort, PublicPort, Type }) => `${IP} ${PublicPort} ${PrivatePort} ${Type}` === '127.0.0.1 5300 53 udp',
    ),
  );
  assert.deepEqual(await names(api, filter({ publish: ['80'] })), ['/web']);
  assert.deepEqual(await names(api, filter({ publish: ['7000-7005/tcp'] })), ['/web']);
  assert.deepEqual(await names(api, filter({ publish: ['53'] })), [], 'it is UDP');
  assert.equal((await api.call('POST', '/containers/web/stop?t=0')).status, 204);
  assert.deepEqual((await inspect(api, 'web')).NetworkSettings?.Ports, {});
  assert.deepEqual(await names(api, `all=1&${filter({ publish: ['80'] })}`), ['/web']);
});
