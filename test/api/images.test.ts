/** `/images`, `/volumes` and `/system/df`: shapes, filters, streams, statuses and texts. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import type { HistoryResponseItem, ImageInspect, ImageSummary, Volume } from '@docker/node-sdk';
import { IMAGE } from '../containers/setup.ts';
import { type ContainerApi, startContainerApi } from '../support/container-api.ts';

const filter = (value: object): string => `filters=${encodeURIComponent(JSON.stringify(value))}`;

/** The JSON messages of a streamed answer. */
const lines = (text: string): readonly unknown[] =>
  text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => JSON.parse(line) as unknown);

async function imageActions(api: ContainerApi): Promise<readonly string[]> {
  return api.bench.events
    .filter(({ type }) => type === 'image')
    .map(({ action, attributes }) => `${action} ${attributes['name']}`);
}

test('list: shape, what older versions have, filters', async () => {
  await using api = await startContainerApi();
  const [image] = (await api.call('GET', '/images/json')).json() as ImageSummary[];
  assert.deepEqual(image, {
    Containers: -1,
    Created: 1767225600,
    Id: IMAGE.id,
    Labels: { from: 'image' },
    ParentId: '',
    RepoDigests: [],
    RepoTags: ['busybox:latest'],
    SharedSize: -1,
    Size: 15,
  });
  api.images.all.push({
    ...IMAGE,
    id: `sha256:${'3'.repeat(64)}`,
    tags: [],
    created: '2026-02-01T00:00:00Z',
    layers: ['sha256:a'],
    layerSizes: [10],
    size: 10,
  });
  const ids = async (value: object): Promise<readonly string[]> =>
    ((await api.call('GET', `/images/json?${filter(value)}`)).json() as ImageSummary[]).map(({ Id }) => Id?.[7] ?? '');
  assert.deepEqual(await ids({}), ['3', '1']);
  assert.deepEqual(await ids({ dangling: ['true'] }), ['3']);
  assert.deepEqual(await ids({ dangling: ['false'] }), ['1']);
  assert.deepEqual(await ids({ reference: ['busy*'] }), ['1']);
  assert.deepEqual(await ids({ reference: ['busybox:l[a-z]test'] }), ['1']);
  assert.deepEqual(await ids({ reference: ['nope'] }), []);
  assert.deepEqual(await ids({ since: ['busybox'] }), ['3']);
  assert.deepEqual(await ids({ before: ['3333'] }), ['1']);
  assert.deepEqual(await ids({ until: ['2026-01-15T00:00:00Z'] }), ['1']);
  assert.deepEqual(await ids({ label: ['from=image'] }), ['3', '1']);
  assert.deepEqual(await ids({ label: ['from=nowhere'] }), []);
  assert.equal((await api.call('GET', `/images/json?${filter({ x: ['y'] })}`)).status, 400);
  const old = (await api.call('GET', '/v1.41/images/json?shared-size=1')).json() as (ImageSummary & { VirtualSize: number })[];
  assert.deepEqual(
    old.map(({ RepoTags, SharedSize, VirtualSize }) => [RepoTags?.[0], SharedSize, VirtualSize]),
    [
      ['<none>:<none>', 10, 10],
      ['busybox:latest', 10, 15],
    ],
  );
});

test('inspect, history, tag: by names with slashes and ports', async () => {
  await using api = await startContainerApi();
  const name = '127.0.0.1:5000/team/app:1.0';
  api.images.all.push({
    ...IMAGE,
    id: `sha256:${'4'.repeat(64)}`,
    tags: [name],
    history: [
      { created: '2026-01-01T00:00:00Z', created_by: 'ADD a', comment: 'first' },
      { created_by: 'CMD ["sh"]', empty_layer: true },
      { created: '2026-01-02T00:00:00Z', created_by: 'ADD b' },
    ],
    layers: ['sha256:a', 'sha256:b'],
    layerSizes: [10, 5],
  });
  const image = (await api.call('GET', `/images/${name}/json`)).json() as ImageInspect;
  assert.equal(image.Id, `sha256:${'4'.repeat(64)}`);
  assert.deepEqual(image.RootFS, { Type: 'layers', Layers: ['sha256:a', 'sha256:b'] });
  assert.deepEqual(image.Config?.Cmd, ['sh']);
  const encoded = await api.call('GET', `/images/${encodeURIComponent(name)}/json`);
  assert.equal(encoded.status, 200, encoded.text);
  const history = (await api.call('GET', `/images/${name}/history`)).json() as HistoryResponseItem[];
  assert.deepEqual(
    history.map(({ Id, CreatedBy, Size, Tags }) => [Id.slice(0, 9), CreatedBy, Size, Tags?.length ?? 0]),
    [
      ['sha256:44', 'ADD b', 5, 1],
      ['<missing>', 'CMD ["sh"]', 0, 0],
      ['<missing>', 'ADD a', 10, 0],
    ],
  );
  assert.equal((await api.call('POST', `/images/${name}/tag?repo=other/name&tag=2`)).status, 201);
  assert.deepEqual(api.images.asked.at(-1), { tag: image.Id, target: 'other/name:2' });
  const missing = await api.call('GET', '/images/no/such/json');
  assert.deepEqual([missing.status, missing.json()], [404, { message: 'No such image: no/such:latest' }]);
  assert.equal((await api.call('GET', '/images/busybox/nothing')).status, 404);
  for (const [method, path] of [
    ['POST', `/images/${name}/push`],
    ['GET', '/images/search?term=x'],
    ['GET', `/distribution/${name}/json`],
    ['POST', '/build'],
    ['POST', '/commit'],
    ['POST', '/auth'],
  ] as const) {
    assert.equal((await api.call(method, path)).status, 501, `${method} ${path}`);
  }
});

