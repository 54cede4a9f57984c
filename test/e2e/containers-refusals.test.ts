// test-timeout: 120 s
/** What cannot be done: Docker's status and text, and nothing half-made. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, realpathSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { gunzipSync, gzipSync } from 'node:zlib';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { type Answer, startDaemon, type TestDaemon } from '../support/daemon.ts';
import { daemonWithBusybox, type Docker, dockerOf } from '../support/docker.ts';
import { busyboxArchive, imageArchive, packFolder } from '../support/images.ts';
import { until } from '../support/snapshot.ts';

const message = (answer: Answer): string => (answer.json() as { readonly message: string }).message;

/** RFC 1952 section 2.3.1: the first two bytes. */
const GZIP = 0x1f8b;

/** A layer that no other image has. */
function newLayer(folder: string, text: string): string {
  mkdirSync(`${folder}/${text}`);
  writeFileSync(`${folder}/${text}/file`, text.repeat(1000));
  packFolder(`${folder}/${text}`, `${folder}/${text}.tar`);
  return `${folder}/${text}.tar`;
}

/** Everything that something half-made would show in. */
async function state(daemon: TestDaemon): Promise<Readonly<Record<string, unknown>>> {
  const lines = async (script: string): Promise<readonly string[]> =>
    (await daemon.inside('sh', '-c', script)).stdout.split('\n').filter(Boolean);
  const list = async (path: string): Promise<unknown> => (await daemon.request('GET', path)).json();
  const files = (folder: string): readonly string[] =>
    readdirSync(`${daemon.directory}/${folder}`, { recursive: true, encoding: 'utf8' })
      .filter((name) => !/state\.db|^(containers|oci)$/.test(name))
      .toSorted();
  return {
    containers: await list('/containers/json?all=1'),
    images: await list('/images/json'),
    sandboxes: await list('/moor/sandboxes'),
    mounts: await lines("cut -d' ' -f5 /proc/1/mountinfo | sort"),
    links: await lines("ip -o link | awk -F': ' '{ print $2 }'"),
    processes: await lines("ps -eo comm= | grep -E '^(conmon|runc|skopeo|tar)' ; true"),
    data: files('data'),
    exec: files('exec'),
  };
}

describe('with an image', () => {
  let daemon: TestDaemon;
  let docker: Docker;
  let earlier: Readonly<Record<string, unknown>>;
  before(async () => {
    daemon = await daemonWithBusybox();
    docker = dockerOf(daemon);
    await docker.ok('create', '--name', 'taken', 'busybox', 'true');
  });
  after(() => daemon[Symbol.asyncDispose]());
  beforeEach(async () => {
    earlier = await state(daemon);
  });
  afterEach(async () => {
    let now = await state(daemon);
    await until(async () => {
      now = await state(daemon);
      return JSON.stringify(now) === JSON.stringify(earlier);
    });
    assert.deepEqual(now, earlier);
    assert.equal((await daemon.request('GET', '/_ping')).status, 200);
  });

  test('values of a container to create', async () => {
    const id = (await docker.ok('ps', '-aq', '--no-trunc')).trim();
    const container = (query: string, body: object): Promise<Answer> =>
      daemon.request('POST', `/containers/create${query}`, body);
    const rows: readonly (readonly [query: string, body: object, status: number, says: string])[] = [
      ['', { Image: 'nothing' }, 404, 'No such image: nothing:latest'],
      ['', { Image: `busybox@sha256:${'1'.repeat(64)}` }, 404, `No such image: busybox@sha256:${'1'.repeat(64)}`],
      [
        '?name=taken',
        { Image: 'busybox' },
        409,
        `Conflict. The container name "/taken" is already in use by container "${id}". You have to remove (or rename) that container to be able to reuse that name.`,
      ],
      ['?name=a%2Fb', { Image: 'busybox' }, 400, 'Invalid container name (a/b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed'],
      ['', { Image: 'busybox', ExposedPorts: { '99999/tcp': {} } }, 400, 'Invalid port: "99999/tcp"'],
    ];
    for (const [query, body, status, says] of rows) {
      const answer = await container(query, body);
      assert.deepEqual({ status: answer.status, says: message(answer) }, { status, says }, JSON.stringify(body));
    }
  });

  test('the CLI says so too', async () => {
    const head = '125 docker: Error response from daemon: ';
    assert.ok((await docker.fails('run', '--pull', 'never', 'nothing')).startsWith(`${head}No such image: nothing:latest`));
    assert.ok(
      (await docker.fails('run', '--name', 'taken', 'busybox')).startsWith(`${head}Conflict. The container name "/taken"`),
    );
    assert.match(await docker.fails('run', '-p', '99999:80', 'busybox'), /^125 docker: .*99999/);
    assert.match(
      await docker.fails('run', '--network', 'nowhere', '--rm', 'busybox'),
      /^125 docker: .*network nowhere not found/s,
    );
  });

  test('a command that is not there, one that cannot be run', async () => {
    assert.match(
      await docker.fails('run', '--rm', 'busybox', 'nothing'),
      /^127 docker: Error response from daemon: .*exec: "nothing": executable file not found in \$PATH/s,
    );
    assert.match(
      await docker.fails('run', '--rm', 'busybox', '/etc/passwd'),
      /^126 docker: Error response from daemon: .*permission denied/s,
    );
  });

  test('a truncated archive, one whose layer is not what it says, and none at all', async () => {
    const whole = `${daemon.directory}/whole.tar`;
    busyboxArchive(whole, { tags: ['other:1'] });
    truncateSync(whole, Math.floor(statSync(whole).size / 2));
    assert.match(await docker.fails('load', '-i', whole), /unexpected EOF/);

    const { diffIds } = imageArchive(whole, { layers: [newLayer(daemon.directory, 'tampered')], tags: ['other:2'] });
    const bytes = readFileSync(whole);
    const at = bytes.indexOf('tamperedtampered');
    assert.ok(at > 0);
    bytes.write('T', at);
    writeFileSync(whole, bytes);
    assert.match(
      await docker.fails('load', '-i', whole),
      new RegExp(`^1 invalid diffID for layer 0: expected "${diffIds[0]}", got "sha256:[0-9a-f]{64}"`),
    );

    writeFileSync(whole, createHash('sha512').update('noise').digest());
    assert.match(await docker.fails('load', '-i', whole), /^1 .*(unexpected EOF|invalid tar header|unrecognized)/s);
  });

  test('a registry: an image that it does not have, a digest that it does not have, a blob that is another', async () => {
    const root = `${daemon.directory}/registry`;
    const config = {
      version: '0.1',
      log: { level: 'error', accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: root } },
      http: { addr: '127.0.0.1:5000' },
    };
    writeFileSync(`${daemon.directory}/registry.yml`, JSON.stringify(config));
    const server = daemon.spawnInside('docker-registry', 'serve', `${daemon.directory}/registry.yml`);
    try {
      const up = await until(
        async () => (await daemon.inside('busybox', 'wget', '-q', '-O', '-', 'http://127.0.0.1:5000/v2/')).code === 0,
      );
      assert.ok(up, 'the registry answers');
      const archive = `${daemon.directory}/pushed.tar`;
      imageArchive(archive, { layers: [newLayer(daemon.directory, 'pushed')], config: { Cmd: ['true'] } });
      const pushed = await daemon.inside(
        ...(['skopeo', '--insecure-policy', 'copy', '-q', '--dest-tls-verify=false'] as const),
        ...[`docker-archive:${archive}`, 'docker://127.0.0.1:5000/pushed:1'],
      );
      assert.equal(pushed.code, 0, pushed.stderr);

      const head = '1 Error response from daemon: manifest for 127.0.0.1:5000';
      assert.ok(
        (await docker.fails('pull', '127.0.0.1:5000/absent')).startsWith(`${head}/absent:latest not found: manifest unknown`),
      );
      const digest = `sha256:${'1'.repeat(64)}`;
      assert.ok(
        (await docker.fails('pull', `127.0.0.1:5000/pushed@${digest}`)).startsWith(
          `${head}/pushed@${digest} not found: manifest unknown`,
        ),
      );

      const blobs = `${root}/docker/registry/v2/blobs`;
      const layer = readdirSync(blobs, { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('/data'))
        .map((name) => `${blobs}/${name}`)
        .find((file) => readFileSync(file).readUInt16BE(0) === GZIP);
      assert.ok(layer !== undefined);
      // Longer than it was: its content is the same, and its digest another.
      writeFileSync(layer, gzipSync(gunzipSync(readFileSync(layer)), { level: 1 }));
      assert.match(
        await docker.fails('pull', '127.0.0.1:5000/pushed:1'),
        /^1 filesystem layer verification failed for digest sha256:[0-9a-f]{64}/,
      );
    } finally {
      server.kill('SIGKILL');
      await daemon.inside('sh', '-c', 'kill -9 $(pgrep -x docker-registry); true');
    }
  });
});

