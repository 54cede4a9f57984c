/**
 * Sandboxes as containers, as far as that is true: they have a name, a state, a process and networks, but no image, no file
 * system and no logs; such fields are empty.
 */
import type { Network } from '../../model/network.ts';
import type { Sandbox } from '../../model/sandbox.ts';
import { askedFor } from '../../model/way-out.ts';
import { humanDuration } from './duration.ts';
import { endpointSettings } from './endpoint-settings.ts';
import { networkSettings } from './network-settings.ts';
import { portList, portsShape } from './ports-shape.ts';

/** `created`: has a network stack and no process. */
export type SandboxStatus = 'created' | 'running' | 'exited';

export interface SandboxView {
  readonly sandbox: Sandbox;
  readonly status: SandboxStatus;
  /** The network of each endpoint, by network id. */
  readonly networks: ReadonlyMap<string, Network>;
  /** Host path by path inside: `/etc/hosts`. */
  readonly files: Readonly<Record<string, string>>;
}

/** `docker ps`: one row. */
export function sandboxSummary(view: SandboxView, now: number): Readonly<Record<string, unknown>> {
  const { sandbox, status } = view;
  const created = Date.parse(sandbox.created);
  return {
    Id: sandbox.id,
    Names: [`/${sandbox.name}`],
    Image: '',
    ImageID: '',
    Command: sandbox.process?.command.join(' ') ?? '',
    Created: Math.floor(created / 1000),
    Ports: portList([], sandbox.ports),
    Labels: sandbox.labels,
    State: status,
    Status: statusText(status, now - created),
    HostConfig: { NetworkMode: networkMode(view) },
    NetworkSettings: { Networks: networksOf(view) },
    Mounts: [],
  };
}

/** `docker inspect` */
export function sandboxInspect(view: SandboxView): Readonly<Record<string, unknown>> {
  const { sandbox, status, files } = view;
  const command = sandbox.process?.command ?? [];
  return {
    Id: sandbox.id,
    Created: sandbox.created,
    Path: command[0] ?? '',
    Args: command.slice(1),
    State: {
      Status: status,
      Running: status === 'running',
      Paused: false,
      Restarting: false,
      OOMKilled: false,
      Dead: false,
      Pid: status === 'running' ? (sandbox.process?.pid ?? 0) : 0,
      ExitCode: 0,
      Error: '',
      StartedAt: NEVER,
      FinishedAt: NEVER,
    },
    Image: '',
    ResolvConfPath: files['/etc/resolv.conf'] ?? '',
    HostnamePath: files['/etc/hostname'] ?? '',
    HostsPath: files['/etc/hosts'] ?? '',
    LogPath: '',
    Name: `/${sandbox.name}`,
    RestartCount: 0,
    Driver: '',
    Platform: 'linux',
    MountLabel: '',
    ProcessLabel: '',
    AppArmorProfile: '',
    ExecIDs: null,
    HostConfig: {
      NetworkMode: networkMode(view),
      AutoRemove: sandbox.autoRemove,
      PortBindings: portsShape([], sandbox.ports),
      RestartPolicy: { Name: 'no', MaximumRetryCount: 0 },
    },
    GraphDriver: { Data: null, Name: '' },
    Mounts: [],
    Config: {
      Hostname: sandbox.hostname,
      Domainname: '',
      User: '',
      AttachStdin: false,
      AttachStdout: false,
      AttachStderr: false,
      Tty: false,
      OpenStdin: false,
      StdinOnce: false,
      Env: null,
      Cmd: command,
      Image: '',
      Volumes: null,
      WorkingDir: '',
      Entrypoint: null,
      Labels: sandbox.labels,
    },
    NetworkSettings: networkSettings({ sandbox, ports: portsShape([], sandbox.ports), networks: networksOf(view) }),
  };
}

/** Go's zero time: a point in time that we do not record. */
const NEVER = '0001-01-01T00:00:00Z';

function networksOf({ sandbox, networks }: SandboxView): Readonly<Record<string, Readonly<Record<string, unknown>>>> {
  return Object.fromEntries(
    askedFor(sandbox).map((endpoint) => {
      const network = networks.get(endpoint.networkId);
      return [network?.name ?? endpoint.networkId, endpointSettings(endpoint, network, sandbox)];
    }),
  );
}

/** Docker's word for what a container was started on: the first network. */
function networkMode({ sandbox, networks }: SandboxView): string {
  if (sandbox.netns.type === 'host') return 'host';
  const first = sandbox.endpoints[0];
  return first === undefined ? 'none' : (networks.get(first.networkId)?.name ?? first.networkId);
}

function statusText(status: SandboxStatus, ageMs: number): string {
  switch (status) {
    case 'created':
      return 'Created';
    case 'exited':
      return 'Exited';
    case 'running':
      return `Up ${humanDuration(ageMs)}`;
    default:
      return status satisfies never;
  }
}
