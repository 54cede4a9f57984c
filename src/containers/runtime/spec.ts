/** A container as the OCI runtime wants it. Pure: what it depends on of the host comes as facts. */
import { invalid } from '../../base/errors.ts';
import type { StartRequest } from '../../contracts/containers.ts';
import { MASKED_PATHS, READ_ONLY_PATHS } from '../../model/container-defaults.ts';
import { capabilities } from './capabilities.ts';
import { type MountFacts, mounts, rootPropagation } from './mounts.ts';
import type { OciDevice, OciDeviceRule, OciNamespace, OciSpec } from './oci.ts';
import { containerProcess, type ProcessFacts } from './process.ts';
import { deviceRules, limits, type ResourceFacts } from './resources.ts';
import { resolveSeccomp, type SeccompFacts } from './seccomp.ts';
import { securityOptions } from './security.ts';

export interface SpecFacts extends MountFacts, ProcessFacts, ResourceFacts, SeccompFacts {
  /** Devices of the host that the container gets, and what it may do with them. */
  readonly devices: readonly OciDevice[];
  readonly deviceRules: readonly OciDeviceRule[];
}

/** Parent of all our cgroups, in every hierarchy. */
export const CGROUP_PARENT = '/moor';

export function ociSpec(request: StartRequest, facts: SpecFacts): OciSpec {
  const { id, config, hostConfig } = request.container;
  const { Privileged: privileged } = hostConfig;
  const security = securityOptions(hostConfig.SecurityOpt);
  const allowed = capabilities({ privileged, add: hostConfig.CapAdd, drop: hostConfig.CapDrop }, facts.capabilities);
  const open = privileged || security.systemPaths;
  const propagation = rootPropagation(request.mounts);
  const ownName = hostConfig.UTSMode !== 'host';
  return {
    ociVersion: '1.0.2',
    process: containerProcess(request, facts),
    root: { path: request.root, readonly: hostConfig.ReadonlyRootfs },
    ...(ownName ? { hostname: request.hostname } : {}),
    mounts: mounts(request, facts),
    linux: {
      namespaces: namespaces(request, facts),
      cgroupsPath: `${CGROUP_PARENT}/${id}`,
      resources: { ...limits(hostConfig, facts), devices: deviceRules(privileged, facts.deviceRules) },
      devices: facts.devices,
      sysctl: sysctls(request, ownName ? config.Domainname : ''),
      ...(propagation ? { rootfsPropagation: propagation } : {}),
      maskedPaths: open ? [] : MASKED_PATHS,
      readonlyPaths: open ? [] : READ_ONLY_PATHS,
      ...(security.seccomp && !privileged ? { seccomp: resolveSeccomp(security.seccomp, allowed, facts) } : {}),
    },
  };
}

function namespaces(request: StartRequest, { cgroup }: SpecFacts): readonly OciNamespace[] {
  const { hostConfig } = request.container;
  const shared = (type: 'pid' | 'ipc', mode: string): readonly OciNamespace[] => {
    const path = request.shared[type];
    if (path !== null) return [{ type, path }];
    return mode === 'host' ? [] : [{ type }];
  };
  return [
    { type: 'mount' },
    ...(request.netns === null ? [] : [{ type: 'network' as const, path: request.netns }]),
    ...(hostConfig.UTSMode === 'host' ? [] : [{ type: 'uts' as const }]),
    ...shared('pid', hostConfig.PidMode),
    ...shared('ipc', hostConfig.IpcMode),
    // Docker's defaults: the host's on version 1, a private one on version 2.
    ...(cgroup === 2 && !hostConfig.Privileged ? [{ type: 'cgroup' as const }] : []),
  ];
}

function sysctls(request: StartRequest, domainname: string): Readonly<Record<string, string>> {
  const { Sysctls: asked, IpcMode, NetworkMode } = request.container.hostConfig;
  for (const name of Object.keys(asked)) {
    if (request.netns === null && name.startsWith('net.'))
      throw invalid(`sysctl '${name}' not allowed in host network namespace`);
    if (IpcMode === 'host' && /^(kernel\.(sem|msg|shm)|fs\.mqueue\.)/.test(name)) {
      throw invalid(`sysctl '${name}' not allowed with host IPC namespace`);
    }
  }
  const ownStack = request.netns !== null && !NetworkMode.startsWith('container:');
  return {
    // Inside a network namespace of its own a low port, or a ping, takes nothing from anybody.
    ...(ownStack ? { 'net.ipv4.ip_unprivileged_port_start': '0', 'net.ipv4.ping_group_range': '0 2147483647' } : {}),
    ...(domainname === '' ? {} : { 'kernel.domainname': domainname }),
    ...asked,
  };
}
