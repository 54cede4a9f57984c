/** User-space tunnels of networks: opened when one is wanted, or found as an earlier daemon left it, given its peers, opened again when it has failed. Loaded late. */
import { existsSync, readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../../base/clock.ts';
import { errorData } from '../../base/errors.ts';
import { type Id, isId } from '../../base/ids.ts';
import type { Tunnel, Tunnels, TunnelSpec, TunnelStatus } from '../../contracts/tunnel.ts';

/** Milliseconds until a tunnel that failed is opened again; twice as long each time. */
const AGAIN_MS = 100;
const AGAIN_MOST_MS = 30_000;
/** Milliseconds after which a tunnel that ran counts as one that works. */
const STEADY_MS = 10_000;

/** How tunnels are made. */
export interface Means {
  readonly open: (network: Id, spec: TunnelSpec) => Promise<Tunnel>;
  /** Networks with a tunnel that an earlier daemon has left. */
  readonly left: () => readonly Id[];
  /** Ends such a one, if it is there. */
  readonly end: (network: Id) => Promise<void>;
}

export function createTunnels(logger: Logger, means: Means): Tunnels {
  const runs = new Map<Id, Run>();
  const end = async (network: Id): Promise<void> => {
    const run = runs.get(network);
    runs.delete(network);
    if (run === undefined) await means.end(network);
    else await run.end();
  };
  return {
    async want(network, spec) {
      const run = runs.get(network);
      if (spec === null) await end(network);
      else if (run === undefined) {
        const fresh = new Run(spec, (wanted) => means.open(network, wanted), logger);
        runs.set(network, fresh);
        await fresh.want(spec);
      } else await run.want(spec);
    },
    async keep(networks) {
      const there = new Set([...runs.keys(), ...means.left()]);
      await Promise.all([...there].filter((network) => !networks.has(network)).map(end));
    },
    status: async (network) => (await runs.get(network)?.status()) ?? null,
    async [Symbol.asyncDispose]() {
      await Promise.all([...runs.values()].map((run) => run.letGo()));
      runs.clear();
    },
  };
}

export interface TunnelConfig {
  readonly execRoot: string;
  /** Tunnel processes go before other programs. */
  readonly tunnelPriority: boolean;
  /** TCP between hosts of ours may go past them, in the kernel. */
  readonly tunnelFastpath: boolean;
}

/** The `udp` tunnel: a process for each network, with a folder for each. What only a host with such a network needs in memory is loaded late. */
export function udpTunnels(
  { execRoot, tunnelPriority: priority, tunnelFastpath: fastPath }: TunnelConfig,
  logger: Logger,
): Means {
  const root = `${execRoot}/tunnels`;
  const directory = (network: Id): string => `${root}/${network}`;
  return {
    async open(network, spec) {
      const { openUdpTunnel } = await import('../../tunnel/udp/tunnel.ts');
      return await openUdpTunnel({ ...spec, directory: directory(network), logger, priority, fastPath });
    },
    left: () => (existsSync(root) ? readdirSync(root).filter(isId) : []),
    async end(network) {
      if (!existsSync(directory(network))) return;
      const { endLeftTunnel } = await import('../../tunnel/udp/launch.ts');
      await endLeftTunnel(directory(network));
    },
  };
}

/** The tunnel of one network. */
class Run {
  readonly #open: (spec: TunnelSpec) => Promise<Tunnel>;
  readonly #logger: Logger;
  readonly #stop = new AbortController();
  #spec: TunnelSpec;
  #tunnel: Tunnel | null = null;
  #place = '';
  #error = '';
  #failures = 0;
  /** One step after the other. */
  #work: Promise<void> = Promise.resolve();

  constructor(spec: TunnelSpec, open: (spec: TunnelSpec) => Promise<Tunnel>, logger: Logger) {
    this.#spec = spec;
    this.#open = open;
    this.#logger = logger;
  }

  want(spec: TunnelSpec): Promise<void> {
    this.#spec = spec;
    return this.#step();
  }

  async status(): Promise<{ readonly tunnel: TunnelStatus | null; readonly error: string }> {
    try {
      return { tunnel: (await this.#tunnel?.status()) ?? null, error: this.#error };
    } catch (error) {
      return { tunnel: null, error: errorData(error).message };
    }
  }

  async end(): Promise<void> {
    this.#stop.abort();
    await this.#work;
    await this.#end();
  }

  async letGo(): Promise<void> {
    this.#stop.abort();
    await this.#work;
    const tunnel = this.#tunnel;
    this.#tunnel = null;
    await tunnel?.[Symbol.asyncDispose]();
  }

  #step(): Promise<void> {
    this.#work = this.#work.then(() => this.#adjust());
    return this.#work;
  }

  async #adjust(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    const spec = this.#spec;
    try {
      if (this.#tunnel !== null && this.#place !== placeOf(spec)) await this.#end();
      if (this.#tunnel === null) await this.#begin(spec);
      else await this.#tunnel.setPeers(spec);
      this.#error = '';
    } catch (error) {
      const { message } = errorData(error);
      if (message !== this.#error)
        this.#logger.error({ device: spec.device, reason: message }, `tunnel ${spec.device}: ${message}`);
      this.#error = message;
      await this.#end();
      this.#again();
    }
  }

  async #begin(spec: TunnelSpec): Promise<void> {
    const tunnel = await this.#open(spec);
    this.#tunnel = tunnel;
    this.#place = placeOf(spec);
    const began = performance.now();
    void tunnel.ended.then(() => {
      if (this.#tunnel !== tunnel) return;
      if (performance.now() - began > STEADY_MS) this.#failures = 0;
      this.#error = 'it has ended';
      this.#logger.error({ device: spec.device }, `tunnel ${spec.device}: it has ended, it is opened again`);
      this.#work = this.#work.then(() => this.#end());
      this.#again();
    });
  }

  #again(): void {
    const delay = Math.min(AGAIN_MOST_MS, AGAIN_MS * 2 ** this.#failures++);
    sleep(delay, undefined, { ref: false, signal: this.#stop.signal }).then(
      () => void this.#step(),
      () => {},
    );
  }

  async #end(): Promise<void> {
    const tunnel = this.#tunnel;
    this.#tunnel = null;
    await tunnel?.end();
  }
}

const placeOf = ({ device, local }: TunnelSpec): string => `${device} ${local.address} ${local.port}`;
