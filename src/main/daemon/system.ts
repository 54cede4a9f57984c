/** What `GET /version` and `GET /info` say about this daemon and machine. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, hostname, machine, release, totalmem } from 'node:os';
import { MAX_API_VERSION, MIN_API_VERSION, versionText } from '../../api/version.ts';
import type { SystemFacts } from '../../docker/route.ts';

export interface SystemOptions {
  readonly version: string;
  readonly dataRoot: string;
  readonly networkDrivers: readonly string[];
  readonly addressPools: readonly { readonly base: string; readonly size: number }[];
  readonly programs?: SystemFacts['programs'];
  readonly debug: () => boolean;
}

/** @returns reads what can change at every call */
export function systemFacts(options: SystemOptions): () => SystemFacts {
  const id = installationId(`${options.dataRoot}/id`);
  const distribution = osRelease();
  return () => ({
    version: options.version,
    apiVersion: versionText(MAX_API_VERSION),
    minApiVersion: versionText(MIN_API_VERSION),
    nodeVersion: process.versions.node,
    kernelVersion: release(),
    operatingSystem: distribution.get('PRETTY_NAME') ?? 'Linux',
    osVersion: distribution.get('VERSION_ID') ?? '',
    architecture: machine(),
    cpus: availableParallelism(),
    memory: totalmem(),
    hostname: hostname(),
    dataRoot: options.dataRoot,
    id,
    debug: options.debug(),
    networkDrivers: options.networkDrivers,
    // cgroups(7): this file is in the root of the unified hierarchy only.
    cgroupVersion: existsSync('/sys/fs/cgroup/cgroup.controllers') ? 2 : 1,
    programs: options.programs ?? [],
    addressPools: options.addressPools,
  });
}

/** Made at the first start and kept in the data root, as dockerd's engine id. */
function installationId(file: string): string {
  try {
    const id = readFileSync(file, 'utf8').trim();
    if (id !== '') return id;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const id = crypto.randomUUID();
  writeFileSync(file, `${id}\n`, { mode: 0o644 });
  return id;
}

/** os-release(5) */
function osRelease(): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  try {
    for (const line of readFileSync('/etc/os-release', 'utf8').split('\n')) {
      const match = /^([A-Z_]+)=(?:"(.*)"|'(.*)'|(.*))$/.exec(line);
      if (match?.[1]) found.set(match[1], match[2] ?? match[3] ?? match[4] ?? '');
    }
  } catch {
    // A system without the file has no name.
  }
  return found;
}
