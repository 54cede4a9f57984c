/** `/_ping`, `/version`, `/info` */
import type { DockerDeps, DockerRoute, Call, SystemFacts } from './route.ts';

export const SYSTEM_ROUTES: readonly DockerRoute[] = [
  { method: 'GET', path: '/_ping', summary: 'is the daemon there; headers tell the API version', handle: ping },
  { method: 'HEAD', path: '/_ping', summary: 'the same without a body', handle: ping },
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
    Components: [{ Name: 'Engine', Version: facts.version, Details: details }],
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

async function info({ engine, processes, clock, system }: DockerDeps): Promise<unknown> {
  const facts = system();
  const status = await engine.status();
  const sandboxes = engine.sandboxes.list();
  const running = sandboxes.filter(({ process }) => process !== null && processes.alive(process)).length;
  return {
    ID: facts.id,
    Containers: sandboxes.length,
    ContainersRunning: running,
    ContainersPaused: 0,
    ContainersStopped: sandboxes.length - running,
    Images: 0,
    Driver: 'none',
    DriverStatus: [],
    Plugins: { Volume: null, Network: facts.networkDrivers, Authorization: null, Log: null },
    MemoryLimit: false,
    SwapLimit: false,
    CpuCfsPeriod: false,
    CpuCfsQuota: false,
    CPUShares: false,
    CPUSet: false,
    PidsLimit: false,
    IPv4Forwarding: status.facts.sysctls['net/ipv4/ip_forward'] === '1',
    BridgeNfIptables: status.facts.bridgeNf === true,
    BridgeNfIp6tables: status.facts.bridgeNf === true,
    Debug: facts.debug,
    NFd: 0,
    OomKillDisable: false,
    NGoroutines: 0,
    SystemTime: new Date(clock.now()).toISOString(),
    LoggingDriver: 'none',
    CgroupDriver: 'none',
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
    Runtimes: {},
    DefaultRuntime: '',
    Swarm: { NodeID: '', NodeAddr: '', LocalNodeState: 'inactive', ControlAvailable: false, Error: '', RemoteManagers: null },
    LiveRestoreEnabled: true,
    Isolation: '',
    InitBinary: '',
    ContainerdCommit: { ID: '' },
    RuncCommit: { ID: '' },
    InitCommit: { ID: '' },
    SecurityOptions: [],
    ...(facts.addressPools.length === 0
      ? {}
      : { DefaultAddressPools: facts.addressPools.map(({ base, size }) => ({ Base: base, Size: size })) }),
    CDISpecDirs: [],
    Warnings: status.warnings.length === 0 ? null : status.warnings,
  };
}
