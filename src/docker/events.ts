/** `GET /events`: one JSON object a line, kept ones first, then as they happen until the client goes. */
import type { EngineEvent } from '../contracts/engine.ts';
import { invalid } from '../base/errors.ts';
import { type Filters, parseFilters } from './filters.ts';
import { queryText } from './query.ts';
import type { Call, DockerDeps, DockerRoute } from './route.ts';
import { parseTimestamp } from './time.ts';

export const EVENT_ROUTES: readonly DockerRoute[] = [
  { method: 'GET', path: '/events', summary: 'stream events; since, until, filters', handle: stream },
];

/** bytes. A reader that lets more than this pile up is cut off: events are kept for it in memory. */
const MAX_BACKLOG = 8 << 20;
/** Longest timer of Node in milliseconds; `until` beyond that (24 days) is as good as never. */
const MAX_TIMER = 2 ** 31 - 1;

async function stream(deps: DockerDeps, { request, reply, query }: Call): Promise<unknown> {
  const now = deps.clock.now();
  const since = pointInTime(query, 'since', now);
  const until = pointInTime(query, 'until', now);
  if (since !== undefined && until !== undefined && until < since) {
    throw invalid(`\`since\` time (${queryText(query, 'since')}) cannot be after \`until\` time (${queryText(query, 'until')})`);
  }
  const filters = parseFilters(queryText(query, 'filters'));

  reply.hijack();
  const { raw } = reply;
  const headers = Object.entries(reply.getHeaders()).filter((entry): entry is [string, string] => typeof entry[1] === 'string');
  raw.writeHead(200, { ...Object.fromEntries(headers), 'content-type': 'application/json' });
  raw.flushHeaders();

  await new Promise<void>((done) => {
    const send = (event: EngineEvent): void => {
      if (until !== undefined && event.time > until) return;
      if (!matchesEvent(event, filters)) return;
      raw.write(eventLine(event));
      if (raw.writableLength > MAX_BACKLOG) raw.destroy();
    };
    const unsubscribe = deps.engine.subscribe(send, since);
    const end = (): void => {
      unsubscribe();
      clearTimeout(timer);
      deps.stopping.removeEventListener('abort', end);
      raw.end();
      done();
    };
    const timer = until !== undefined && until - now < MAX_TIMER ? setTimeout(end, Math.max(0, until - now)) : undefined;
    deps.stopping.addEventListener('abort', end);
    raw.once('close', end);
    if (deps.stopping.aborted || request.raw.destroyed) end();
  });
  return undefined;
}

function pointInTime(query: Call['query'], key: string, now: number): number | undefined {
  const text = queryText(query, key);
  return text === '' ? undefined : parseTimestamp(text, now);
}

export function matchesEvent(event: EngineEvent, filters: Filters): boolean {
  const named = (key: string): boolean =>
    filters.startsWith(key, event.actorId) || filters.startsWith(key, event.attributes['name'] ?? '');
  return (
    filters.exact('type', event.type) &&
    eventMatches(event.action, filters) &&
    filters.exact('scope', 'local') &&
    filters.labels('label', event.attributes) &&
    ['network', 'container', 'image', 'volume', 'daemon'].every(
      (type) => !filters.has(type) || (event.type === type && named(type)),
    ) &&
    // There are no such things here, so nothing is about one.
    ['plugin', 'service', 'node', 'secret', 'config'].every((type) => filters.values(type).length === 0)
  );
}

/** `exec_start: sh -c true` and `health_status: healthy` are also found by what stands before the colon, as in Docker. */
function eventMatches(action: string, filters: Filters): boolean {
  return filters.exact('event', action) || (action.includes(':') && filters.exact('event', action.slice(0, action.indexOf(':'))));
}

/** One line. `timeNano` needs more digits than a number of JavaScript holds, so it is written as text. */
export function eventLine(event: EngineEvent): string {
  const legacy =
    event.type === 'image'
      ? { status: event.action, id: event.actorId }
      : event.type === 'container'
        ? { status: event.action, id: event.actorId, from: event.attributes['image'] ?? '' }
        : {};
  const rest = JSON.stringify({
    ...legacy,
    Type: event.type,
    Action: event.action,
    Actor: { ID: event.actorId, Attributes: event.attributes },
    scope: 'local',
    time: Math.floor(event.time / 1000),
  });
  return `${rest.slice(0, -1)},"timeNano":${Math.floor(event.time)}000000}\n`;
}
