/** `GET /containers/json`: which containers, and bare sandboxes among them. */
import { invalid } from '../../base/errors.ts';
import type { Container } from '../../model/container.ts';
import { type Filters, parseFilters } from '../filters.ts';
import { queryBoolean, queryText } from '../query.ts';
import type { Call, DockerDeps } from '../route.ts';
import { sandboxSummary, type SandboxView } from './sandbox-shape.ts';
import { containerSummary, type Sizes } from './summary.ts';
import { bareSandboxes, containerOrSandbox, type ContainerView, found, sandboxView, viewOf } from './view.ts';

const FILTERS = [
  'ancestor',
  'before',
  'exited',
  'expose',
  'health',
  'id',
  'is-task',
  'isolation',
  'label',
  'name',
  'network',
  'publish',
  'since',
  'status',
  'volume',
];

const STATUSES = ['created', 'restarting', 'running', 'removing', 'paused', 'exited', 'dead'];
const HEALTHS = ['none', 'starting', 'healthy', 'unhealthy'];

/** Either kind, with what the filters look at. */
interface Row {
  readonly id: string;
  readonly name: string;
  readonly created: string;
  readonly status: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Name and id of each network. */
  readonly networks: readonly { readonly name: string; readonly id: string }[];
  readonly view: ContainerView | SandboxView;
}

export async function list(deps: DockerDeps, { query }: Call): Promise<unknown> {
  const filters = parseFilters(queryText(query, 'filters'));
  filters.accept(FILTERS);
  checkValues(filters);
  const limitText = queryText(query, 'limit');
  const limit = limitText === '' ? 0 : Number(limitText);
  if (!Number.isSafeInteger(limit)) throw invalid(`strconv.Atoi: parsing ${JSON.stringify(limitText)}: invalid syntax`);
  const after = reference(deps, filters.values('since')[0] ?? queryText(query, 'since'));
  const before = reference(deps, filters.values('before')[0] ?? queryText(query, 'before'));
  // As in Docker, asking for states, or relative to others, or for the latest ones, includes those that do not run.
  const all =
    queryBoolean(query, 'all') ||
    limit > 0 ||
    after !== null ||
    before !== null ||
    filters.has('status') ||
    filters.has('exited');
  const ancestors = filters.values('ancestor').flatMap((name) => found(() => deps.images.get(name))?.id ?? []);

  const rows = [
    ...deps.containers.list().map((item) => containerRow(deps, item)),
    ...bareSandboxes(deps).map((item) => sandboxRow(deps, item)),
  ]
    .filter((row) => (after === null || row.created > after) && (before === null || row.created < before))
    .filter((row) => all || ['running', 'paused', 'restarting'].includes(row.status))
    .filter((row) => accepted(row, filters) && acceptedContainer(row, filters, ancestors))
    .sort((a, b) => (a.created < b.created ? 1 : -1));
  const now = deps.clock.now();
  const shown = limit > 0 ? rows.slice(0, limit) : rows;
  const size = queryBoolean(query, 'size');
  return Promise.all(
    shown.map(async ({ view }) =>
      'container' in view
        ? containerSummary(view, now, size ? await sizesOf(deps, view.container) : undefined)
        : sandboxSummary(view, now),
    ),
  );
}

export async function sizesOf({ rootFiles, images }: DockerDeps, container: Container): Promise<Sizes> {
  const writable = await rootFiles.size(container.id);
  return { writable, total: writable + (found(() => images.get(container.imageId))?.size ?? 0) };
}

function checkValues(filters: Filters): void {
  for (const status of filters.values('status')) {
    if (!STATUSES.includes(status)) throw invalid(`invalid filter 'status=${status}'`);
  }
  for (const health of filters.values('health')) {
    if (!HEALTHS.includes(health)) throw invalid(`invalid filter 'health=${health}'`);
  }
  for (const code of filters.values('exited')) {
    if (!/^-?\d+$/.test(code)) throw invalid(`invalid filter 'exited=${code}'`);
  }
  filters.boolean('is-task');
  for (const key of ['publish', 'expose']) for (const value of filters.values(key)) portRange(key, value);
}

/** When the container that a filter names was made. */
function reference(deps: DockerDeps, name: string): string | null {
  if (name === '') return null;
  const target = containerOrSandbox(deps, name);
  return 'container' in target ? target.container.created : target.sandbox.created;
}

function containerRow(deps: DockerDeps, container: Container): Row {
  const view = viewOf(deps, container);
  return {
    id: container.id,
    name: container.name,
    created: container.created,
    status: container.state.status,
    labels: container.config.Labels,
    networks: Object.entries(view.networks).map(([name, settings]) => ({ name, id: String(settings['NetworkID']) })),
    view,
  };
}

function sandboxRow(deps: DockerDeps, sandbox: SandboxView['sandbox']): Row {
  const view = sandboxView(deps, sandbox);
  const { id, name, created, labels } = sandbox;
  return { id, name, created, status: view.status, labels, networks: [...view.networks.values()], view };
}

function accepted(row: Row, filters: Filters): boolean {
  const network = filters.values('network');
  return (
    filters.matches('id', row.id) &&
    (filters.matches('name', row.name) || filters.matches('name', `/${row.name}`)) &&
    filters.labels('label', row.labels) &&
    filters.exact('status', row.status) &&
    filters.boolean('is-task') !== true &&
    (network.length === 0 ||
      row.networks.some(({ id, name }) => network.includes(name) || network.some((text) => text !== '' && id.startsWith(text))))
  );
}

/** Filters about what only a container has. */
function acceptedContainer({ view }: Row, filters: Filters, ancestors: readonly string[]): boolean {
  const particular = ['ancestor', 'exited', 'health', 'volume', 'publish', 'expose'].filter((key) => filters.has(key));
  if (particular.length === 0) return true;
  if (!('container' in view)) return false;
  const { container } = view;
  const { state, mounts, config } = container;
  const volumes = filters.values('volume');
  return (
    (!filters.has('ancestor') || ancestors.includes(container.imageId)) &&
    (!filters.has('exited') || (state.status === 'exited' && filters.exact('exited', String(state.exitCode)))) &&
    filters.exact('health', state.health?.status ?? 'none') &&
    (volumes.length === 0 ||
      mounts.some(({ name, source, destination }) => volumes.some((text) => [name, source, destination].includes(text)))) &&
    // By the container's port, running or not, as Docker does.
    (!filters.has('publish') ||
      Object.keys(container.hostConfig.PortBindings).some((port) =>
        filters.values('publish').some((value) => portRange('publish', value)(port)),
      )) &&
    (!filters.has('expose') ||
      Object.keys(config.ExposedPorts ?? {}).some((port) =>
        filters.values('expose').some((value) => portRange('expose', value)(port)),
      ))
  );
}

/** `80`, `80/tcp`, `8000-8080/udp`. @returns whether a port of a container is one of them */
function portRange(key: string, text: string): (port: string) => boolean {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/.exec(text);
  const [first, last] = [Number(match?.[1]), Number(match?.[2] ?? match?.[1])];
  if (!match || first > last || last > 65_535) throw invalid(`invalid value for ${key} (${text}): invalid port`);
  return (port) => {
    const [number = '', protocol = 'tcp'] = port.split('/');
    return Number(number) >= first && Number(number) <= last && protocol === (match[3] ?? 'tcp');
  };
}
