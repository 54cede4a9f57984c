/** Further processes in a container: create, start, resize, inspect. */
import { invalid, MoorError } from '../base/errors.ts';
import type { Duplex } from 'node:stream';
import type { Streams } from '../contracts/containers.ts';
import { type JsonObject, readBody } from './body.ts';
import { openRaw } from './container/attach.ts';
import { terminalSize } from './container/lifecycle.ts';
import { containerOf } from './container/view.ts';
import type { Call, DockerDeps, DockerRoute } from './route.ts';
import { parseDetachKeys } from './stream/detach-keys.ts';
import { frame } from './stream/frames.ts';
import { converse } from './stream/session.ts';

export const EXEC_ROUTES: readonly DockerRoute[] = [
  { method: 'POST', path: '/containers/:id/exec', summary: 'prepare a process', handle: create },
  {
    method: 'POST',
    path: '/exec/:id/start',
    summary: 'start it; connected (the connection is upgraded) or detached',
    handle: start,
  },
  { method: 'POST', path: '/exec/:id/resize', summary: 'size of its terminal', handle: resize },
  { method: 'GET', path: '/exec/:id/json', summary: 'inspect, with the exit code', handle: inspect },
];

async function create(deps: DockerDeps, { request, reply, parameter }: Call): Promise<unknown> {
  const body = readBody(request.body);
  const command = body.words('Cmd') ?? [];
  if (command.length === 0) throw invalid('No exec command specified');
  const detachKeys = body.string('DetachKeys') ?? '';
  parseDetachKeys(detachKeys);
  checkSize(body);
  const { id } = containerOf(deps, parameter('id'), 'execute a command in');
  const exec = await deps.containers.execCreate(id, {
    command,
    env: body.strings('Env') ?? [],
    user: body.string('User') ?? '',
    workingDir: body.string('WorkingDir') ?? '',
    tty: body.boolean('Tty') ?? false,
    stdin: body.boolean('AttachStdin') ?? false,
    privileged: body.boolean('Privileged') ?? false,
    detachKeys,
  });
  reply.code(201);
  return { Id: exec };
}

/** Docker's `ConsoleSize`: rows and columns. @throws invalid with Docker's text when there is no terminal to have a size */
function checkSize(body: JsonObject): { readonly rows: number; readonly columns: number } | null {
  const size = body.integers('ConsoleSize');
  if (size === undefined || size.every((length) => length === 0)) return null;
  if (!body.boolean('Tty')) throw invalid('console size is only supported when TTY is enabled');
  const [rows = 0, columns = 0] = size;
  return { rows, columns };
}

async function start(deps: DockerDeps, call: Call): Promise<unknown> {
  const { request, reply, parameter } = call;
  const body = readBody(request.body);
  const size = checkSize(body);
  const detach = body.boolean('Detach') ?? false;
  const tty = body.boolean('Tty') ?? false;
  const { request: exec } = deps.containers.execGet(parameter('id'));
  const raw: { opened: ReturnType<typeof openRaw> | null } = { opened: null };
  const open = (): ReturnType<typeof openRaw> => (raw.opened ??= openRaw(deps, call, !tty));
  let streams: Streams;
  try {
    // The head goes before the start, as in Docker: docker-py loses what comes in one packet with it.
    streams = await deps.containers.execStart(exec.id, () => void (detach || open()));
  } catch (error) {
    if (raw.opened === null && (detach || isRefused(error))) throw error;
    return sayInStream(open().socket, { error, tty });
  }
  // It may have ended already; then it needs no size.
  if (size !== null) await deps.containers.execResize(exec.id, size).catch(() => {});
  if (detach) {
    streams.close();
    return reply.code(200).send();
  }
  const { socket } = open();
  await converse(socket, streams, {
    stdout: true,
    stderr: true,
    stdin: !exec.stdin ? 'ignored' : exec.tty ? 'ends-session' : 'closes-input',
    multiplexed: !tty,
    detachKeys: exec.tty ? parseDetachKeys(exec.detachKeys ?? '') : null,
    signal: deps.stopping,
  });
  return undefined;
}

/** What is wrong with the request or the container, as opposed to a command that cannot be run. */
const isRefused = (error: unknown): boolean =>
  error instanceof MoorError && ['conflict', 'not-found', 'unsupported', 'unavailable'].includes(error.kind);

/**
 * A command that cannot be run is told in its output, as in Docker: clients read the exit code of an exec that they are
 * connected to, not the status of its start.
 */
function sayInStream(socket: Duplex, { error, tty }: { readonly error: unknown; readonly tty: boolean }): undefined {
  const text = Buffer.from(`${error instanceof Error ? error.message : String(error)}\r\n`);
  socket.end(tty ? text : frame('stdout', text));
  socket.resume();
  return undefined;
}

async function resize({ containers }: DockerDeps, call: Call): Promise<unknown> {
  await containers.execResize(call.parameter('id'), terminalSize(call));
  return call.reply.code(200).send();
}

async function inspect({ containers }: DockerDeps, { parameter }: Call): Promise<unknown> {
  const { request, running, exitCode, pid } = containers.execGet(parameter('id'));
  const [entrypoint = '', ...words] = request.command;
  return {
    ID: request.id,
    Running: running,
    ExitCode: exitCode,
    ProcessConfig: {
      tty: request.tty,
      entrypoint,
      arguments: words,
      privileged: request.privileged,
      ...(request.user === '' ? {} : { user: request.user }),
    },
    OpenStdin: request.stdin,
    OpenStderr: true,
    OpenStdout: true,
    CanRemove: false,
    ContainerID: request.container.id,
    DetachKeys: request.detachKeys ?? '',
    Pid: pid,
  };
}
