/** Images for tests, made on this machine: Debian's busybox-static and whatever else a test packs, as `docker save` archives. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface ImageSpec {
  /** Tars, base first. */
  readonly layers: readonly string[];
  /** `name:tag`; none by default */
  readonly tags?: readonly string[];
  /** Docker's words: Cmd, Env, ... */
  readonly config?: object;
  readonly history?: readonly object[];
}

export interface TestImage {
  readonly id: string;
  readonly diffIds: readonly string[];
}

const hash = (data: Buffer | string): string => createHash('sha256').update(data).digest('hex');

/** Always the same bytes from the same files. */
const STEADY = ['--sort=name', '--owner=0', '--group=0', '--numeric-owner', '--mtime=@1700000000', '--format=posix'];
/** Without the times of access and of the archive, which pax headers have otherwise. */
const NO_TIMES = '--pax-option=delete=atime,delete=ctime';

/** GNU tar of a folder's content. */
export function packFolder(folder: string, tar: string, ...more: readonly string[]): void {
  execFileSync('tar', [...STEADY, NO_TIMES, ...more, '-C', folder, '-cf', tar, '.']);
}

/** A `docker save` archive of one image. */
export function imageArchive(path: string, spec: ImageSpec): TestImage {
  const folder = mkdtempSync(join(tmpdir(), 'moor-image-'));
  try {
    const diffIds = spec.layers.map((layer) => `sha256:${hash(readFileSync(layer))}`);
    const layers = spec.layers.map((layer, index) => {
      copyFileSync(layer, join(folder, `layer-${index}.tar`));
      return `layer-${index}.tar`;
    });
    const created = '2026-11-30T12:00:00Z';
    const history = spec.history ?? layers.map((name) => ({ created, created_by: `ADD ${name} /` }));
    const rootfs = { type: 'layers', diff_ids: diffIds };
    const config = JSON.stringify({ architecture: 'amd64', os: 'linux', created, config: spec.config ?? {}, history, rootfs });
    const id = hash(config);
    writeFileSync(join(folder, `${id}.json`), config);
    const manifest = [{ Config: `${id}.json`, RepoTags: spec.tags ?? null, Layers: layers }];
    writeFileSync(join(folder, 'manifest.json'), JSON.stringify(manifest));
    packFolder(folder, path);
    return { id: `sha256:${id}`, diffIds };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * `busybox:latest`: all applets in /bin, users root and nobody, /tmp; about 2 MB.
 * @param path of the archive to write
 */
export function busyboxArchive(
  path: string,
  options: { readonly tags?: readonly string[]; readonly config?: object } = {},
): TestImage {
  const folder = mkdtempSync(join(tmpdir(), 'moor-busybox-'));
  try {
    const tar = join(folder, 'layer.tar');
    busyboxLayer(tar);
    const config = { Cmd: ['sh'], Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'], ...options.config };
    return imageArchive(path, { layers: [tar], tags: options.tags ?? ['busybox:latest'], config });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The root file system of `busyboxArchive` as a plain tar. */
export function busyboxLayer(tar: string): void {
  const root = mkdtempSync(join(tmpdir(), 'moor-root-'));
  try {
    execFileSync('chmod', ['755', root]);
    for (const name of ['bin', 'dev', 'etc', 'home', 'proc', 'root', 'sys', 'usr/bin', 'usr/sbin', 'var/www', 'sbin']) {
      mkdirSync(join(root, name), { recursive: true, mode: 0o755 });
    }
    mkdirSync(join(root, 'tmp'));
    execFileSync('chmod', ['1777', join(root, 'tmp')]);
    copyFileSync('/bin/busybox', join(root, 'bin/busybox'));
    execFileSync('chmod', ['755', join(root, 'bin/busybox')]);
    const applets = execFileSync('/bin/busybox', ['--list'], { encoding: 'utf8' }).split('\n');
    for (const applet of applets) if (applet !== '' && applet !== 'busybox') symlinkSync('busybox', join(root, 'bin', applet));
    const users = [
      'root:x:0:0:root:/root:/bin/sh',
      'daemon:x:1:1:daemon:/usr/sbin:/bin/false',
      'nobody:x:65534:65534:nobody:/home:/bin/false',
    ];
    writeFileSync(join(root, 'etc/passwd'), `${users.join('\n')}\n`);
    writeFileSync(join(root, 'etc/group'), 'root:x:0:\ndaemon:x:1:\nusers:x:100:nobody\nnogroup:x:65534:\n');
    packFolder(root, tar);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}