test('pull: progress as it comes, credentials, failures before and after the first line', async () => {
  await using api = await startContainerApi();
  const auth = Buffer.from(JSON.stringify({ username: 'me', password: 'pä', serveraddress: 'x' })).toString('base64url');
  const pulled = await api.call('POST', '/images/create?fromImage=busybox&tag=latest&platform=linux/amd64', undefined, {
    'x-registry-auth': auth,
  });
  assert.deepEqual([pulled.status, pulled.headers['content-type']], [200, 'application/json']);
  assert.deepEqual(lines(pulled.text), [
    { status: 'Pulling from library/busybox', progressDetail: {}, id: 'latest' },
    { status: 'Pulling fs layer', progressDetail: {}, id: 'abc' },
    { status: 'Status: Downloaded newer image' },
  ]);
  assert.deepEqual(api.images.asked.at(-1), {
    pull: 'busybox:latest',
    auth: { username: 'me', password: 'pä' },
    platform: 'linux/amd64',
  });
  await api.call('POST', `/images/create?fromImage=busybox&tag=sha256:${'5'.repeat(64)}`, undefined, { 'x-registry-auth': '!' });
  assert.deepEqual(api.images.asked.at(-1), { pull: `busybox@sha256:${'5'.repeat(64)}`, auth: undefined, platform: undefined });
  const broken = await api.call('POST', '/images/create?fromImage=busybox&tag=broken');
  assert.equal(broken.status, 200);
  assert.deepEqual(lines(broken.text).at(-1), {
    errorDetail: { message: 'the registry went away' },
    error: 'the registry went away',
  });
  api.images.failure = new Error('no route');
  const early = await api.call('POST', '/images/create?fromImage=busybox&tag=latest');
  assert.deepEqual([early.status, early.json()], [500, { message: 'no route' }]);
  assert.deepEqual(await imageActions(api), ['pull busybox:latest', `pull busybox@sha256:${'5'.repeat(64)}`]);
});

test('load, import and save', async () => {
  await using api = await startContainerApi();
  const big = 'x'.repeat(3 << 20);
  const loaded = await api.call('POST', '/images/load?quiet=0', big, { 'content-type': 'application/x-tar' });
  assert.deepEqual(lines(loaded.text), [
    { status: 'Loading layer', progressDetail: { current: 1, total: 2 }, id: 'abc' },
    { stream: 'Loaded image: busybox:latest\n' },
    { stream: `Loaded image ID: ${IMAGE.id}\n` },
  ]);
  assert.equal((api.images.asked.at(-1) as { load: string }).load, big);
  assert.equal(lines((await api.call('POST', '/images/load', big)).text).length, 2);
  api.images.failure = new Error('invalid archive');
  assert.deepEqual(lines((await api.call('POST', '/images/load', big)).text), [
    { errorDetail: { message: 'invalid archive' }, error: 'invalid archive' },
  ]);
  assert.equal((await api.call('POST', '/images/load')).status, 400);
  const imported = await api.call(
    'POST',
    '/images/create?fromSrc=-&repo=mine&tag=1&message=hello&changes=CMD%20sh&changes=ENV%20A=1',
    'tar',
  );
  assert.deepEqual(lines(imported.text), [{ status: `sha256:${'2'.repeat(64)}` }]);
  assert.deepEqual(api.images.asked.at(-1), {
    import: 'tar',
    reference: 'mine:1',
    message: 'hello',
    changes: ['CMD sh', 'ENV A=1'],
  });
  assert.equal((await api.call('POST', '/images/create?fromSrc=http://x/y.tar')).status, 501);
  const saved = await api.call('GET', '/images/get?names=busybox&names=busybox:latest');
  assert.deepEqual([saved.text, saved.headers['content-type']], ['tar of busybox busybox:latest', 'application/x-tar']);
  assert.equal((await api.call('GET', '/images/busybox:latest/get')).text, 'tar of busybox:latest');
  assert.equal((await api.call('GET', '/images/nope/get')).status, 404);
});

