/** From a start request to a container whose process waits to be let go. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Id } from '../../base/ids.ts';
import { invalid } from '../../base/errors.ts';
import type { StartRequest } from '../../contracts/containers.ts';
import { SHM_SIZE } from '../../model/container-defaults.ts';
import { openRoot } from '../../sys/inside.ts';
import { isMountPoint, mountFileSystem } from '../../sys/mount.ts';
import { resolveDevices } from './devices.ts';
import { findInit, type Host } from './host.ts';
import { startMonitor } from './monitor.ts';
import type { OciSpec } from './oci.ts';
import type { Layout } from './paths.ts';
import { ociSpec } from './spec.ts';
import { idsIn, readPid, writeState } from './state.ts';
import { lookUpUser, readAccounts } from './users.ts';

/** @returns pid of the container's first process */
export async function createContainer(
  request: StartRequest,
  host: Host,
  places: Layout,
): Promise<{ readonly pid: number; readonly spec: OciSpec }> {
  const { id, config, hostConfig } = request.container;
  const paths = places.container(id);
  const spec = specOf(request, host, places);
  const logLimit = logSize(hostConfig.LogConfig.Config['max-size']);
  const keepLog = hostConfig.LogConfig.Type !== 'none';
  mkdirSync(dirname(places.log(id)), { recursive: true, mode: 0o710 });
  mkdirSync(paths.exitDirectory, { recursive: true, mode: 0o700 });
  if (hostConfig.IpcMode === 'shareable') makeShm(places.shm(id), hostConfig.ShmSize);
  const { tty, stdin, once } = { tty: config.Tty, stdin: config.OpenStdin, once: config.StdinOnce };
  writeState(paths, { tty, stdin, once, process: spec.process });
  writeFileSync(join(paths.directory, 'config.json'), specText(spec), { mode: 0o600 });
  const pid = await startMonitor({
    host,
    runtimeRoot: places.runtimeRoot,
    paths,
    container: id,
    tty,
    stdin,
    leaveStdinOpen: !once,
    log: keepLog ? { path: places.log(id), limit: logLimit } : null,
  });
  return { pid, spec };
}

function specOf(request: StartRequest, host: Host, places: Layout): OciSpec {
  const { container, image } = request;
  const { devices, rules } = resolveDevices(container.hostConfig);
  using root = openRoot(request.root);
  const user = container.config.User || image.config.User || '';
  return ociSpec(request, {
    ...host,
    user: lookUpUser(user, container.hostConfig.GroupAdd, readAccounts(root)),
    devices,
    deviceRules: rules,
    init: container.hostConfig.Init ? findInit() : null,
    shm: sharedShm(request, places),
  });
}

/** The directory of a container's /dev/shm when it is shared: its own, or that of the container whose IPC namespace it joins. */
function sharedShm({ container, shared }: StartRequest, places: Layout): string | null {
  if (container.hostConfig.IpcMode === 'shareable') return places.shm(container.id);
  const pid = /^\/proc\/(\d+)\//.exec(shared.ipc ?? '')?.[1];
  if (pid === undefined) return null;
  const owner = idsIn(places.containers).find((id: Id) => readPid(places.container(id).pid) === Number(pid));
  if (owner === undefined || !isMountPoint(places.shm(owner))) {
    throw invalid(
      `cannot join IPC namespace of process ${pid}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)`,
    );
  }
  return places.shm(owner);
}

function makeShm(directory: string, size: number): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  if (!isMountPoint(directory)) mountFileSystem('tmpfs', directory, `mode=1777,size=${size > 0 ? size : SHM_SIZE}`);
}

/** RLIM_INFINITY does not fit a number: what stands for it is written out. */
export function specText(value: unknown): string {
  return JSON.stringify(value).replaceAll(`:${Number.MAX_SAFE_INTEGER}`, ':18446744073709551615');
}

const UNITS: Readonly<Record<string, number>> = { '': 1, b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 };

/** `10m` of `--log-opt max-size`. @returns bytes, 0 = no limit */
function logSize(text: string | undefined): number {
  if (text === undefined || text === '-1') return 0;
  const [, digits, unit = ''] = /^(\d+(?:\.\d+)?) ?([bkmg]?)(?:i?b)?$/i.exec(text) ?? [];
  if (digits === undefined) throw invalid(`invalid size: '${text}'`);
  return Math.floor(Number(digits) * (UNITS[unit.toLowerCase()] ?? 1));
}
