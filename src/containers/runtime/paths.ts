/** Where the runtime keeps what. */
import { join } from 'node:path';
import type { Id } from '../../base/ids.ts';

/** Files of one process that a conmon watches over: a container's first, or an exec. */
export interface MonitorPaths {
  readonly container: Id;
  /** conmon's bundle: configuration, sockets, pids. */
  readonly directory: string;
  /** The request, for after a restart. */
  readonly state: string;
  readonly pid: string;
  readonly monitorPid: string;
  readonly attach: string;
  readonly control: string;
  readonly runtimeLog: string;
  readonly exitDirectory: string;
  /** The exit code in decimal, once the process has ended. conmon names it after the container also for an exec. */
  readonly exit: string;
  readonly oom: string;
}

export interface Layout {
  readonly runtimeRoot: string;
  readonly containers: string;
  readonly container: (id: Id) => MonitorPaths;
  readonly exec: (container: Id, id: Id) => MonitorPaths;
  /** Directory of all execs of a container. */
  readonly execs: (container: Id) => string;
  /** The container's /dev/shm when it is shared with others. */
  readonly shm: (id: Id) => string;
  readonly log: (id: Id) => string;
}

export function layout({ dataRoot, execRoot }: { readonly dataRoot: string; readonly execRoot: string }): Layout {
  const containers = join(execRoot, 'containers');
  const files = (directory: string, id: Id): MonitorPaths => ({
    container: id,
    directory,
    state: join(directory, 'state.json'),
    pid: join(directory, 'pid'),
    monitorPid: join(directory, 'monitor.pid'),
    attach: join(directory, 'attach'),
    control: join(directory, 'ctl'),
    runtimeLog: join(directory, 'runtime.log'),
    exitDirectory: join(directory, 'exit'),
    exit: join(directory, 'exit', id),
    oom: join(directory, 'oom'),
  });
  const execs = (container: Id): string => join(containers, container, 'exec');
  return {
    runtimeRoot: join(execRoot, 'oci'),
    containers,
    container: (id) => files(join(containers, id), id),
    exec: (container, id) => files(join(execs(container), id), container),
    execs,
    shm: (id) => join(containers, id, 'shm'),
    log: (id) => join(dataRoot, 'containers', id, 'log'),
  };
}
