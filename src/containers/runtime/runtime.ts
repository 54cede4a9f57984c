/** Containers by conmon and an OCI runtime. */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../../base/clock.ts';
import { conflict, MoorError, notFound } from '../../base/errors.ts';
import type { Id } from '../../base/ids.ts';
import type { ExecRequest, Runtime } from '../../contracts/containers.ts';
import { fcntlH } from '../../sys/constants.ts';
import { hasCode } from '../../sys/errors.ts';
import { openRoot } from '../../sys/inside.ts';
import { unmount } from '../../sys/mount.ts';
import { openPid, pidExit, signalPid } from '../../sys/process.ts';
import { cgroupPlace, processesIn, thaw } from './cgroups.ts';
import { createContainer, specText } from './create.ts';
import { openMonitor, processEnd } from './ending.ts';
import { type Host, lookAtHost } from './host.ts';
import { Hub } from './hub.ts';
import { readExit, startMonitor } from './monitor.ts';
import { layout, type MonitorPaths } from './paths.ts';
import { execProcess } from './process.ts';
import { limits } from './resources.ts';
import { releaseInit, runc } from './runc.ts';
import { findMonitor, idsIn, inContainer, namesIn, processRef, readPid, readState, writeState } from './state.ts';
import { readStats } from './stats.ts';
import { lookUpUser, readAccounts } from './users.ts';

export interface RuntimeOptions {
  /** Logs lie in `<dataRoot>/containers/<id>/`. */
  readonly dataRoot: string;
  /** Everything that a reboot may forget: `<execRoot>/containers/<id>/`. */
  readonly execRoot: string;
  readonly logger: Logger;
}

/** ms for a monitor to end after its process has */
const MONITOR_PATIENCE = 5000;
/** ms between looks at a monitor that is making a container, which happens after a crash only */
const CREATION_POLL = 20;
/** conmon ignores larger terminals. */
const LARGEST_TERMINAL = 1000;

const SIGNAL_NAMES = new Map<number, NodeJS.Signals>(
  Object.entries(constants.signals).map(([name, number]) => [number, name as NodeJS.Signals]),
);

