/** What Docker can do for a container and Moorline cannot: refused by name, as a container without it would not be the one that was asked for. */
import { unsupported } from '../../base/errors.ts';
import type { JsonObject } from '../body.ts';

/** Docker's default, which is what every container has. */
export const cgroupNamespace = ({ Privileged }: { readonly Privileged: boolean }, version: 1 | 2): 'host' | 'private' =>
  version === 2 && !Privileged ? 'private' : 'host';

/** Fields of HostConfig that must say nothing. Subjects of a sentence. */
const UNBUILT: Readonly<Record<string, string>> = {
  VolumesFrom: 'taking the volumes of another container (--volumes-from) is',
  Annotations: 'annotations are',
  Cgroup: 'joining a cgroup (Cgroup) is',
  CgroupParent: 'a parent cgroup (--cgroup-parent) is',
  StorageOpt: 'storage options (--storage-opt) are',
  BlkioWeight: 'block I/O weights are',
  BlkioWeightDevice: 'block I/O weights are',
  BlkioDeviceReadBps: 'block I/O limits are',
  BlkioDeviceWriteBps: 'block I/O limits are',
  BlkioDeviceReadIOps: 'block I/O limits are',
  BlkioDeviceWriteIOps: 'block I/O limits are',
  CpuRealtimePeriod: 'real-time CPU limits are',
  CpuRealtimeRuntime: 'real-time CPU limits are',
  CpusetMems: 'choosing memory nodes (--cpuset-mems) is',
  DeviceCgroupRules: 'device rules (--device-cgroup-rule) are',
  DeviceRequests: 'device requests (--gpus) are',
  CpuCount: 'CpuCount (Windows) is',
  CpuPercent: 'CpuPercent (Windows) is',
  IOMaximumIOps: 'IOMaximumIOps (Windows) is',
  IOMaximumBandwidth: 'IOMaximumBandwidth (Windows) is',
};

/** Fields with one or more values that ask for what happens anyway. */
const ONLY: Readonly<Record<string, { readonly values: readonly string[]; readonly what: string }>> = {
  VolumeDriver: { values: ['', 'local'], what: 'volume drivers are' },
  UsernsMode: { values: ['', 'host'], what: 'user namespaces (--userns) are' },
  Runtime: { values: ['', 'runc', 'io.containerd.runc.v2'], what: 'choosing a runtime (--runtime) is' },
  Isolation: { values: ['', 'default'], what: 'isolation (Windows) is' },
};

/** @param cgroupVersion of this machine: its default decides which namespace a container has @throws unsupported naming the feature */
export function refuseUnbuilt(body: JsonObject, cgroupVersion: 1 | 2): void {
  const refuse = (what: string): never => {
    throw unsupported(`Cannot do this for a container: ${what} not supported by Moorline`);
  };
  for (const [name, what] of Object.entries(UNBUILT)) if (body.says(name)) refuse(what);
  for (const [name, { values, what }] of Object.entries(ONLY)) if (!values.includes(body.string(name) ?? '')) refuse(what);
  const namespace = body.string('CgroupnsMode') ?? '';
  if (namespace !== '' && namespace !== cgroupNamespace({ Privileged: body.boolean('Privileged') ?? false }, cgroupVersion)) {
    refuse(`choosing the cgroup namespace (--cgroupns=${namespace}) is`);
  }
  const swappiness = body.integer('MemorySwappiness') ?? -1;
  if (swappiness !== -1) refuse('memory swappiness is');
  // An empty list is how `--security-opt systempaths=unconfined` arrives.
  if (body.has('MaskedPaths') || body.has('ReadonlyPaths'))
    refuse('choosing the masked and read-only paths (systempaths=unconfined) is');
}
