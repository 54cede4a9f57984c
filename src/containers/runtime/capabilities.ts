/** Which capabilities a container gets, by Docker's rules. */
import { invalid } from '../../base/errors.ts';

/** <linux/capability.h>, in order of their numbers. */
const ALL = `
  CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN
  NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME
  SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON
  BPF CHECKPOINT_RESTORE`
  .trim()
  .split(/\s+/)
  .map((name) => `CAP_${name}`);

/** docs.docker.com/engine/containers/run, "Runtime privilege and Linux capabilities". */
const DEFAULT: readonly string[] = `
  CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE`
  .trim()
  .split(/\s+/)
  .map((name) => `CAP_${name}`);

export interface CapabilityRequest {
  readonly privileged: boolean;
  readonly add: readonly string[];
  readonly drop: readonly string[];
}

/**
 * @param available bits of what the daemon itself may hand on (CapBnd of /proc/self/status): "all" is no more than that
 * @returns `CAP_X` names
 * @throws invalid, with Docker's text, for a name that is none
 */
export function capabilities({ privileged, add, drop }: CapabilityRequest, available: bigint): readonly string[] {
  const known = ALL.filter((_, number) => (available >> BigInt(number)) & 1n);
  const added = add.map((name) => normal(name, 'CapAdd'));
  const dropped = drop.map((name) => normal(name, 'CapDrop'));
  if (privileged) return known;
  const kept = (names: readonly string[]): readonly string[] => names.filter((name) => !dropped.includes(name));
  if (added.includes('ALL')) return kept(known);
  const base = dropped.includes('ALL') ? [] : kept(DEFAULT).filter((name) => known.includes(name));
  // One that was asked for by name is never left out in silence: the runtime refuses what cannot be had.
  return [...new Set([...base, ...added])];
}

function normal(name: string, where: string): string {
  const upper = name.toUpperCase();
  if (upper === 'ALL') return upper;
  const full = upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
  if (!ALL.includes(full)) throw invalid(`invalid ${where}: unknown capability: "${full}"`);
  return full;
}