/** @returns dispose it to let go of all attached streams; containers run on */
export function createRuntime({ dataRoot, execRoot, logger }: RuntimeOptions): Promise<Runtime & Disposable> {
  const places = layout({ dataRoot, execRoot });
  const hubs = new Map<Id, Hub>();
  let looked: Host | null = null;
  const host = (): Host => (looked ??= lookAtHost());
  const runtime = (): { readonly program: string; readonly root: string } => ({
    program: host().runtime,
    root: places.runtimeRoot,
  });

  /** pid of the first process; @throws conflict when it does not run */
  function pidOf(container: Id): number {
    const paths = places.container(container);
    const pid = readExit(paths) === null ? readPid(paths.pid) : null;
    if (pid === null) throw conflict(`container ${container} is not running`);
    return pid;
  }

  function openHub(id: Id, paths: MonitorPaths, early: boolean): Hub {
    const state = readState(paths);
    if (state === null) throw notFound(`Cannot attach to ${id}: no such process`);
    const spool = dirname(places.log(paths.container));
    const { stdin, once } = state;
    const hub = new Hub({
      path: paths.attach,
      stdin,
      once,
      spool,
      early,
      closed: () => void (hubs.get(id) === hub && hubs.delete(id)),
    });
    hubs.set(id, hub);
    return hub;
  }

  async function deleteInRuntime(container: Id): Promise<void> {
    if (namesIn(places.runtimeRoot).includes(container)) await runc(runtime(), ['delete', '--force', container]);
  }

  async function discard(container: Id): Promise<void> {
    const paths = places.container(container);
    await creationEnds(paths);
    await deleteInRuntime(container);
    const monitors = [paths, ...idsIn(places.execs(container)).map((exec) => places.exec(container, exec))];
    for (const monitor of monitors) await endMonitor(monitor);
    await deleteInRuntime(container); // a creation that did not end, and went with its monitor
    unmount(places.shm(container));
    rmSync(paths.directory, { recursive: true, force: true });
  }

  const self: Runtime & Disposable = {
    async probe() {
      const { runtime: program, conmon } = host();
      const version = (path: string): string => execFileSync(path, ['--version'], { encoding: 'utf8' }).split('\n')[0] ?? '';
      return { runtime: program, version: version(program), monitor: version(conmon) };
    },

    async create(request) {
      const { id } = request.container;
      const paths = places.container(id);
      if (readState(paths) !== null) throw conflict(`container ${id} exists in the runtime`);
      try {
        mkdirSync(places.runtimeRoot, { recursive: true, mode: 0o700 });
        const { pid, spec } = await createContainer(request, host(), places);
        return processRef(pid, spec.process.args);
      } catch (error) {
        await discard(id).catch((failure: unknown) =>
          logger.warn({ err: failure, container: id }, 'cannot clean up after a failed creation'),
        );
        throw error;
      }
    },

    start: (container) => releaseInit(runtime(), container, pidOf(container)),

    exited: (container, signal) => processEnd(places.container(container), logger, signal),

    async kill(container, signal) {
      const name = SIGNAL_NAMES.get(signal);
      const pid = pidOf(container);
      if (name === undefined) {
        await runc(runtime(), ['kill', container, String(signal)]); // a real-time signal
        return;
      }
      using process = openInit(pid, container);
      if (!signalPid(process, name)) throw conflict(`Cannot kill container: ${container}: container ${container} is not running`);
      if (signal === constants.signals.SIGKILL) thaw(cgroupPlace(host(), container));
    },

    pause: async (container) => void (await runc(runtime(), ['pause', container])),
    resume: async (container) => void (await runc(runtime(), ['resume', container])),

    async update(container, changes) {
      const resources = limits(changes, host());
      await runc(runtime(), ['update', '--resources', '-', container], specText(resources));
    },

    remove: async (container) => {
      for (const id of [container, ...idsIn(places.execs(container))]) hubs.get(id)?.[Symbol.dispose]();
      await discard(container);
    },

    async attach(container, exec) {
      const id = exec ?? container;
      const open = hubs.get(id);
      if (open) return open.attach();
      const paths = exec ? places.exec(container, exec) : places.container(container);
      try {
        return openHub(id, paths, false).attach();
      } catch (error) {
        if (hasCode(error, 'ENOENT', 'ECONNREFUSED')) throw conflict(`Cannot attach to ${id}: it has ended`);
        throw error;
      }
    },

    async resize(container, { rows, columns }, exec) {
      const { control } = exec ? places.exec(container, exec) : places.container(container);
      const [height, width] = [rows, columns].map((value) => Math.min(Math.max(0, Math.trunc(value)), LARGEST_TERMINAL));
      let fifo: number;
      try {
        fifo = openSync(control, fcntlH.O_WRONLY | fcntlH.O_NONBLOCK);
      } catch (error) {
        // ENXIO: nobody reads it any more.
        if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENXIO')) {
          throw conflict(`Cannot resize the terminal of ${exec ?? container}: it has ended`);
        }
        throw error;
      }
      try {
        writeSync(fifo, `1 ${height} ${width}\n`);
      } finally {
        closeSync(fifo);
      }
    },

    async exec(request) {
      const { container, id } = request;
      const paths = places.exec(container.id, id);
      try {
        const pid = await startExec(request, paths);
        return processRef(pid, request.command);
      } catch (error) {
        hubs.get(id)?.[Symbol.dispose]();
        await endMonitor(paths);
        rmSync(paths.directory, { recursive: true, force: true });
        throw error;
      }
    },

    execExited: (container, exec, signal) => processEnd(places.exec(container, exec), logger, signal),

    async removeExec(container, exec) {
      const paths = places.exec(container, exec);
      await endMonitor(paths);
      hubs.get(exec)?.abandon();
      rmSync(paths.directory, { recursive: true, force: true });
    },

    async stats(container) {
      return readStats(cgroupPlace(host(), container));
    },

    async processes(container) {
      return processesIn(cgroupPlace(host(), container));
    },

    async known() {
      return [...new Set([...idsIn(places.containers), ...idsIn(places.runtimeRoot)])];
    },

    logPath: places.log,

    [Symbol.dispose]() {
      for (const hub of hubs.values()) hub[Symbol.dispose]();
    },
  };
  return Promise.resolve(self);

  async function startExec(request: ExecRequest, paths: MonitorPaths): Promise<number> {
    const { container, id } = request;
    const started = readState(places.container(container.id));
    if (started === null) throw conflict(`container ${container.id} is not running`);
    // The root as the container sees it: its own mounts included.
    using root = openRoot(`/proc/${pidOf(container.id)}/root`);
    const user = request.user
      ? lookUpUser(request.user, container.hostConfig.GroupAdd, readAccounts(root))
      : started.process.user;
    const process = execProcess(request, started.process, { capabilities: host().capabilities, user });
    mkdirSync(paths.exitDirectory, { recursive: true, mode: 0o700 });
    writeState(paths, { tty: request.tty, stdin: request.stdin, once: true, process });
    const spec = join(paths.directory, 'process.json');
    writeFileSync(spec, specText(process), { mode: 0o600 });
    return await startMonitor({
      host: host(),
      runtimeRoot: places.runtimeRoot,
      paths,
      container: container.id,
      tty: request.tty,
      stdin: request.stdin,
      leaveStdinOpen: false,
      log: null,
      exec: { id, spec, ready: () => void openHub(id, paths, true) },
    });
  }

  /**
   * Waits as long as a monitor is still making its container: a daemon that was killed leaves one at work, and what the runtime has not made
   * yet cannot be deleted.
   */
  async function creationEnds(paths: MonitorPaths): Promise<void> {
    const patience = performance.now() + MONITOR_PATIENCE;
    // The runtime writes the process's number as its last step.
    while (
      readPid(paths.pid) === null &&
      readExit(paths) === null &&
      findMonitor(paths) !== null &&
      performance.now() < patience
    ) {
      await sleep(CREATION_POLL);
    }
  }

  /** Waits for a monitor whose process was ended, and ends one that hangs. */
  async function endMonitor(paths: MonitorPaths): Promise<void> {
    const pid = findMonitor(paths);
    using fd = pid === null ? null : openMonitor(pid, paths);
    if (!fd) return;
    try {
      await pidExit(fd, AbortSignal.timeout(MONITOR_PATIENCE));
    } catch (error) {
      if (!(error instanceof MoorError) || error.kind !== 'cancelled') throw error;
      logger.warn({ pid, directory: paths.directory }, 'a monitor outlives its process: killing it');
      signalPid(fd, 'SIGKILL');
      await pidExit(fd);
    }
  }
}

/** @throws conflict when it has ended */
function openInit(pid: number, container: Id): ReturnType<typeof openPid> {
  const gone = (): Error => conflict(`Cannot kill container: ${container}: container ${container} is not running`);
  try {
    const fd = openPid(pid);
    if (inContainer(pid, container)) return fd;
    fd.close();
    throw gone();
  } catch (error) {
    throw hasCode(error, 'ESRCH') ? gone() : error;
  }
}
