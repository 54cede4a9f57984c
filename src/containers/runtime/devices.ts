/** Devices of the host that a container gets. */
import { readdirSync, type Stats, statSync } from 'node:fs';
import { join } from 'node:path';
import { invalid } from '../../base/errors.ts';
import type { HostConfig } from '../../model/container.ts';
import type { OciDevice, OciDeviceRule } from './oci.ts';

export interface Devices {
  readonly devices: readonly OciDevice[];
  readonly rules: readonly OciDeviceRule[];
}

/** Parts of /dev that a container has of its own; the console is the terminal's. */
const OWN: readonly string[] = ['pts', 'shm', 'fd', 'mqueue', '.lxc', '.lxd-mounts', '.udev', 'console'];

/** @throws invalid, in Docker's words, for a device that is not there */
export function resolveDevices({ Devices: asked, Privileged: privileged }: HostConfig): Devices {
  if (privileged) return { devices: walk('/dev', '/dev'), rules: [] };
  const devices: OciDevice[] = [];
  const rules: OciDeviceRule[] = [];
  for (const { PathOnHost, PathInContainer, CgroupPermissions } of asked) {
    const found = resolve(PathOnHost, PathInContainer || PathOnHost);
    const access = CgroupPermissions || 'rwm';
    if (!/^[rwm]{1,3}$/.test(access)) throw invalid(`invalid device mode: ${access}`);
    devices.push(...found);
    rules.push(...found.map(({ type, major, minor }) => ({ allow: true, type, major, minor, access })));
  }
  return { devices, rules };
}

function resolve(source: string, target: string): readonly OciDevice[] {
  const found = statSync(source, { throwIfNoEntry: false });
  const fail = (why: string): Error =>
    invalid(`error gathering device information while adding custom device "${source}": ${why}`);
  if (!found) throw fail('no such file or directory');
  const devices = found.isDirectory() ? walk(source, target) : [device(found, target)].filter((one) => one !== null);
  if (devices.length === 0) throw fail('not a device node');
  return devices;
}

function walk(source: string, target: string): readonly OciDevice[] {
  return readdirSync(source, { withFileTypes: true }).flatMap((entry) => {
    const [from, to] = [join(source, entry.name), join(target, entry.name)];
    if (entry.isDirectory()) return OWN.includes(entry.name) ? [] : walk(from, to);
    if (!(entry.isCharacterDevice() || entry.isBlockDevice()) || OWN.includes(entry.name)) return [];
    const found = statSync(from, { throwIfNoEntry: false });
    const made = found ? device(found, to) : null;
    return made ? [made] : [];
  });
}

function device(found: Stats, path: string): OciDevice | null {
  if (!found.isCharacterDevice() && !found.isBlockDevice()) return null;
  const { uid, gid, rdev } = found;
  return {
    path,
    type: found.isBlockDevice() ? 'b' : 'c',
    major: ((rdev >>> 8) & 0xfff) | (Math.floor(rdev / 2 ** 32) & ~0xfff), // gnu_dev_major, <sys/sysmacros.h>
    minor: (rdev & 0xff) | ((rdev >>> 12) & 0xfff00),
    fileMode: found.mode & 0o7777,
    uid,
    gid,
  };
}
