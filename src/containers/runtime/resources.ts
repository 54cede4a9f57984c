/** Limits: HostConfig -> cgroup resources and rlimits of the OCI specification. */
import { invalid } from '../../base/errors.ts';
import type { HostConfig } from '../../model/container.ts';
import type { OciDeviceRule, OciResources } from './oci.ts';

/** microseconds; CFS's default, which `--cpus` counts in */
const CPU_PERIOD = 100_000;
const NANO = 1e9;

/** getrlimit(2); Docker names them in small letters without the prefix. */
const RLIMITS: readonly string[] =
  `core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack`.split(' ');

export interface ResourceFacts {
  /** Can this kernel count swap per cgroup? */
  readonly swapAccounting: boolean;
}

/** Limits that may change while the container runs; a field that is absent or 0 (Docker's "not given") is left as it is. */
export function limits(config: Partial<HostConfig>, facts: ResourceFacts): OciResources {
  const memory = memoryLimits(config, facts);
  const cpu = cpuLimits(config);
  const pids = config.PidsLimit ?? 0;
  return {
    ...(Object.keys(memory).length === 0 ? {} : { memory }),
    ...(Object.keys(cpu).length === 0 ? {} : { cpu }),
    ...(pids === 0 ? {} : { pids: { limit: pids < 0 ? -1 : pids } }),
  };
}

function memoryLimits(config: Partial<HostConfig>, { swapAccounting }: ResourceFacts): NonNullable<OciResources['memory']> {
  const { Memory: limit = 0, MemoryReservation: reservation = 0, MemorySwap = 0, OomKillDisable: disableOOMKiller } = config;
  // Docker: without --memory-swap a container may swap as much as it has memory. The number is the sum of both.
  const swap = limit > 0 && MemorySwap === 0 ? 2 * limit : MemorySwap;
  return {
    ...(limit > 0 ? { limit } : {}),
    ...(reservation > 0 ? { reservation } : {}),
    ...(swap !== 0 && swapAccounting ? { swap } : {}),
    ...(disableOOMKiller ? { disableOOMKiller } : {}),
  };
}

function cpuLimits(config: Partial<HostConfig>): NonNullable<OciResources['cpu']> {
  const { NanoCpus = 0, CpuShares: shares = 0, CpuPeriod = 0, CpuQuota = 0, CpusetCpus: cpus = '' } = config;
  const period = NanoCpus > 0 ? CPU_PERIOD : CpuPeriod;
  const quota = NanoCpus > 0 ? Math.round((NanoCpus * CPU_PERIOD) / NANO) : CpuQuota;
  return {
    ...(shares > 0 ? { shares } : {}),
    ...(period > 0 ? { period } : {}),
    ...(quota !== 0 ? { quota } : {}),
    ...(cpus !== '' ? { cpus } : {}),
  };
}

/** @throws invalid, in Docker's words */
export function rlimits(
  ulimits: HostConfig['Ulimits'],
): readonly { readonly type: string; readonly soft: number; readonly hard: number }[] {
  return ulimits.map(({ Name, Soft, Hard }) => {
    if (!RLIMITS.includes(Name)) throw invalid(`invalid ulimit type: ${Name}`);
    if (Hard !== -1 && (Soft === -1 || Soft > Hard)) {
      throw invalid(`ulimit soft limit must be less than or equal to hard limit: ${Soft} > ${Hard}`);
    }
    return { type: `RLIMIT_${Name.toUpperCase()}`, soft: rlimit(Soft), hard: rlimit(Hard) };
  });
}

/** Docker's -1 is RLIM_INFINITY, which a JSON number cannot hold exactly; the largest exact one is as good. */
const rlimit = (value: number): number => (value === -1 ? Number.MAX_SAFE_INTEGER : value);

/** What a container may do with devices: nothing but the runtime's own list (null, zero, random, terminals), and what it was given. */
export function deviceRules(privileged: boolean, given: readonly OciDeviceRule[]): readonly OciDeviceRule[] {
  return privileged ? [{ allow: true, access: 'rwm' }] : [{ allow: false, access: 'rwm' }, ...given];
}