test('remove and prune know which containers use an image', async () => {
  await using api = await startContainerApi();
  const made = await api.call('POST', '/containers/create?name=box', { Image: 'busybox' });
  const { Id } = made.json() as { Id: string };
  await api.call('POST', '/containers/box/start');
  const removed = await api.call('DELETE', '/images/busybox?force=1&noprune=1');
  assert.deepEqual(removed.json(), [{ Untagged: 'busybox:latest' }, { Deleted: IMAGE.id }, { Deleted: 'sha256:a' }]);
  assert.deepEqual(api.images.asked.at(-1), { remove: 'busybox', force: true, noPrune: true, inUse: Id, running: Id });
  assert.deepEqual(await imageActions(api), [`untag ${IMAGE.id}`, `delete ${IMAGE.id}`]);
  assert.deepEqual((await api.call('POST', `/images/prune?${filter({ dangling: ['false'] })}`)).json(), {
    ImagesDeleted: [{ Deleted: IMAGE.id }],
    SpaceReclaimed: 100,
  });
  assert.deepEqual((await api.call('POST', `/images/prune?${filter({ label: ['nope'] })}`)).json(), {
    ImagesDeleted: null,
    SpaceReclaimed: 1,
  });
});

test('volumes: create, list, inspect, remove, prune', async () => {
  await using api = await startContainerApi();
  const made = await api.call('POST', '/volumes/create', { Name: 'data', Labels: { a: '1' } });
  assert.equal(made.status, 201, made.text);
  const volume = made.json() as Volume;
  assert.deepEqual(
    [volume.Name, volume.Driver, volume.Scope, volume.Labels, volume.Options],
    ['data', 'local', 'local', { a: '1' }, null],
  );
  const anonymous = (await api.call('POST', '/volumes/create', {})).json() as Volume;
  assert.match(anonymous.Name, /^[0-9a-f]{64}$/);
  await api.call('POST', '/containers/create?name=box', { Image: 'busybox', HostConfig: { Binds: ['data:/data'] } });
  const list = async (value: object): Promise<readonly string[]> =>
    ((await api.call('GET', `/volumes?${filter(value)}`)).json() as { Volumes: Volume[] }).Volumes.map(
      ({ Name }) => Name,
    ).toSorted();
  assert.deepEqual(await list({}), [anonymous.Name, 'data'].toSorted());
  assert.deepEqual(await list({ dangling: ['true'] }), [anonymous.Name]);
  assert.deepEqual(await list({ name: ['dat'] }), ['data']);
  assert.deepEqual(await list({ label: ['a=1'] }), ['data']);
  assert.deepEqual(await list({ driver: ['nfs'] }), []);
  assert.equal((await api.call('GET', '/volumes/data')).status, 200);
  assert.deepEqual((await api.call('GET', '/volumes/nope')).json(), { message: 'get nope: no such volume' });
  assert.equal((await api.call('DELETE', '/volumes/data')).status, 409);
  assert.equal((await api.call('POST', '/volumes/create', { Driver: 'nfs' })).status, 404);
  assert.equal((await api.call('POST', '/volumes/create', { Name: 'a/b' })).status, 400);
  await api.call('DELETE', '/containers/box');
  const few = (await api.call('POST', '/volumes/prune')).json() as { VolumesDeleted: string[] };
  assert.deepEqual(few.VolumesDeleted, [anonymous.Name]);
  const rest = (await api.call('POST', `/volumes/prune?${filter({ all: ['1'] })}`)).json() as { VolumesDeleted: string[] };
  assert.deepEqual(rest.VolumesDeleted, ['data']);
  assert.equal((await api.call('DELETE', '/volumes/data?force=1')).status, 204);
  assert.equal((await api.call('DELETE', '/volumes/data')).status, 404);
});

test('disk usage, all of it or one kind', async () => {
  await using api = await startContainerApi();
  await api.call('POST', '/volumes/create', { Name: 'data' });
  await api.call('POST', '/containers/create?name=box', { Image: 'busybox', HostConfig: { Binds: ['data:/data'] } });
  const all = (await api.call('GET', '/system/df')).json() as {
    LayersSize: number;
    Images: ImageSummary[];
    Containers: { SizeRw: number }[];
    Volumes: { UsageData: unknown }[];
  };
  assert.equal(all.LayersSize, 15);
  const volumeSize = Number(
    execFileSync('du', ['-sb', api.bench.containers.volumes.get('data').mountpoint], { encoding: 'utf8' }).split('\t')[0],
  );
  assert.equal(all.Images[0]?.Containers, 1);
  assert.equal(all.Containers[0]?.SizeRw, 100);
  assert.deepEqual(all.Volumes[0]?.UsageData, { RefCount: 1, Size: volumeSize });
  const some = (await api.call('GET', '/system/df?type=volume')).json() as object;
  assert.deepEqual(Object.keys(some), ['Volumes']);
  assert.equal((await api.call('GET', '/system/df?type=x')).status, 400);
  assert.deepEqual((await api.call('POST', '/build/prune')).json(), { CachesDeleted: null, SpaceReclaimed: 0 });
});
