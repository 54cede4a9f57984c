/** Debian's docker-registry on loopback, for tests. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** bcrypt of `secret`, the least cost that the registry takes: it is made anew at each request. */
const USERS = 'tester:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n';
export const CREDENTIALS = { username: 'tester', password: 'secret' };

export interface Registry extends AsyncDisposable {
  /** `127.0.0.1:5000` */
  readonly host: string;
  /** File of a blob. */
  readonly blob: (digest: string) => string;
  /** Pushes an image of a docker archive. */
  readonly push: (archive: string, name: string) => void;
  /** A manifest as it is. @returns its digest */
  readonly put: (name: string, mediaType: string, manifest: object) => Promise<string>;
}

const PATIENCE_MS = 10_000;

/** @param folder that keeps its data; a private registry wants CREDENTIALS */
export async function startRegistry(folder: string, options: { readonly private?: boolean } = {}): Promise<Registry> {
  const host = `127.0.0.1:${await freePort()}`;
  const root = join(folder, 'registry');
  mkdirSync(root, { recursive: true });
  writeFileSync(join(folder, 'users'), USERS);
  const config = {
    version: '0.1',
    log: { level: 'error', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: root }, delete: { enabled: true } },
    http: { addr: host },
    ...(options.private ? { auth: { htpasswd: { realm: 'test', path: join(folder, 'users') } } } : {}),
  };
  writeFileSync(join(folder, 'registry.yml'), JSON.stringify(config));
  const child = spawn('docker-registry', ['serve', join(folder, 'registry.yml')], { stdio: 'ignore' });
  const ended = once(child, 'exit');
  const credentials = options.private ? [`--dest-creds=${CREDENTIALS.username}:${CREDENTIALS.password}`] : [];
  await answers(`http://${host}/v2/`);
  return {
    host,
    blob: (digest) => join(root, 'docker/registry/v2/blobs/sha256', digest.slice(7, 9), digest.slice(7), 'data'),
    push: (archive, name) => {
      const args = ['--insecure-policy', 'copy', '-q', '--dest-tls-verify=false', ...credentials];
      execFileSync('skopeo', [...args, `docker-archive:${archive}`, `docker://${host}/${name}`]);
    },
    put: async (name, mediaType, manifest) => {
      const [repository, tag] = name.split(':');
      const url = `http://${host}/v2/${repository}/manifests/${tag}`;
      const answer = await fetch(url, { method: 'PUT', headers: { 'content-type': mediaType }, body: JSON.stringify(manifest) });
      if (answer.status !== 201) throw new Error(`PUT ${url}: ${answer.status} ${await answer.text()}`);
      return answer.headers.get('docker-content-digest') ?? '';
    },
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

async function answers(url: string): Promise<void> {
  for (const end = Date.now() + PATIENCE_MS; Date.now() < end; await sleep(20)) {
    const status = await fetch(url).then(
      (answer) => answer.status,
      () => 0,
    );
    if (status !== 0) return;
  }
  throw new Error(`${url} does not answer`);
}
