/** `docker ps`: one row. */
import type { MountPoint } from '../../model/container.ts';
import { portList } from './ports-shape.ts';
import { statusText } from './status.ts';
import type { ContainerView } from './view.ts';

export interface Sizes {
  /** bytes in the writable layer */
  readonly writable: number;
  /** bytes in all, with the image */
  readonly total: number;
}

/** @param now milliseconds since the epoch */
export function containerSummary(view: ContainerView, now: number, sizes?: Sizes): Readonly<Record<string, unknown>> {
  const { container, networks } = view;
  const { config, hostConfig } = container;
  return {
    Id: container.id,
    Names: [`/${container.name}`],
    Image: view.imageName,
    ImageID: container.imageId,
    Command: commandText(commandOf(config)),
    Created: Math.floor(Date.parse(container.created) / 1000),
    Ports: portList(exposedPorts(view), view.sandbox?.ports),
    ...(sizes === undefined ? {} : { SizeRw: sizes.writable, SizeRootFs: sizes.total }),
    Labels: config.Labels,
    State: container.state.status,
    Status: statusText(container, now),
    HostConfig: { NetworkMode: hostConfig.NetworkMode },
    NetworkSettings: { Networks: networks },
    Mounts: container.mounts.filter(({ type }) => type !== 'tmpfs').map(mountShape),
  };
}

/** Entrypoint and command: what is run. */
export const commandOf = (config: {
  readonly Entrypoint: readonly string[] | null;
  readonly Cmd: readonly string[] | null;
}): readonly string[] => [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])];

function commandText([path = '', ...args]: readonly string[]): string {
  return [path, ...args.map((word) => (word.includes(' ') ? `'${word}'` : word))].join(' ');
}

/** `80/tcp`, while there is a stack of its own in which somebody may listen. */
export function exposedPorts({ container, sandbox }: ContainerView): readonly string[] {
  if (sandbox === null || sandbox.netns.type === 'host') return [];
  const exposed = Object.keys(container.config.ExposedPorts ?? {}).map((port) => (port.includes('/') ? port : `${port}/tcp`));
  return [...new Set([...exposed, ...Object.keys(container.hostConfig.PortBindings)])];
}

export const mountShape = (mount: MountPoint): Readonly<Record<string, unknown>> => ({
  Type: mount.type,
  ...(mount.name === undefined ? {} : { Name: mount.name }),
  Source: mount.source,
  Destination: mount.destination,
  ...(mount.type === 'volume' ? { Driver: 'local' } : {}),
  Mode: mount.mode,
  RW: !mount.readOnly,
  Propagation: mount.propagation,
});
