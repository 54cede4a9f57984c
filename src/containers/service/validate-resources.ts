/** Limits of memory, CPU and processes. Docker's words (its daemon's platform checks). */
import { availableParallelism } from 'node:os';
import { invalid } from '../../base/errors.ts';
import type { HostConfig } from '../../model/container.ts';

/** bytes; Docker's least memory limit */
const LEAST_MEMORY = 6 * 1024 * 1024;
const NANO = 1e9;

/** @throws invalid */
export function checkResources(host: HostConfig): void {
  const { Memory, MemorySwap, MemoryReservation } = host;
  if (Memory !== 0 && Memory < LEAST_MEMORY) throw invalid('Minimum memory limit allowed is 6MB');
  if (Memory > 0 && MemorySwap > 0 && MemorySwap < Memory) {
    throw invalid('Minimum memoryswap limit should be larger than memory limit, see usage');
  }
  if (Memory === 0 && MemorySwap > 0)
    throw invalid('You should always set the Memory limit when using Memoryswap limit, see usage');
  if (MemoryReservation > 0 && MemoryReservation < LEAST_MEMORY) throw invalid('Minimum memory reservation allowed is 6MB');
  if (Memory > 0 && MemoryReservation > 0 && Memory < MemoryReservation) {
    throw invalid('Minimum memory limit can not be less than memory reservation limit, see usage');
  }
  checkCpu(host);
  if (host.OomScoreAdj < -1000 || host.OomScoreAdj > 1000) {
    throw invalid(`Invalid value ${host.OomScoreAdj}, range for oom score adj is [-1000, 1000]`);
  }
  if (host.ShmSize < 0) throw invalid('SHM size can not be less than 0');
}

function checkCpu({ NanoCpus, CpuPeriod, CpuQuota, CpuShares, CpusetCpus }: HostConfig): void {
  if (NanoCpus > 0 && CpuPeriod > 0) throw invalid('conflicting options: Nano CPUs and CPU Period cannot both be set');
  if (NanoCpus > 0 && CpuQuota > 0) throw invalid('conflicting options: Nano CPUs and CPU Quota cannot both be set');
  const cpus = availableParallelism();
  if (NanoCpus < 0 || NanoCpus > cpus * NANO) {
    throw invalid(`range of CPUs is from 0.01 to ${cpus}.00, as there are only ${cpus} CPUs available`);
  }
  // cgroup v1 cpu.cfs_period_us, cpu.cfs_quota_us: microseconds
  if (CpuPeriod !== 0 && (CpuPeriod < 1000 || CpuPeriod > 1_000_000)) {
    throw invalid('CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)');
  }
  if (CpuQuota > 0 && CpuQuota < 1000) throw invalid('CPU cfs quota can not be less than 1ms (i.e. 1000)');
  if (CpuShares < 0) throw invalid(`invalid CPU shares (${CpuShares}): value must be a positive integer`);
  if (CpusetCpus !== '' && !/^\d+(-\d+)?(,\d+(-\d+)?)*$/.test(CpusetCpus))
    throw invalid(`Invalid value ${CpusetCpus} for cpuset cpus`);
}
