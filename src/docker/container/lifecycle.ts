/** What moves a container from one state to another. The states are the service's; here are the words of the requests. */
import { invalid, MoorError, unsupported } from '../../base/errors.ts';
import { readBody } from '../body.ts';
import { parseFilters } from '../filters.ts';
import { queryBoolean, queryText } from '../query.ts';
import type { Call, DockerDeps, DockerRoute } from '../route.ts';
import { asDockerRefusal } from '../refusal.ts';
import { sendHead } from '../stream/response.ts';
import { parseTimestamp } from '../time.ts';
import { updatedConfig } from './host-config.ts';
import { containerOf, containerOrSandbox } from './view.ts';

export const LIFECYCLE_ROUTES: readonly DockerRoute[] = [
  { method: 'POST', path: '/containers/:id/start', summary: 'start', handle: start },
  { method: 'POST', path: '/containers/:id/stop', summary: 'stop: signal, then kill after a time', handle: stop },
  { method: 'POST', path: '/containers/:id/restart', summary: 'stop and start', handle: restart },
  { method: 'POST', path: '/containers/:id/kill', summary: 'send a signal', handle: kill },
  { method: 'POST', path: '/containers/:id/pause', summary: 'freeze its processes', handle: pause },
  { method: 'POST', path: '/containers/:id/unpause', summary: 'let them go on', handle: unpause },
  { method: 'POST', path: '/containers/:id/rename', summary: 'rename', handle: rename },
  { method: 'POST', path: '/containers/:id/update', summary: 'change limits and restart policy', handle: update },
  { method: 'POST', path: '/containers/:id/wait', summary: 'wait for its end and get the exit code', handle: wait },
  { method: 'POST', path: '/containers/:id/resize', summary: 'size of its terminal', handle: resize },
  { method: 'GET', path: '/containers/:id/top', summary: 'processes, as ps(1) shows them', handle: top },
  { method: 'POST', path: '/containers/prune', since: '1.25', summary: 'remove all that do not run', handle: prune },
  { method: 'DELETE', path: '/containers/:id', summary: 'remove a container or a sandbox of `moor run`', handle: remove },
];

const done = ({ reply }: Call): unknown => reply.code(204).send();

async function start(deps: DockerDeps, call: Call): Promise<unknown> {
  const { id } = containerOf(deps, call.parameter('id'), 'start');
  if (queryText(call.query, 'checkpoint') !== '')
    throw unsupported('Cannot start from a checkpoint: checkpoints are not supported by Moorline');
  let started: boolean;
  try {
    started = await deps.containers.start(id);
  } catch (error) {
    throw asDockerRefusal(error);
  }
  return started ? done(call) : call.reply.code(304).send();
}

/** Docker's `t` and `signal`. */
function stopOptions(
  { apiVersion }: DockerDeps,
  { query, request }: Call,
): { readonly timeout: number | null; readonly signal?: string } {
  const seconds = queryText(query, 't');
  if (seconds !== '' && !/^-?\d{1,9}$/.test(seconds)) {
    throw invalid(`strconv.Atoi: parsing ${JSON.stringify(seconds)}: invalid syntax`);
  }
  const signal = apiVersion(request.raw).minor >= 42 ? queryText(query, 'signal') : '';
  return { timeout: seconds === '' ? null : Number(seconds), ...(signal === '' ? {} : { signal }) };
}

async function stop(deps: DockerDeps, call: Call): Promise<unknown> {
  const { id } = containerOf(deps, call.parameter('id'), 'stop');
  const stopped = await deps.containers.stop(id, stopOptions(deps, call));
  return stopped ? done(call) : call.reply.code(304).send();
}

async function restart(deps: DockerDeps, call: Call): Promise<unknown> {
  const { id } = containerOf(deps, call.parameter('id'), 'restart');
  try {
    await deps.containers.restart(id, stopOptions(deps, call));
  } catch (error) {
    throw asDockerRefusal(error);
  }
  return done(call);
}

async function kill(deps: DockerDeps, call: Call): Promise<unknown> {
  const name = call.parameter('id');
  try {
    await deps.containers.kill(containerOf(deps, name, 'kill').id, queryText(call.query, 'signal') || 'SIGKILL');
  } catch (error) {
    const prefix = 'cannot kill container: ';
    if (!(error instanceof MoorError) || error.message.startsWith(prefix)) throw error;
    throw new MoorError(error.kind, `${prefix}${name}: ${error.message}`, { cause: error });
  }
  return done(call);
}

async function pause(deps: DockerDeps, call: Call): Promise<unknown> {
  await deps.containers.pause(containerOf(deps, call.parameter('id'), 'pause').id);
  return done(call);
}

