/** Containers on everything real but the doors: kernel, store, conmon and runc, overlayfs, a busybox image. */
import '../support/isolated.ts';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { systemClock } from '../../src/base/clock.ts';
import { createImages } from '../../src/containers/images/images.ts';
import { readLogs } from '../../src/containers/logs/read.ts';
import { createRootFiles } from '../../src/containers/root/files.ts';
import { createRuntime } from '../../src/containers/runtime/runtime.ts';
import { busyboxRoot } from '../../src/containers/runtime/runtime.testing.ts';
import { createContainers } from '../../src/containers/service/service.ts';
import type { Containers, Runtime, Streams } from '../../src/contracts/containers.ts';
import type { Engine } from '../../src/contracts/engine.ts';
import { processes } from '../../src/main/daemon/processes.ts';
import type { Instance } from '../../src/model/instance.ts';
import type { MemoryLogger } from '../engine/setup.ts';
import { daemon } from './engine-daemon.ts';

export const NEVER = new AbortController().signal;

export interface Service extends AsyncDisposable {
  readonly engine: Engine;
  readonly containers: Containers;
  readonly runtime: Runtime;
  readonly logger: MemoryLogger;
}

/** One life of a daemon on what an earlier one left. */
export async function service(instance: Instance): Promise<Service> {
  await using stack = new AsyncDisposableStack();
  const { engine, store, logger } = stack.use(await daemon(instance));
  const { dataRoot, execRoot } = instance;
  const images = await createImages({ dataRoot, store, clock: systemClock, logger });
  if (images.list().length === 0) await importBusybox(instance, images);
  const runtime = stack.use(await createRuntime({ dataRoot, execRoot, logger }));
  const rootFiles = createRootFiles({ dataRoot });
  const containers = stack.use(
    await createContainers({
      engine,
      images,
      runtime,
      rootFiles,
      store,
      processes,
      clock: systemClock,
      logger,
      readLogs,
      config: { dataRoot, execRoot },
    }),
  );
  const owned = stack.move();
  return { engine, containers, runtime, logger, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function importBusybox({ dataRoot }: Instance, images: Awaited<ReturnType<typeof createImages>>): Promise<void> {
  const root = mkdtempSync(`${dataRoot}/busybox-`);
  busyboxRoot(root);
  const tar = spawn('tar', ['-C', root, '-c', '.'], { stdio: ['ignore', 'pipe', 'inherit'] });
  await images.import(tar.stdout, { reference: 'busybox', changes: ['CMD ["sh"]'], signal: NEVER });
  rmSync(root, { recursive: true });
}

/** An instance on a folder of its own; when it goes, nothing of containers may be left. */
export async function instanceFor(name: string): Promise<Instance & AsyncDisposable> {
  const root = mkdtempSync(`${tmpdir()}/moor-${name}-`);
  const made: Instance = { id: name, dataRoot: `${root}/data`, execRoot: `${root}/exec` };
  mkdirSync(made.dataRoot);
  mkdirSync(made.execRoot);
  return {
    ...made,
    async [Symbol.asyncDispose]() {
      {
        await using last = await service(made);
        for (const { id } of last.containers.list()) await last.containers.remove(id, { force: true, volumes: true });
        await last.engine.reset();
      }
      rmSync(root, { recursive: true, force: true });
    },
  };
}

/** Names in a folder, which need not be there. */
export function names(path: string): readonly string[] {
  return existsSync(path) ? readdirSync(path) : [];
}

/** What containers leave behind when something is wrong. */
export function traces({ dataRoot, execRoot }: Instance): Readonly<Record<string, readonly string[]>> {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  const programs = readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && /conmon|runc/.test(comm(pid)));
  return {
    mounts: mounts
      .filter((line) => line.includes(dataRoot) || line.includes(`${execRoot}/`))
      .map((line) => line.split(' ')[4] ?? ''),
    programs: programs.map(comm),
    layers: names(`${dataRoot}/containers`),
    runs: names(`${execRoot}/containers`),
    sandboxes: names(`${execRoot}/sandboxes`),
    pins: names(`${execRoot}/netns`),
    files: names(`${execRoot}/host-files`),
  };
}

function comm(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return '';
  }
}

export const NO_TRACES = { mounts: [], programs: [], layers: [], runs: [], sandboxes: [], pins: [], files: [] };

/** Both outputs to their ends. */
export async function output({ stdout, stderr }: Streams): Promise<string> {
  let text = '';
  const take = async (stream: Streams['stdout']): Promise<void> => {
    for await (const chunk of stream) text += String(chunk);
  };
  await Promise.all([take(stdout), take(stderr)]);
  return text;
}
