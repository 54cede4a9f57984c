/** `docker inspect` of a container, in the order of Docker's fields. */
import type { ContainerConfig } from '../../model/container.ts';
import { hostConfigShape } from './host-config-shape.ts';
import { networkSettings } from './network-settings.ts';
import { portsShape } from './ports-shape.ts';
import { stateShape } from './status.ts';
import { commandOf, exposedPorts, mountShape, type Sizes } from './summary.ts';
import type { ContainerView } from './view.ts';

export function containerInspect(
  view: ContainerView,
  { cgroupVersion, sizes }: { readonly cgroupVersion: 1 | 2; readonly sizes?: Sizes },
): Readonly<Record<string, unknown>> {
  const { container, sandbox, files } = view;
  const { config } = container;
  const [path = '', ...args] = commandOf(config);
  return {
    Id: container.id,
    Created: container.created,
    Path: path,
    Args: args,
    State: stateShape(container),
    Image: container.imageId,
    ResolvConfPath: files['/etc/resolv.conf'] ?? '',
    HostnamePath: files['/etc/hostname'] ?? '',
    HostsPath: files['/etc/hosts'] ?? '',
    LogPath: view.logPath,
    Name: `/${container.name}`,
    RestartCount: container.restartCount,
    Driver: 'overlay2',
    Platform: 'linux',
    MountLabel: '',
    ProcessLabel: '',
    AppArmorProfile: '',
    ExecIDs: null,
    HostConfig: hostConfigShape(container.hostConfig, cgroupVersion),
    GraphDriver: { Data: null, Name: 'overlay2' },
    ...(sizes === undefined ? {} : { SizeRw: sizes.writable, SizeRootFs: sizes.total }),
    Mounts: container.mounts.filter(({ type }) => type !== 'tmpfs' || isMountRequest(view)).map(mountShape),
    Config: configShape(config),
    NetworkSettings: networkSettings({ sandbox, ports: portsShape(exposedPorts(view), sandbox?.ports), networks: view.networks }),
  };
}

/** In Docker's order, which `docker inspect` prints; what is not set is left out where Go's omitempty does so. */
function configShape(config: ContainerConfig): Readonly<Record<string, unknown>> {
  const { ExposedPorts, Healthcheck, StopSignal, StopTimeout } = config;
  return {
    Hostname: config.Hostname,
    Domainname: config.Domainname,
    User: config.User,
    AttachStdin: config.AttachStdin,
    AttachStdout: config.AttachStdout,
    AttachStderr: config.AttachStderr,
    ...(ExposedPorts === undefined ? {} : { ExposedPorts }),
    Tty: config.Tty,
    OpenStdin: config.OpenStdin,
    StdinOnce: config.StdinOnce,
    Env: config.Env,
    Cmd: config.Cmd,
    ...(Healthcheck === undefined ? {} : { Healthcheck }),
    Image: config.Image,
    Volumes: config.Volumes,
    WorkingDir: config.WorkingDir,
    Entrypoint: config.Entrypoint,
    OnBuild: null,
    Labels: config.Labels,
    ...(StopSignal === undefined ? {} : { StopSignal }),
    ...(StopTimeout === undefined || StopTimeout === null ? {} : { StopTimeout }),
  };
}

/** Docker lists a tmpfs among the mounts when it came by `--mount`, and not when by `--tmpfs`. */
const isMountRequest = ({ container }: ContainerView): boolean =>
  container.hostConfig.Mounts.some(({ Type }) => Type === 'tmpfs');
