/** Our own API under `/moor/`: what Docker's has no words for, and a dry run of every change. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { invalid, MoorError, unsupported } from '../base/errors.ts';
import type { Change } from '../contracts/change.ts';
import type { ClusterView, Engine, OperationOptions, Outcome } from '../contracts/engine.ts';
import type { ExposureReport } from '../contracts/exposure.ts';
import type { Network, NetworkSpec } from '../model/network.ts';
import { parsePortSpec } from '../model/ports-parse.ts';
import type { PathReport } from '../model/node.ts';
import type { PortSpec } from '../model/ports.ts';
import type { EndpointSpec, ProcessRef, Sandbox, SandboxSpec } from '../model/sandbox.ts';
import { toJson } from './json.ts';
import { connectBody, disconnectBody, networkBody, portsBody, processBody, sandboxBody } from './schemas.ts';

export interface MoorDeps {
  readonly engine: Engine;
  /** Who can reach the published ports of these; of all when none is named. @throws not-found */
  readonly exposure: (references: readonly string[]) => Promise<ExposureReport>;
  /** A change as one line in the words of `ip` and `nft`. */
  readonly describe: (change: Change) => string;
  /** What `GET /moor/status` says beside the engine's own. */
  readonly daemon: {
    readonly version: string;
    readonly pid: number;
    readonly dataRoot: string;
    readonly execRoot: string;
    readonly instance: string;
  };
}

interface Reference {
  readonly Params: { readonly ref: string };
}

export function registerMoor(app: FastifyInstance, deps: MoorDeps): void {
  const { engine, exposure, describe, daemon } = deps;
  const outcome = <T>({ value, warnings, plan }: Outcome<T>): unknown => ({
    value,
    warnings,
    plan: { title: plan.title, changes: plan.changes, text: plan.changes.map((change) => describe(change)) },
  });

  void app.register((moor, _, done) => {
    moor.setReplySerializer((payload) => toJson(payload));

    moor.get('/moor/status', async () => ({ ...(await engine.status()), ...daemon }));
    moor.get('/moor/nodes', async () => nodeViews((await engine.status()).cluster));
    moor.post('/moor/reconcile', async (request) =>
      options(request).dryRun === true
        ? outcome({ value: null, warnings: [], plan: await engine.drift() })
        : { repaired: await engine.reconcile() },
    );
    moor.post('/moor/reset', async (request) => outcome(await engine.reset(options(request))));

    moor.get('/moor/networks', async () => engine.networks.list().map((network) => networkView(engine, network)));
    moor.get<Reference>('/moor/networks/:ref', async ({ params }) => networkView(engine, engine.networks.get(params.ref)));
    moor.post<{ Body: NetworkSpec }>('/moor/networks', { schema: { body: networkBody } }, async (request, reply) => {
      const result = await engine.networks.create(request.body, options(request));
      reply.code(201);
      return outcome(result);
    });
    moor.delete<Reference>('/moor/networks/:ref', async (request) =>
      outcome(await engine.networks.remove(request.params.ref, options(request))),
    );
    moor.post('/moor/networks/prune', async (request) => outcome(await engine.networks.prune({}, options(request))));
    moor.post<Reference & { Body: { readonly sandbox: string; readonly endpoint?: EndpointSpec } }>(
      '/moor/networks/:ref/connect',
      { schema: { body: connectBody } },
      async (request) => {
        const { sandbox, endpoint } = request.body;
        return outcome(
          await engine.networks.connect(request.params.ref, { sandbox, endpoint: endpoint ?? {} }, options(request)),
        );
      },
    );
    moor.post<Reference & { Body: { readonly sandbox: string; readonly force?: boolean } }>(
      '/moor/networks/:ref/disconnect',
      { schema: { body: disconnectBody } },
      async (request) => {
        const { sandbox, force } = request.body;
        return outcome(
          await engine.networks.disconnect(request.params.ref, sandbox, { ...options(request), force: force ?? false }),
        );
      },
    );

    moor.get('/moor/sandboxes', async () => engine.sandboxes.list());
    moor.get<Reference>('/moor/sandboxes/:ref', async ({ params }) => engine.sandboxes.get(params.ref));
    moor.post<{ Body: SandboxBody }>('/moor/sandboxes', { schema: { body: sandboxBody } }, async (request, reply) => {
      const { ports, ...rest } = request.body;
      const spec: SandboxSpec = { ...rest, ...(ports === undefined ? {} : { ports: ports.map(parsePortSpec) }) };
      const result = await engine.sandboxes.create(spec, options(request));
      reply.code(201);
      return outcome(result);
    });
    moor.delete<Reference>('/moor/sandboxes/:ref', async (request) =>
      outcome(await engine.sandboxes.remove(request.params.ref, { ...options(request), force: queryFlag(request, 'force') })),
    );
    moor.post<Reference & { Body: ProcessRef }>(
      '/moor/sandboxes/:ref/process',
      { schema: { body: processBody } },
      async (request) => {
        if (queryFlag(request, 'dryRun'))
          throw unsupported('Cannot show a plan: naming the process changes nothing in the kernel');
        return engine.sandboxes.setProcess(request.params.ref, request.body);
      },
    );
    moor.get('/moor/ports', async () => engine.sandboxes.list().flatMap(portViews));
    // `?sandboxes=web,db`
    moor.get('/moor/exposure', async (request) => exposure(queryWord(request, 'sandboxes').split(',').filter(Boolean)));
    moor.post<Reference & { Body: { readonly ports: readonly string[] } }>(
      '/moor/sandboxes/:ref/ports',
      { schema: { body: portsBody } },
      async (request) =>
        outcome(await engine.sandboxes.publish(request.params.ref, portSpecs(request.body.ports), options(request))),
    );
    // A DELETE has no body: `?ports=8080:80,53/udp`.
    moor.delete<Reference>('/moor/sandboxes/:ref/ports', async (request) =>
      outcome(
        await engine.sandboxes.unpublish(request.params.ref, portSpecs(queryWord(request, 'ports').split(',')), options(request)),
      ),
    );
    moor.get<Reference>('/moor/sandboxes/:ref/enter', async ({ params }) => enterView(engine, engine.sandboxes.get(params.ref)));
    done();
  });
}

