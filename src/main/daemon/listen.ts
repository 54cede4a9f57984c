/** Opens the sockets of the API. All of them share one router. */
import { chownSync, fstatSync, readFileSync, rmSync, statSync } from 'node:fs';
import type * as Http from 'node:http';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { routeUpgrade, wantsUpgrade } from '../../api/hijack.ts';
import { refuseBytes } from '../../api/server.ts';
import type { Logger } from '../../base/clock.ts';
import { invalid, MoorError } from '../../base/errors.ts';
import { makeDirectory } from './directory.ts';
import { hostText, type ListenAddress } from './hosts.ts';

/** As a property of `node:http`, not as an import: importing from that module evaluates its exports, also those of `fetch`: 15 MB. */
const { createServer } = process.getBuiltinModule('node:http');

/** First descriptor that systemd passes, SD_LISTEN_FDS_START in <systemd/sd-daemon.h>. */
const LISTEN_FDS_START = 3;
/** Milliseconds to wait for the owner of an existing socket to answer. */
const PROBE_MS = 2000;

export interface Listening {
  readonly addresses: readonly string[];
  /** Stops accepting. Connections with an answer under way go on; idle ones are closed. */
  readonly close: () => Promise<void>;
  /** Ends what is left. */
  readonly closeAll: () => void;
}

export interface ListenOptions {
  readonly app: FastifyInstance;
  readonly addresses: readonly ListenAddress[];
  readonly group: string | null;
  readonly logger: Logger;
}

/** Milliseconds between looks at connections that have become idle while we wait for the busy ones. */
const IDLE_POLL_MS = 20;

/**
 * Whether the sockets can be ours, before the kernel is touched: a daemon with another data root would sweep what the one that listens
 * there has made, because no row of its own store names it.
 * @throws conflict when a live process holds one, or the path is something else
 */
export async function checkSockets(addresses: readonly ListenAddress[]): Promise<void> {
  for (const address of addresses) if (address.type === 'unix') await checkPath(address.path);
}

/** @throws conflict when a live daemon holds a socket; invalid for a group that does not exist; unavailable by errno */
export async function listen({ app, addresses, group, logger }: ListenOptions): Promise<Listening> {
  await app.ready();
  const servers: Http.Server[] = [];
  const close = async (): Promise<void> => {
    // Closing a server also removes the path of a socket that Node has bound.
    await Promise.all(servers.map((server) => closeServer(server)));
  };
  try {
    for (const address of addresses) {
      for (const target of await targetsOf(address, logger)) {
        const server = createServer(
          { keepAliveTimeout: 72_000, requestTimeout: 0, shouldUpgradeCallback: wantsUpgrade },
          (request, response) => app.routing(request, response),
        );
        server.on('upgrade', routeUpgrade(app));
        server.on('clientError', refuseBytes);
        await open(server, target);
        servers.push(server);
      }
      if (address.type === 'unix') giveToGroup(address.path, group, logger);
    }
  } catch (error) {
    await close();
    throw error;
  }
  return {
    addresses: addresses.map(hostText),
    close,
    closeAll: () => {
      for (const server of servers) server.closeAllConnections();
    },
  };
}

function closeServer(server: Http.Server): Promise<void> {
  return new Promise((done) => {
    // A connection that was busy when we closed is kept alive when it has its answer.
    const timer = setInterval(() => server.closeIdleConnections(), IDLE_POLL_MS);
    server.close(() => {
      clearInterval(timer);
      done();
    });
  });
}

async function targetsOf(address: ListenAddress, logger: Logger): Promise<readonly ListenSpec[]> {
  switch (address.type) {
    case 'unix':
      makeDirectory(dirname(address.path), 0o755);
      await clearPath(address.path);
      return [{ path: address.path }];
    case 'fd':
      return inheritedSockets(address.name);
    case 'tcp':
      logger.warn(
        { address: hostText(address) },
        'the API listens on TCP without TLS: every process that can reach it has root on this machine',
      );
      return [{ host: address.host, port: address.port }];
    default:
      return address satisfies never;
  }
}

type ListenSpec = { readonly path: string } | { readonly fd: number } | { readonly host: string; readonly port: number };

function open(server: Http.Server, target: ListenSpec): Promise<void> {
  return new Promise((done, fail) => {
    const failed = (error: NodeJS.ErrnoException): void => fail(new MoorError('unavailable', `Cannot listen: ${error.message}`));
    server.once('error', failed);
    // bind(2) takes place before `listen` returns: the socket is born with mode 0660, so nobody gets in before a chmod.
    const umask = process.umask(0o117);
    try {
      server.listen(target, () => {
        server.off('error', failed);
        done();
      });
    } finally {
      process.umask(umask);
    }
  });
}

/** Sockets passed by the service manager, sd_listen_fds(3). `name`: only those called so. */
function inheritedSockets(name: string): readonly ListenSpec[] {
  const { LISTEN_PID: pid, LISTEN_FDS: count, LISTEN_FDNAMES: names } = process.env;
  const all = Number(pid) === process.pid ? Number(count ?? 0) : 0;
  const called = names?.split(':') ?? [];
  const found = Array.from({ length: all }, (_, index) => index).filter((index) => name === '' || called[index] === name);
  if (found.length === 0) {
    throw invalid(
      `no sockets found via socket activation${name === '' ? '' : ` with the name ${name}`}: make sure the service was started by systemd`,
    );
  }
  return found.map((index) => {
    const fd = LISTEN_FDS_START + index;
    if (!isSocket(fd)) throw invalid(`socket activation failed: LISTEN_FDS names descriptor ${fd}, which is no socket`);
    return { fd };
  });
}

function isSocket(fd: number): boolean {
  try {
    return fstatSync(fd).isSocket();
  } catch {
    return false;
  }
}

/** Removes the socket of a daemon that is gone. @throws conflict when it is not gone, or when the path is something else */
async function clearPath(path: string): Promise<void> {
  await checkPath(path);
  rmSync(path, { force: true });
}

async function checkPath(path: string): Promise<void> {
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found) return;
  if (!found.isSocket()) throw new MoorError('conflict', `Cannot listen on ${path}: it exists and is not a socket`);
  if (await answers(path)) throw new MoorError('conflict', `Cannot listen on ${path}: another process listens there already`);
}

function answers(path: string): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(path);
    const end = (answer: boolean): void => {
      socket.destroy();
      done(answer);
    };
    socket.once('connect', () => end(true));
    // ECONNREFUSED: nobody holds it. Others (EAGAIN: the queue is full, EACCES) mean that somebody does.
    socket.once('error', (error: NodeJS.ErrnoException) => end(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'));
    socket.setTimeout(PROBE_MS, () => end(true));
  });
}

/** Docker's rule: the group that was named must exist; `docker` is taken when there is one. */
function giveToGroup(path: string, group: string | null, logger: Logger): void {
  const gid = groupId(group ?? 'docker');
  if (gid === null) {
    if (group !== null) throw invalid(`group ${group} not found`);
    logger.debug({}, 'there is no group docker: only root can use the socket');
    return;
  }
  chownSync(path, 0, gid);
}

/** Id of a group by name or number, or null. */
export function groupId(name: string): number | null {
  if (/^\d+$/.test(name)) return Number(name);
  for (const line of readFileSync('/etc/group', 'utf8').split('\n')) {
    const [entry, , gid] = line.split(':');
    if (entry === name && gid !== undefined) return Number(gid);
  }
  return null;
}
