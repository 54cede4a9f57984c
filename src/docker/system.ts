/** `/_ping`, `/version`, `/info` */
import { bareSandboxes } from './container/view.ts';
import type { DockerDeps, DockerRoute, Call, SystemFacts } from './route.ts';

export const SYSTEM_ROUTES: readonly DockerRoute[] = [
  { method: 'GET', path: '/_ping', summary: 'is the daemon there; headers tell the API version', handle: ping },
  { method: 'HEAD', path: '/_ping', since: '1.40', summary: 'the same without a body', handle: ping },
  {
    method: 'GET',
    path: '/version',
    summary: 'versions of the daemon and what it stands on',
    handle: async ({ system }) => version(system()),
  },
  { method: 'GET', path: '/info', summary: 'the daemon and its machine', handle: info },
];

async function ping(_: DockerDeps, { request, reply }: Call): Promise<unknown> {
  reply.headers({ 'cache-control': 'no-cache, no-store, must-revalidate', pragma: 'no-cache' }).type('text/plain; charset=utf-8');
  return request.method === 'HEAD' ? '' : 'OK';
}

function version(facts: SystemFacts): unknown {
  const details = {
    ApiVersion: facts.apiVersion,
    Arch: goArchitecture(facts.architecture),
    Experimental: 'false',
    // Where Docker's client expects the version of Go, it gets to know what it is instead.
    GoVersion: `none (Node ${facts.nodeVersion})`,
    KernelVersion: facts.kernelVersion,
    MinAPIVersion: facts.minApiVersion,
    Os: 'linux',
  };
  return {
    Platform: { Name: 'Moorline' },
    Components: [
      { Name: 'Engine', Version: facts.version, Details: details },
      ...facts.programs.map(({ name, version: number }) => ({ Name: name, Version: number, Details: {} })),
    ],
    Version: facts.version,
    ApiVersion: facts.apiVersion,
    MinAPIVersion: facts.minApiVersion,
    GitCommit: '',
    GoVersion: details.GoVersion,
    Os: 'linux',
    Arch: goArchitecture(facts.architecture),
    KernelVersion: facts.kernelVersion,
  };
}

/** Go's word for `uname -m`, which Docker's `Arch` uses. */
function goArchitecture(machine: string): string {
  return machine === 'x86_64' ? 'amd64' : machine === 'aarch64' ? 'arm64' : machine;
}

async function info(deps: DockerDeps): Promise<unknown> {
  const { engine, clock, system } = deps;
  const facts = system();
  const status = await engine.status();
  const counts = countContainers(deps);
  // cgroup v2 has no way to switch the killer off.
  const v1 = facts.cgroupVersion === 1;
  return {
    ID: facts.id,
    Containers: counts.all,
    ContainersRunning: counts.running,
    ContainersPaused: counts.paused,
    ContainersStopped: counts.all - counts.running - counts.paused,
    Images: deps.images.list().length,
    Driver: 'overlay2',
    DriverStatus: [],
    Plugins: { Volume: ['local'], Network: facts.networkDrivers, Authorization: null, Log: ['json-file', 'local'] },
    MemoryLimit: true,
    SwapLimit: true,
    CpuCfsPeriod: true,
    CpuCfsQuota: true,
    CPUShares: true,
    CPUSet: true,
    PidsLimit: true,
    IPv4Forwarding: status.facts.sysctls['net/ipv4/ip_forward'] === '1',
    BridgeNfIptables: status.facts.bridgeNf === true,
    BridgeNfIp6tables: status.facts.bridgeNf === true,
    Debug: facts.debug,
    NFd: 0,
    OomKillDisable: v1,
    NGoroutines: 0,
    SystemTime: new Date(clock.now()).toISOString(),
    LoggingDriver: 'json-file',
    CgroupDriver: 'cgroupfs',
    CgroupVersion: String(facts.cgroupVersion),
    NEventsListener: 0,
    KernelVersion: facts.kernelVersion,
    OperatingSystem: facts.operatingSystem,
    OSVersion: facts.osVersion,
    OSType: 'linux',
    Architecture: facts.architecture,
    IndexServerAddress: '',
    RegistryConfig: null,
    NCPU: facts.cpus,
    MemTotal: facts.memory,
    GenericResources: null,
    DockerRootDir: facts.dataRoot,
    HttpProxy: '',
    HttpsProxy: '',
    NoProxy: '',
    Name: facts.hostname,
    Labels: [],
    ExperimentalBuild: false,
    ServerVersion: facts.version,
    Runtimes: { runc: { path: 'runc' } },
    DefaultRuntime: 'runc',
    Swarm: { NodeID: '', NodeAddr: '', LocalNodeState: 'inactive', ControlAvailable: false, Error: '', RemoteManagers: null },
    LiveRestoreEnabled: true,
    Isolation: '',
    InitBinary: '',
    ContainerdCommit: { ID: '' },
    RuncCommit: { ID: facts.programs.find(({ name }) => name === 'runc')?.version ?? '' },
    InitCommit: { ID: '' },
    SecurityOptions: ['name=seccomp,profile=builtin'],
    ...(facts.addressPools.length === 0
      ? {}
      : { DefaultAddressPools: facts.addressPools.map(({ base, size }) => ({ Base: base, Size: size })) }),
    CDISpecDirs: [],
    Warnings: status.warnings.length === 0 ? null : status.warnings,
  };
}

/** Containers and bare sandboxes, as the list shows them. */
function countContainers(deps: DockerDeps): { readonly all: number; readonly running: number; readonly paused: number } {
  const containers = deps.containers.list();
  const bare = bareSandboxes(deps);
  const { alive } = deps.processes;
  const states = containers.map(({ state }) => state.status);
  return {
    all: containers.length + bare.length,
    running:
      states.filter((status) => status === 'running' || status === 'restarting').length +
      bare.filter(({ process }) => process !== null && alive(process)).length,
    paused: states.filter((status) => status === 'paused').length,
  };
}