/** Ports are sent as a user writes them. */
type SandboxBody = Omit<SandboxSpec, 'ports'> & { readonly ports?: readonly string[] };

/** @throws invalid for a bad one, and for none at all */
function portSpecs(words: readonly string[]): PortSpec[] {
  if (words.length === 0) throw invalid('no port specified');
  return words.map(parsePortSpec);
}

const portViews = ({ id, name, ports = [] }: Sandbox): readonly unknown[] =>
  ports.map((port) => ({ sandbox: { id, name }, ...port }));

/** @throws unavailable on a host that is in no cluster */
function nodeViews(cluster: ClusterView | undefined): unknown {
  if (cluster === undefined)
    throw new MoorError(
      'unavailable',
      'Cannot list nodes: this host is in no cluster: start moord with --cluster-store etcd://HOST:2379, or with --peers FILE',
    );
  const { self, nodes, paths } = cluster;
  return nodes.map((node) => {
    const own = node.name === self.name;
    const reports = own ? [] : node.addresses.flatMap((address) => paths[address] ?? []);
    return { ...node, self: own, paths: reports, state: own ? 'ready' : nodeState(cluster, reports) };
  });
}

/**
 * A store tells who is registered: `ready`, or `unknown` while it is away. A file tells only who there may be: `ready` when the host answers, `silent`
 * when it does not, `unknown` while it was not asked yet.
 */
function nodeState({ store }: ClusterView, reports: readonly PathReport[]): string {
  if (!store.url.startsWith('file:')) return store.reachable ? 'ready' : 'unknown';
  if (reports.length === 0) return 'unknown';
  return reports.some(({ state }) => state !== 'silent') ? 'ready' : 'silent';
}

function networkView(engine: Engine, network: Network): unknown {
  const attachments = engine.networks
    .attachments(network.id)
    .map(({ endpoint, sandbox }) => ({ endpoint, sandbox: { id: sandbox.id, name: sandbox.name } }));
  return { network, attachments, ...(network.scope === 'global' ? { peers: engine.networks.peers(network.id) } : {}) };
}

/** What a process needs to enter a sandbox. `netns: null` is the host's own stack. */
function enterView(engine: Engine, { id, name, hostname, netns }: Sandbox): unknown {
  return { id, name, hostname, netns: netns.type === 'host' ? null : netns.path, files: engine.sandboxes.files(id) };
}

const options = (request: FastifyRequest): OperationOptions => (queryFlag(request, 'dryRun') ? { dryRun: true } : {});

function queryWord(request: FastifyRequest, name: string): string {
  const value = (request.query as Readonly<Record<string, unknown>>)[name];
  return typeof value === 'string' ? value : '';
}

/** `?dryRun=1` */
function queryFlag(request: FastifyRequest, name: string): boolean {
  const value = (request.query as Readonly<Record<string, unknown>>)[name];
  if (value === undefined || value === '0' || value === 'false') return false;
  if (value === '1' || value === 'true' || value === '') return true;
  throw invalid(`invalid value for ${name}: it is 1 or 0`);
}
