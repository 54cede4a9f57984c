/** `/networks` */
import { invalid, MoorError, notFound } from '../base/errors.ts';
import type { Network } from '../model/network.ts';
import { readBody } from './body.ts';
import { containerOrSandbox, found } from './container/view.ts';
import { type Filters, parseFilters } from './filters.ts';
import { endpointSpec, networkSpec } from './network-request.ts';
import { networkShape, withRemotes } from './network-shape.ts';
import { queryText, strictBoolean } from './query.ts';
import { asDockerRefusal } from './refusal.ts';
import type { Call, DockerDeps, DockerRoute } from './route.ts';
import { parseTimestamp } from './time.ts';

export const NETWORK_ROUTES: readonly DockerRoute[] = [
  { method: 'GET', path: '/networks', summary: 'list, with filters', handle: list },
  { method: 'GET', path: '/networks/', summary: 'the same', handle: list },
  { method: 'GET', path: '/networks/:id', summary: 'inspect, by id, name or id prefix', handle: inspect },
  { method: 'POST', path: '/networks/create', kernel: true, summary: 'create', handle: create },
  { method: 'POST', path: '/networks/prune', since: '1.25', summary: 'remove all that nobody is attached to', handle: prune },
  {
    method: 'POST',
    path: '/networks/:id/connect',
    kernel: true,
    summary: 'attach a container or sandbox, running or not',
    handle: connect,
  },
  { method: 'POST', path: '/networks/:id/disconnect', kernel: true, summary: 'detach it', handle: disconnect },
  { method: 'DELETE', path: '/networks/:id', kernel: true, summary: 'remove, by id, name or id prefix', handle: remove },
];

const LIST_FILTERS = ['dangling', 'driver', 'id', 'label', 'name', 'scope', 'type'];
const PRUNE_FILTERS = ['label', 'label!', 'until'];

async function list(deps: DockerDeps, { request, query }: Call): Promise<unknown> {
  const filters = parseFilters(queryText(query, 'filters'));
  filters.accept(LIST_FILTERS);
  const dangling = filters.boolean('dangling');
  for (const type of filters.values('type')) {
    if (type !== 'custom' && type !== 'builtin') throw invalid(`invalid filter: 'type'='${type}'`);
  }
  const { networks } = deps.engine;
  // Since API 1.28 a list does not show who is attached.
  const { minor } = deps.apiVersion(request.raw);
  return networks
    .list()
    .filter((network) => accepted(network, filters))
    .filter((network) => dangling === undefined || dangling === isDangling(network, deps))
    .map((network) => networkShape(network, minor < 28 ? networks.attachments(network.id) : []));
}

function accepted(network: Network, filters: Filters): boolean {
  return (
    filters.exact('driver', network.driver) &&
    filters.matches('name', network.name) &&
    filters.matches('id', network.id) &&
    filters.labels('label', network.labels) &&
    filters.exact('scope', network.scope) &&
    filters.exact('type', network.predefined ? 'builtin' : 'custom')
  );
}

const isDangling = (network: Network, { engine }: DockerDeps): boolean =>
  !network.predefined && engine.networks.attachments(network.id).length === 0;

async function inspect({ engine }: DockerDeps, { query, parameter }: Call): Promise<unknown> {
  // Docker adds the services of a cluster; of a network that spans hosts, who is on it elsewhere.
  const verbose = strictBoolean(query, 'verbose');
  const scope = queryText(query, 'scope');
  const network = engine.networks.get(parameter('id'));
  if (scope !== '' && scope !== network.scope) throw notFound(`network ${parameter('id')} not found`);
  const shown = networkShape(network, engine.networks.attachments(network.id), engine.networks.peers(network.id));
  return verbose ? withRemotes(shown, network, await engine.networks.remotes(network.id)) : shown;
}

async function create({ engine, apiVersion }: DockerDeps, { request, reply }: Call): Promise<unknown> {
  const spec = networkSpec(readBody(request.body), apiVersion(request.raw).minor >= 48);
  try {
    const { value, warnings } = await engine.networks.create(spec);
    reply.code(201);
    return { Id: value.id, Warning: warnings.join('\n') };
  } catch (error) {
    throw asDockerPoolError(error);
  }
}

/** Docker counts a subnet in use as refused (403), and says which request was. */
function asDockerPoolError(error: unknown): unknown {
  if (!(error instanceof MoorError) || !error.message.includes('Pool overlaps with other one on this address space'))
    return error;
  const message = error.message.startsWith('invalid pool request: ') ? error.message : `invalid pool request: ${error.message}`;
  return new MoorError('forbidden', message, { cause: error });
}

async function remove({ engine }: DockerDeps, { reply, parameter }: Call): Promise<unknown> {
  await engine.networks.remove(parameter('id'));
  return reply.code(204).send();
}

async function prune({ engine, clock }: DockerDeps, { query }: Call): Promise<unknown> {
  const filters = parseFilters(queryText(query, 'filters'));
  filters.accept(PRUNE_FILTERS);
  const [until, ...others] = filters.values('until');
  if (others.length > 0) throw invalid('more than one until filter specified');
  const { value } = await engine.networks.prune({
    ...(until === undefined ? {} : { until: parseTimestamp(until, clock.now()) }),
    accepts: (network) =>
      filters.labels('label', network.labels) && !(filters.has('label!') && filters.labels('label!', network.labels)),
  });
  return { NetworksDeleted: value.networks.length === 0 ? null : value.networks };
}

/** A container is attached by its service, which keeps what it will ask for at its next start; a bare sandbox by the engine. */
async function connect(deps: DockerDeps, { request, reply, parameter }: Call): Promise<unknown> {
  const body = readBody(request.body);
  const name = named(body.string('Container'));
  const spec = endpointSpec(body.object('EndpointConfig'));
  const network = parameter('id');
  try {
    const target = containerOrSandbox(deps, name);
    if ('container' in target) await deps.containers.connect(network, target.container.id, spec);
    else await deps.engine.networks.connect(network, { sandbox: target.sandbox.id, endpoint: spec });
  } catch (error) {
    throw asDockerRefusal(error);
  }
  return reply.code(200).send();
}

async function disconnect(deps: DockerDeps, { request, reply, parameter }: Call): Promise<unknown> {
  const body = readBody(request.body);
  const name = named(body.string('Container'));
  const force = body.boolean('Force') ?? false;
  const network = parameter('id');
  // With force also what is not known any more may be told to go; without, Docker looks for it before it looks for the network.
  const target = force ? found(() => containerOrSandbox(deps, name)) : containerOrSandbox(deps, name);
  if (target !== null && 'container' in target) await deps.containers.disconnect(network, target.container.id, { force });
  else await deps.engine.networks.disconnect(network, name, { force });
  return reply.code(200).send();
}

function named(container: string | undefined): string {
  if (container === undefined || container === '') throw invalid('invalid container name or ID: value is empty');
  return container;
}
