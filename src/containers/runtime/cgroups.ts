/** A container's cgroups. */
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Id } from '../../base/ids.ts';
import { CGROUP_ROOT, type Host } from './host.ts';
import { CGROUP_PARENT } from './spec.ts';
import { namesIn, readIfThere } from './state.ts';
import type { StatsPlace } from './stats.ts';

export function cgroupPlace({ cgroup: version }: Host, container: Id): StatsPlace {
  const name = join(CGROUP_PARENT, container);
  return {
    version,
    directory: (controller) => (version === 2 ? join(CGROUP_ROOT, name) : join(CGROUP_ROOT, controller, name)),
  };
}

/** Host pids in the container and in cgroups that it has made itself. */
export function processesIn(place: StatsPlace): readonly number[] {
  const pids: number[] = [];
  const walk = (directory: string): void => {
    const text = readIfThere(join(directory, 'cgroup.procs'));
    if (text === null) return;
    pids.push(...text.split('\n').filter(Boolean).map(Number));
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      if (entry.isDirectory()) walk(join(directory, entry.name));
    }
  };
  // `devices` of version 1 is joined by every container.
  walk(place.directory('devices'));
  return pids.filter((pid) => pid > 0);
}

/** A frozen process takes no signal on version 1, SIGKILL included. */
export function thaw(place: StatsPlace): void {
  if (place.version === 1 && namesIn(place.directory('freezer')).includes('freezer.state')) {
    writeFileSync(join(place.directory('freezer'), 'freezer.state'), 'THAWED');
  }
}
