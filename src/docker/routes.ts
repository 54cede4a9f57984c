/** Docker's Engine API on a fastify instance. */
import type { FastifyInstance } from 'fastify';
import { CONTAINER_ROUTES } from './containers.ts';
import { EVENT_ROUTES } from './events.ts';
import { NETWORK_ROUTES } from './networks.ts';
import type { Query } from './query.ts';
import type { DockerDeps, DockerRoute } from './route.ts';
import { SYSTEM_ROUTES } from './system.ts';
import { notSupported, UNSUPPORTED } from './unsupported.ts';

/** Everything that is answered in earnest. */
export const DOCKER_ROUTES: readonly DockerRoute[] = [...SYSTEM_ROUTES, ...EVENT_ROUTES, ...NETWORK_ROUTES, ...CONTAINER_ROUTES];

export function registerDocker(app: FastifyInstance, deps: DockerDeps): void {
  for (const { method, path, handle } of DOCKER_ROUTES) {
    app.route({
      method,
      url: path,
      handler: (request, reply) => {
        const parameters = request.params as Readonly<Record<string, string | undefined>>;
        return handle(deps, {
          request,
          reply,
          query: request.query as Query,
          parameter: (name) => parameters[name] ?? '',
        });
      },
    });
  }
  for (const area of UNSUPPORTED) {
    for (const entry of area.paths) {
      const [method = '', url = ''] = entry.split(' ');
      app.route({
        method,
        url,
        handler: async () => {
          throw notSupported(area);
        },
      });
    }
  }
}