test('a full disk: an image that does not fit is not there, one that fits is', async () => {
  await using daemon = await startDaemon({ start: false });
  const docker = dockerOf(daemon);
  mkdirSync(`${daemon.directory}/data`);
  // Room for the store, and for half an image.
  const mounted = await daemon.inside('mount', '-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', `${daemon.directory}/data`);
  assert.equal(mounted.code, 0, mounted.stderr);
  await daemon.start();
  const used = async (): Promise<number> =>
    Number((await daemon.inside('sh', '-c', `find ${daemon.directory}/data/images -type f | wc -l`)).stdout);
  const before = await used();
  const archive = `${daemon.directory}/busybox.tar`;
  busyboxArchive(archive);
  assert.match(await docker.fails('load', '-i', archive), /^1 .*no space left on device/s);
  assert.equal(await docker.ok('images', '-q'), '');
  assert.equal(await used(), before);
  assert.equal((await daemon.inside('mount', '-o', 'remount,size=64m', `${daemon.directory}/data`)).code, 0);
  assert.equal(await docker.ok('load', '-i', archive), 'Loaded image: busybox:latest');
});

test('no OCI runtime on the machine: networks work, and a container says what to install', async () => {
  await using daemon = await startDaemon({ start: false });
  const docker = dockerOf(daemon);
  const found = await daemon.inside('sh', '-c', 'which -a runc crun');
  for (const path of new Set(
    found.stdout
      .split('\n')
      .filter(Boolean)
      .map((one) => realpathSync(one)),
  )) {
    assert.equal((await daemon.inside('mount', '--bind', '/dev/null', path)).code, 0);
  }
  await daemon.start();
  const archive = `${daemon.directory}/busybox.tar`;
  busyboxArchive(archive);
  await docker.ok('load', '-i', archive);
  await docker.ok('network', 'create', 'net');
  const earlier = await state(daemon);
  assert.match(
    await docker.fails('run', '--rm', '--network', 'net', 'busybox', 'true'),
    /^125 docker: Error response from daemon: .*an OCI runtime is not installed \(Debian packages? .*runc/s,
  );
  let now = await state(daemon);
  await until(async () => {
    now = await state(daemon);
    return JSON.stringify(now) === JSON.stringify(earlier);
  });
  assert.deepEqual(now, earlier);
});
