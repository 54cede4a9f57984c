/** `GET /containers/ID/logs` */
import { conflict, invalid } from '../../base/errors.ts';
import type { LogEntry, LogQuery } from '../../contracts/containers.ts';
import { queryBoolean, queryText } from '../query.ts';
import type { Call, DockerDeps, DockerRoute } from '../route.ts';
import { frame } from '../stream/frames.ts';
import { stream } from '../stream/response.ts';
import { parseMoment } from '../time.ts';
import { MULTIPLEXED_STREAM, RAW_STREAM } from './attach.ts';
import { containerOf } from './view.ts';

export const LOG_ROUTES: readonly DockerRoute[] = [
  {
    method: 'GET',
    path: '/containers/:id/logs',
    summary: 'what it has written; follow, since, until, tail, timestamps',
    handle: logs,
  },
];

async function logs(deps: DockerDeps, call: Call): Promise<unknown> {
  const { query, request } = call;
  const wanted = { stdout: queryBoolean(query, 'stdout'), stderr: queryBoolean(query, 'stderr') };
  if (!wanted.stdout && !wanted.stderr) throw invalid('Bad parameters: you must choose at least one stream');
  const { id, config, state } = containerOf(deps, call.parameter('id'), 'show the logs of');
  if (state.status === 'dead' || state.status === 'removing') {
    throw conflict('can not get logs from container which is dead or marked for removal');
  }
  const logQuery = readQuery(deps, call);
  const withTime = queryBoolean(query, 'timestamps');
  const prefix = linePrefix({ withTime, withDetails: queryBoolean(query, 'details') });
  return stream(deps, call, {
    contentType: config.Tty || deps.apiVersion(request.raw).minor < 42 ? RAW_STREAM : MULTIPLEXED_STREAM,
    produce: async ({ write, signal }) => {
      for await (const entry of deps.containers.logs(id, logQuery, signal)) {
        if (signal.aborted) return;
        if (!wanted[entry.stream]) continue;
        const data = Buffer.concat([prefix(entry), entry.data]);
        await write(config.Tty ? data : frame(entry.stream, data));
      }
    },
    // In band, as there is no other place left.
    failure: (error) => `Error grabbing logs: ${error instanceof Error ? error.message : String(error)}\n`,
  });
}

function readQuery({ clock }: DockerDeps, { query }: Call): LogQuery {
  const tail = queryText(query, 'tail');
  const moment = (key: string): string | null => {
    const text = queryText(query, key);
    return text === '' || text === '0' ? null : parseMoment(text, clock.now());
  };
  return {
    follow: queryBoolean(query, 'follow'),
    // Everything that is no number of lines means all of them, as in Docker.
    tail: /^\d{1,9}$/.test(tail) ? Number(tail) : 'all',
    since: moment('since'),
    until: moment('until'),
  };
}

/** What stands before the start of a line; nothing before the rest of a line that came in parts. */
function linePrefix(options: { readonly withTime: boolean; readonly withDetails: boolean }): (entry: LogEntry) => Buffer {
  const open = { stdout: false, stderr: false };
  return ({ stream: name, time, data }) => {
    const starts = !open[name];
    open[name] = data.at(-1) !== 10;
    if (!starts) return Buffer.alloc(0);
    // Attributes would stand before the blank; there are none.
    return Buffer.from(`${options.withTime ? `${fixedTime(time)} ` : ''}${options.withDetails ? ' ' : ''}`);
  };
}

/** RFC 3339 in UTC with exactly nine digits: Docker's timestamps are of one width. */
export function fixedTime(time: string): string {
  const match = /^(.*?)(?:\.(\d{1,9})\d*)?(Z|[-+]\d{2}:\d{2})$/.exec(time);
  if (!match) return time;
  const [, seconds = '', fraction = '', zone = 'Z'] = match;
  const utc = zone === 'Z' ? seconds : new Date(`${seconds}${zone}`).toISOString().slice(0, 19);
  return `${utc}.${fraction.padEnd(9, '0')}Z`;
}
