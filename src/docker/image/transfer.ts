/** Images that come and go: pull, import, load, save. */
import type { Readable } from 'node:stream';
import { invalid, unsupported } from '../../base/errors.ts';
import type { RegistryAuth } from '../../contracts/containers.ts';
import { queryAll, queryBoolean, queryText } from '../query.ts';
import type { Call, DockerDeps, DockerRoute } from '../route.ts';
import { errorLine, line, progressLine, report } from '../stream/progress.ts';
import { sendReadable, stream } from '../stream/response.ts';
import { publishImage } from './events.ts';

export const IMAGE_TRANSFER_ROUTES: readonly DockerRoute[] = [
  { method: 'POST', path: '/images/create', body: 'stream', summary: 'pull, or import a root file system', handle: create },
  { method: 'POST', path: '/images/load', body: 'stream', summary: 'load an archive of images', handle: load },
  { method: 'GET', path: '/images/get', summary: 'save several images as one archive', handle: saveSeveral },
  { method: 'GET', path: '/images/:name+/get', summary: 'save one image as an archive', handle: saveOne },
];

async function create(deps: DockerDeps, call: Call): Promise<unknown> {
  return queryText(call.query, 'fromImage') === '' ? importRoot(deps, call) : pull(deps, call);
}

async function pull(deps: DockerDeps, call: Call): Promise<unknown> {
  const { query, request } = call;
  // Nothing is said by the body of a pull; it must not keep the connection waiting.
  (request.body as Readable | undefined)?.resume();
  const name = queryText(query, 'fromImage');
  const tag = queryText(query, 'tag');
  const reference = tag === '' ? name : `${name}${tag.includes(':') ? '@' : ':'}${tag}`;
  const platform = queryText(query, 'platform');
  const auth = registryAuth(call);
  return report(deps, call, async ({ progress, signal }) => {
    const image = await deps.images.pull(reference, {
      ...(auth === null ? {} : { auth }),
      ...(platform === '' ? {} : { platform }),
      progress,
      signal,
    });
    publishImage(deps, { action: 'pull', image: reference, attributes: image.config.Labels ?? {} });
  });
}

/** `X-Registry-Auth`: base64url of JSON. As in Docker a header that cannot be read is none, since a pull needs none. */
export function registryAuth({ request }: Call): RegistryAuth | null {
  const header = request.headers['x-registry-auth'];
  if (typeof header !== 'string' || header === '') return null;
  try {
    const value = JSON.parse(Buffer.from(header, 'base64url').toString('utf8')) as Readonly<Record<string, unknown>>;
    const text = (key: string): string => (typeof value[key] === 'string' ? value[key] : '');
    const [identityToken, basic] = [text('identitytoken'), Buffer.from(text('auth'), 'base64').toString('utf8')];
    const colon = basic.indexOf(':');
    const username = text('username') || (colon > 0 ? basic.slice(0, colon) : '');
    const password = text('password') || (colon > 0 ? basic.slice(colon + 1) : '');
    if (username === '' && identityToken === '') return null;
    return { username, password, ...(identityToken === '' ? {} : { identityToken }) };
  } catch {
    return null;
  }
}

async function importRoot(deps: DockerDeps, call: Call): Promise<unknown> {
  const { query, request } = call;
  const source = queryText(query, 'fromSrc');
  if (source === '') throw invalid('fromImage or fromSrc is needed');
  if (source !== '-')
    throw unsupported('Cannot import from a URL: this is not supported by Moorline, send the archive itself (fromSrc=-)');
  const [repository, tag, message] = [queryText(query, 'repo'), queryText(query, 'tag'), queryText(query, 'message')];
  const reference = repository === '' || tag === '' ? repository : `${repository}:${tag}`;
  return report(deps, call, async ({ say, signal }) => {
    const id = await deps.images.import(bodyOf(call), {
      ...(reference === '' ? {} : { reference }),
      message: message === '' ? `Imported from ${source}` : message,
      changes: queryAll(query, 'changes'),
      signal,
    });
    say({ status: id });
    if (reference !== '') publishImage(deps, { action: 'tag', image: id, attributes: { name: reference } });
    publishImage(deps, { action: 'import', image: id });
    request.raw.resume();
  });
}

/** @throws invalid when there is none */
function bodyOf({ request }: Call): Readable {
  const { body } = request;
  if (body === undefined || body === null) throw invalid('the request has no body: an archive is expected');
  return body as Readable;
}

/** A failure is told in the answer, as in Docker: its head has been sent when the archive is being read. */
async function load(deps: DockerDeps, call: Call): Promise<unknown> {
  const quietText = queryText(call.query, 'quiet');
  const quiet = quietText === '' || queryBoolean(call.query, 'quiet');
  if (queryText(call.query, 'platform') !== '')
    throw unsupported('Cannot load one platform only: this is not supported by Moorline');
  const body = bodyOf(call);
  return stream(deps, call, {
    contentType: 'application/json',
    produce: async ({ write, signal }) => {
      const loaded = await deps.images.load(body, {
        progress: (progress) => {
          if (!quiet) void write(progressLine(progress));
        },
        signal,
      });
      for (const reference of loaded) {
        const isId = reference.startsWith('sha256:');
        await write(line({ stream: `Loaded image${isId ? ' ID' : ''}: ${reference}\n` }));
        publishImage(deps, { action: 'load', image: deps.images.get(reference).id, attributes: { name: reference } });
      }
    },
    failure: errorLine,
  });
}

async function saveSeveral(deps: DockerDeps, call: Call): Promise<unknown> {
  const names = queryAll(call.query, 'names').flatMap((text) => text.split(','));
  if (names.length === 0) throw invalid('no image name given: the parameter names is missing');
  return save(deps, call, names);
}

async function saveOne(deps: DockerDeps, call: Call): Promise<unknown> {
  return save(deps, call, [call.parameter('name')]);
}

async function save(deps: DockerDeps, call: Call, names: readonly string[]): Promise<unknown> {
  if (queryText(call.query, 'platform') !== '')
    throw unsupported('Cannot save one platform only: this is not supported by Moorline');
  const archive = await deps.images.save(names);
  for (const name of names) publishImage(deps, { action: 'save', image: deps.images.get(name).id });
  return sendReadable(call, archive, { contentType: 'application/x-tar' });
}
