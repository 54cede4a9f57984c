/** A container beside what the engine knows of it: everything that its two shapes are made from. */
import { MoorError, unsupported } from '../../base/errors.ts';
import type { Engine } from '../../contracts/engine.ts';
import type { Container } from '../../model/container.ts';
import type { Network } from '../../model/network.ts';
import type { Sandbox } from '../../model/sandbox.ts';
import { askedFor } from '../../model/way-out.ts';
import type { DockerDeps } from '../route.ts';
import { endpointSettings, plannedSettings } from './endpoint-settings.ts';
import type { SandboxView } from './sandbox-shape.ts';

export interface ContainerView {
  readonly container: Container;
  /** Its network stack, while it runs with one of its own. */
  readonly sandbox: Sandbox | null;
  readonly files: Readonly<Record<string, string>>;
  readonly logPath: string;
  /** Docker's `NetworkSettings.Networks`, by network name. */
  readonly networks: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** The image it was made from is still called what it was called then. */
  readonly imageName: string;
}

export function viewOf(deps: DockerDeps, container: Container): ContainerView {
  const { engine, images } = deps;
  const sandbox = found(() => engine.sandboxes.get(container.id));
  return {
    container,
    sandbox,
    files: sandbox === null ? {} : engine.sandboxes.files(sandbox.id),
    logPath: deps.containers.logPath(container.id),
    networks: networksOf(engine, container, sandbox),
    imageName:
      found(() => images.get(container.config.Image))?.id === container.imageId ? container.config.Image : container.imageId,
  };
}

function networksOf(engine: Engine, container: Container, sandbox: Sandbox | null): ContainerView['networks'] {
  if (sandbox !== null && sandbox.endpoints.length > 0) {
    return Object.fromEntries(
      askedFor(sandbox).map((endpoint) => {
        const network = networkOf(engine, endpoint.networkId);
        return [network?.name ?? endpoint.networkId, endpointSettings(endpoint, network, sandbox)];
      }),
    );
  }
  return Object.fromEntries(
    container.networks.map(({ network: reference, endpoint }) => {
      const network = networkOf(engine, reference);
      return [network?.name ?? reference, plannedSettings(endpoint, network)];
    }),
  );
}

/** undefined when it is gone, which an endpoint outlives only while its removal is under way */
const networkOf = ({ networks }: Engine, reference: string): Network | undefined =>
  found(() => networks.get(reference)) ?? undefined;

export function sandboxView({ engine, processes }: DockerDeps, sandbox: Sandbox): SandboxView {
  return {
    sandbox,
    status: sandbox.process === null ? 'created' : processes.alive(sandbox.process) ? 'running' : 'exited',
    networks: new Map(
      sandbox.endpoints.flatMap(({ networkId }) => {
        const network = networkOf(engine, networkId);
        return network === undefined ? [] : [[networkId, network] as const];
      }),
    ),
    files: engine.sandboxes.files(sandbox.id),
  };
}

/** Sandboxes of `moor run` and `moor adopt`, which are shown as containers; not those that belong to one. */
export function bareSandboxes({ engine, containers }: DockerDeps): readonly Sandbox[] {
  const owned = new Set<string>(containers.list().map(({ id }) => id));
  return engine.sandboxes.list().filter(({ id }) => !owned.has(id));
}

/** A container, or a bare sandbox by the same rules. @throws not-found as the containers say it */
export function containerOrSandbox(
  deps: DockerDeps,
  reference: string,
): { readonly container: Container } | { readonly sandbox: Sandbox } {
  // By its whole name or id, which no container has at the same time: to throw and catch what says so is a fiftieth of a connect (0.05 ms).
  const whole = found(() => deps.engine.sandboxes.get(reference));
  if (whole !== null && whole.managed !== true && (whole.name === reference || whole.id === reference)) return { sandbox: whole };
  try {
    return { container: deps.containers.get(reference) };
  } catch (error) {
    const sandbox = isNotFound(error) ? found(() => deps.engine.sandboxes.get(reference)) : null;
    if (sandbox === null) throw error;
    return { sandbox };
  }
}

/** @param action `stop`, for the sentence. @throws unsupported for a bare sandbox, which is not run by us; not-found */
export function containerOf(deps: DockerDeps, reference: string, action: string): Container {
  const found = containerOrSandbox(deps, reference);
  if ('container' in found) return found.container;
  throw unsupported(
    `Cannot ${action} ${found.sandbox.name}: it is a sandbox of \`moor run\`, not a container; it can be inspected, connected and removed`,
  );
}

export const isNotFound = (error: unknown): boolean => error instanceof MoorError && error.kind === 'not-found';

/** What a look-up finds, or null when it finds nothing. */
export function found<T>(look: () => T): T | null {
  try {
    return look();
  } catch (error) {
    if (error instanceof MoorError) return null;
    throw error;
  }
}
