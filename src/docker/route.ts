/** What a route of the Docker API is, and what its handler gets. Routes are data: the table of them is also a page of the docs. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '../base/clock.ts';
import type { Containers, Images, RootFiles } from '../contracts/containers.ts';
import type { Engine } from '../contracts/engine.ts';
import type { Processes } from '../contracts/process.ts';
import type { Query } from './query.ts';

/** Facts about this daemon and machine that `version` and `info` report. Read when asked. */
export interface SystemFacts {
  /** Our own version. */
  readonly version: string;
  /** Newest and oldest API version, `1.51`. */
  readonly apiVersion: string;
  readonly minApiVersion: string;
  readonly nodeVersion: string;
  readonly kernelVersion: string;
  readonly operatingSystem: string;
  readonly osVersion: string;
  /** `x86_64` */
  readonly architecture: string;
  readonly cpus: number;
  /** bytes */
  readonly memory: number;
  readonly hostname: string;
  readonly dataRoot: string;
  /** An identifier of this installation that stays the same over restarts. */
  readonly id: string;
  readonly debug: boolean;
  readonly networkDrivers: readonly string[];
  readonly cgroupVersion: 1 | 2;
  /** Programs that containers are made with, as found on this machine; none when nothing runs containers. */
  readonly programs: readonly { readonly name: string; readonly version: string }[];
  readonly addressPools: readonly { readonly base: string; readonly size: number }[];
}

export interface DockerDeps {
  readonly engine: Engine;
  readonly containers: Containers;
  readonly images: Images;
  readonly rootFiles: Pick<RootFiles, 'read' | 'stat' | 'write' | 'changes' | 'size' | 'export' | 'mount'>;
  readonly processes: Pick<Processes, 'alive'>;
  readonly clock: Clock;
  readonly system: () => SystemFacts;
  /** The API version a request is answered in. */
  readonly apiVersion: (request: IncomingMessage) => { readonly major: number; readonly minor: number };
  /** Takes a connection over from the HTTP server; says whether the client asked for an upgrade. */
  readonly takeSocket: (request: FastifyRequest, reply: FastifyReply) => { readonly socket: Duplex; readonly upgrade: boolean };
  /** Aborts when the daemon stops: streams that never end by themselves end then. */
  readonly stopping: AbortSignal;
}

export interface Call {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly query: Query;
  /** A path parameter, decoded. */
  readonly parameter: (name: string) => string;
}

export interface DockerRoute {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE';
  /** `:name` is one segment, `:name+` one or more: names of images have slashes. */
  readonly path: string;
  /** The API version that it came with, when that is newer than the oldest we serve. */
  readonly since?: string;
  /** `stream`: the handler gets the body unread, however large it is. */
  readonly body?: 'stream';
  /** It changes the kernel, and little else: worth waking who does that as soon as it is asked for. */
  readonly kernel?: true;
  /** One line for the docs. */
  readonly summary: string;
  /** The answer's body; the reply itself when the handler has sent it. */
  readonly handle: (deps: DockerDeps, call: Call) => Promise<unknown>;
}