async function unpause(deps: DockerDeps, call: Call): Promise<unknown> {
  await deps.containers.unpause(containerOf(deps, call.parameter('id'), 'unpause').id);
  return done(call);
}

async function rename(deps: DockerDeps, call: Call): Promise<unknown> {
  const name = queryText(call.query, 'name');
  if (name === '') throw invalid('Neither old nor new names may be empty');
  await deps.containers.rename(containerOf(deps, call.parameter('id'), 'rename').id, name.startsWith('/') ? name.slice(1) : name);
  return done(call);
}

async function update(deps: DockerDeps, { request, parameter }: Call): Promise<unknown> {
  const { id } = containerOf(deps, parameter('id'), 'update');
  const warnings = await deps.containers.update(id, updatedConfig(readBody(request.body), deps.system().cgroupVersion));
  return { Warnings: warnings.length === 0 ? null : warnings };
}

const CONDITIONS = ['not-running', 'next-exit', 'removed'] as const;

/** The head of the answer goes out at once: it tells `docker run` that it may start the container. */
async function wait(deps: DockerDeps, { request, reply, query, parameter }: Call): Promise<unknown> {
  const { minor } = deps.apiVersion(request.raw);
  const text = (minor < 30 ? '' : queryText(query, 'condition')) || 'not-running';
  const condition = CONDITIONS.find((known) => known === text);
  if (condition === undefined) throw invalid(`invalid condition: ${JSON.stringify(text)}`);
  const { id } = containerOf(deps, parameter('id'), 'wait for');
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort());
  const exit = deps.containers.wait(id, condition, AbortSignal.any([gone.signal, deps.stopping]));
  if (minor < 30) return { StatusCode: (await exit).code };
  const raw = sendHead(reply, 'application/json');
  try {
    raw.end(`${JSON.stringify({ StatusCode: (await exit).code })}\n`);
  } catch (error) {
    // An end without a body is how clients notice that the daemon has stopped.
    if (deps.stopping.aborted || gone.signal.aborted) raw.destroy();
    else
      raw.end(
        `${JSON.stringify({ StatusCode: 0, Error: { Message: error instanceof Error ? error.message : String(error) } })}\n`,
      );
  }
  return undefined;
}

/** @throws invalid unless both are whole numbers that fit the kernel's u16 (struct winsize in <asm-generic/termios.h>) */
export function terminalSize({ query }: Call): { readonly rows: number; readonly columns: number } {
  const [rows, columns] = (['h', 'w'] as const).map((key) => {
    const text = queryText(query, key);
    if (!/^\d{1,5}$/.test(text) || Number(text) > 65_535) {
      throw invalid(`invalid resize ${key === 'h' ? 'height' : 'width'} ${JSON.stringify(text)}: invalid syntax`);
    }
    return Number(text);
  });
  return { rows: rows ?? 0, columns: columns ?? 0 };
}

async function resize(deps: DockerDeps, call: Call): Promise<unknown> {
  const size = terminalSize(call);
  await deps.containers.resize(containerOf(deps, call.parameter('id'), 'resize').id, size);
  return call.reply.code(200).send();
}

async function top(deps: DockerDeps, { query, parameter }: Call): Promise<unknown> {
  const { id } = containerOf(deps, parameter('id'), 'list the processes of');
  const words = (queryText(query, 'ps_args') || '-ef').split(/\s+/).filter((word) => word !== '');
  const { titles, processes } = await deps.containers.top(id, words);
  return { Processes: processes, Titles: titles };
}

async function prune({ containers, clock }: DockerDeps, { query }: Call): Promise<unknown> {
  const filters = parseFilters(queryText(query, 'filters'));
  filters.accept(['label', 'label!', 'until']);
  const [until, ...others] = filters.values('until');
  if (others.length > 0) throw invalid('more than one until filter specified');
  const before = until === undefined ? null : parseTimestamp(until, clock.now());
  const { ids, reclaimed } = await containers.prune(
    ({ created, config }) =>
      (before === null || Date.parse(created) < before) &&
      filters.labels('label', config.Labels) &&
      !(filters.has('label!') && filters.labels('label!', config.Labels)),
  );
  return { ContainersDeleted: ids.length === 0 ? null : ids, SpaceReclaimed: reclaimed };
}

async function remove(deps: DockerDeps, call: Call): Promise<unknown> {
  const { query, parameter } = call;
  const target = containerOrSandbox(deps, parameter('id'));
  const force = queryBoolean(query, 'force');
  if ('sandbox' in target) {
    await deps.engine.sandboxes.remove(target.sandbox.id, { force });
    return done(call);
  }
  if (queryBoolean(query, 'link')) throw unsupported('Cannot remove a link: links are not supported by Moorline');
  await deps.containers.remove(target.container.id, { force, volumes: queryBoolean(query, 'v') });
  return done(call);
}
