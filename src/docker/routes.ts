/** Docker's Engine API on a fastify instance. */
import type { FastifyInstance } from 'fastify';
import { notFound } from '../base/errors.ts';
import { CONTAINER_ROUTES } from './container/routes.ts';
import { DISK_USAGE_ROUTES } from './disk-usage.ts';
import { EVENT_ROUTES } from './events.ts';
import { EXEC_ROUTES } from './exec.ts';
import { IMAGE_ROUTES } from './image/routes.ts';
import { NETWORK_ROUTES } from './networks.ts';
import type { Query } from './query.ts';
import type { DockerDeps, DockerRoute } from './route.ts';
import { SYSTEM_ROUTES } from './system.ts';
import { notSupported, UNSUPPORTED } from './unsupported.ts';
import { VOLUME_ROUTES } from './volumes.ts';

/** Everything that is answered in earnest. */
export const DOCKER_ROUTES: readonly DockerRoute[] = [
  ...SYSTEM_ROUTES,
  ...EVENT_ROUTES,
  ...DISK_USAGE_ROUTES,
  ...NETWORK_ROUTES,
  ...CONTAINER_ROUTES,
  ...EXEC_ROUTES,
  ...IMAGE_ROUTES,
  ...VOLUME_ROUTES,
];

type Answer = Pick<DockerRoute, 'method' | 'path' | 'body' | 'kernel' | 'handle'>;

export function registerDocker(app: FastifyInstance, deps: DockerDeps): void {
  const refusals = UNSUPPORTED.flatMap((area) =>
    area.paths.map((entry): Answer => {
      const [method = '', path = ''] = entry.split(' ');
      return {
        method: method as DockerRoute['method'],
        path,
        // The body of what is refused (a build's context) is not worth reading; wide paths are registered together, and read theirs.
        ...(path.includes('+') ? {} : { body: 'stream' }),
        handle: async () => {
          throw notSupported(area);
        },
      };
    }),
  );
  const all = [...DOCKER_ROUTES, ...refusals];
  register(
    app,
    all.filter(({ body }) => body === undefined),
    deps,
  );
  void app.register((streaming, _, done) => {
    streaming.removeAllContentTypeParsers();
    streaming.addContentTypeParser('*', (_request, payload, parsed) => parsed(null, payload));
    register(
      streaming,
      all.filter(({ body }) => body === 'stream'),
      deps,
    );
    done();
  });
}

/** Fastify's wildcard stands at the end only: paths with `:name+` in the middle share one, and their ends tell them apart. */
function register(app: FastifyInstance, routes: readonly Answer[], deps: DockerDeps): void {
  const plain = routes.filter(({ path }) => !path.includes('+'));
  for (const route of plain) add(app, deps, route);
  const wide = Map.groupBy(
    routes.filter(({ path }) => path.includes('+')),
    ({ method, path }) => `${method} ${path.slice(0, path.indexOf(':'))}`,
  );
  for (const [key, members] of wide) {
    const [method = '', prefix = ''] = key.split(' ');
    // The longest end first: `/json` before nothing at all.
    const ends = members
      .map((route) => ({ route, name: /:(\w+)\+/.exec(route.path)?.[1] ?? '', end: route.path.replace(/^.*\+/, '') }))
      .sort((a, b) => b.end.length - a.end.length);
    add(app, deps, {
      method: method as DockerRoute['method'],
      path: `${prefix}*`,
      handle: (own, call) => {
        const rest = call.parameter('*');
        const match = ends.find(({ end }) => rest.endsWith(end) && rest.length > end.length);
        if (match === undefined) throw notFound('page not found');
        const value = rest.slice(0, rest.length - match.end.length);
        return match.route.handle(own, { ...call, parameter: (name) => (name === match.name ? value : call.parameter(name)) });
      },
    });
  }
}

type Parameters = Readonly<Record<string, string | undefined>>;

function add(app: FastifyInstance, deps: DockerDeps, { method, path, body, kernel, handle }: Answer): void {
  app.route({
    method,
    url: path,
    // The server is more patient with what is read as it comes.
    config: { body, kernel },
    handler: (request, reply) => {
      const parameters = request.params as Parameters;
      return handle(deps, { request, reply, query: request.query as Query, parameter: (name) => parameters[name] ?? '' });
    },
  });
}
