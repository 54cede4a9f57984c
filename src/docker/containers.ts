/** The part of `/containers` that is true of sandboxes: list, inspect, remove. */
import { invalid } from '../base/errors.ts';
import type { Engine } from '../contracts/engine.ts';
import type { Network } from '../model/network.ts';
import type { Sandbox } from '../model/sandbox.ts';
import { containerInspect, containerSummary, type SandboxView } from './container-shape.ts';
import { type Filters, parseFilters } from './filters.ts';
import { queryBoolean, queryText } from './query.ts';
import type { Call, DockerDeps, DockerRoute } from './route.ts';

export const CONTAINER_ROUTES: readonly DockerRoute[] = [
  { method: 'GET', path: '/containers/json', summary: 'list sandboxes, with filters', handle: list },
  { method: 'GET', path: '/containers/:id/json', summary: 'inspect a sandbox', handle: inspect },
  { method: 'DELETE', path: '/containers/:id', summary: 'remove a sandbox; with `force` also its process', handle: remove },
];

/** Filters that say something about a sandbox. Docker has more, about images, volumes and ports. */
const FILTERS = ['before', 'id', 'label', 'name', 'network', 'since', 'status'];

async function list(deps: DockerDeps, { query }: Call): Promise<unknown> {
  const filters = parseFilters(queryText(query, 'filters'));
  filters.accept(FILTERS);
  const limit = Number.parseInt(queryText(query, 'limit'), 10);
  // As in Docker, asking for states, or for the latest ones, includes those that do not run.
  const all = queryBoolean(query, 'all') || filters.has('status') || limit > 0;
  for (const status of filters.values('status')) {
    if (!['created', 'restarting', 'running', 'removing', 'paused', 'exited', 'dead'].includes(status)) {
      throw invalid(`invalid filter 'status=${status}'`);
    }
  }
  const after = reference(deps, filters, 'since');
  const before = reference(deps, filters, 'before');
  const views = deps.engine.sandboxes
    .list()
    .filter((sandbox) => (!after || sandbox.created > after.created) && (!before || sandbox.created < before.created))
    .map((sandbox) => viewOf(deps, sandbox))
    .filter((view) => (all || view.status === 'running') && accepted(view, filters))
    .sort((a, b) => (a.sandbox.created < b.sandbox.created ? 1 : -1));
  const now = deps.clock.now();
  return (limit > 0 ? views.slice(0, limit) : views).map((view) => containerSummary(view, now));
}

function reference({ engine }: DockerDeps, filters: Filters, key: string): Sandbox | null {
  const [value] = filters.values(key);
  return value === undefined ? null : engine.sandboxes.get(value);
}

function accepted({ sandbox, status, networks }: SandboxView, filters: Filters): boolean {
  const network = filters.values('network');
  return (
    filters.matches('id', sandbox.id) &&
    (filters.matches('name', sandbox.name) || filters.matches('name', `/${sandbox.name}`)) &&
    filters.labels('label', sandbox.labels) &&
    filters.exact('status', status) &&
    (network.length === 0 ||
      [...networks.values()].some(
        ({ id, name }) => network.includes(name) || network.some((text) => text !== '' && id.startsWith(text)),
      ))
  );
}

async function inspect(deps: DockerDeps, { parameter }: Call): Promise<unknown> {
  return containerInspect(viewOf(deps, deps.engine.sandboxes.get(parameter('id'))));
}

async function remove({ engine }: DockerDeps, { query, reply, parameter }: Call): Promise<unknown> {
  await engine.sandboxes.remove(parameter('id'), { force: queryBoolean(query, 'force') });
  return reply.code(204).send();
}

function viewOf({ engine, processes }: DockerDeps, sandbox: Sandbox): SandboxView {
  return {
    sandbox,
    status: sandbox.process === null ? 'created' : processes.alive(sandbox.process) ? 'running' : 'exited',
    networks: new Map(sandbox.endpoints.flatMap(({ networkId }) => networkEntry(engine, networkId))),
    files: engine.sandboxes.files(sandbox.id),
  };
}

/** None when the network is gone, which an endpoint outlives only while its removal is under way. */
function networkEntry({ networks }: Engine, id: string): readonly (readonly [string, Network])[] {
  try {
    return [[id, networks.get(id)]];
  } catch {
    return [];
  }
}
