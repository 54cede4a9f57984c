/** `/containers`: list, inspect and create; the rest is in the files beside. */
import { queryBoolean } from '../query.ts';
import type { Call, DockerDeps, DockerRoute } from '../route.ts';
import { ARCHIVE_ROUTES } from './archive.ts';
import { ATTACH_ROUTES } from './attach.ts';
import { create } from './create.ts';
import { containerInspect } from './inspect.ts';
import { LIFECYCLE_ROUTES } from './lifecycle.ts';
import { list, sizesOf } from './list.ts';
import { LOG_ROUTES } from './logs.ts';
import { sandboxInspect } from './sandbox-shape.ts';
import { STATS_ROUTES } from './stats.ts';
import { containerOrSandbox, type ContainerView, sandboxView, viewOf } from './view.ts';

export const CONTAINER_ROUTES: readonly DockerRoute[] = [
  { method: 'GET', path: '/containers/json', summary: 'list, with filters', handle: list },
  { method: 'GET', path: '/containers/:id/json', summary: 'inspect', handle: inspect },
  { method: 'POST', path: '/containers/create', summary: 'create', handle: create },
  ...LIFECYCLE_ROUTES,
  ...ATTACH_ROUTES,
  ...LOG_ROUTES,
  ...STATS_ROUTES,
  ...ARCHIVE_ROUTES,
];

async function inspect(deps: DockerDeps, { request, query, parameter }: Call): Promise<unknown> {
  const target = containerOrSandbox(deps, parameter('id'));
  if ('sandbox' in target) return sandboxInspect(sandboxView(deps, target.sandbox));
  const { container } = target;
  const view = viewOf(deps, container);
  const shown = deps.apiVersion(request.raw).minor < 45 ? withIdAlias(view) : view;
  const sizes = queryBoolean(query, 'size') ? { sizes: await sizesOf(deps, container) } : {};
  return containerInspect(shown, { cgroupVersion: deps.system().cgroupVersion, ...sizes });
}

/** Before API 1.45 the short id was among the aliases on a network of the user's: docker-compose 1 attaches again what lacks it. */
function withIdAlias(view: ContainerView): ContainerView {
  const { id, hostConfig } = view.container;
  if (['bridge', 'default', 'host', 'none'].includes(hostConfig.NetworkMode)) return view;
  const networks = Object.entries(view.networks).map(([name, settings]) => {
    const aliases = (settings['Aliases'] ?? []) as readonly string[];
    return [name, { ...settings, Aliases: [...new Set([...aliases, id.slice(0, 12)])] }];
  });
  return { ...view, networks: Object.fromEntries(networks) as ContainerView['networks'] };
}
