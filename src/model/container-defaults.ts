/** What a container has when nobody says otherwise: Docker's values, as they are carried out and as they are shown. */

/** What tells of the host, or changes it, although no namespace covers it; hidden from a process that is not privileged (moby oci/defaults.go). */
export const MASKED_PATHS: readonly string[] = [
  '/proc/asound',
  '/proc/acpi',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
];

/** What it may read there, and not write. */
export const READ_ONLY_PATHS: readonly string[] = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

/** bytes; size of /dev/shm */
export const SHM_SIZE = 64 * 1024 * 1024;
