/** User-space tunnels of networks: opened when one is wanted, given its peers, opened again when its thread has failed. Loaded late. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../../base/clock.ts';
import { errorData } from '../../base/errors.ts';
import type { Id } from '../../base/ids.ts';
import type { Tunnel, Tunnels, TunnelSpec } from '../../contracts/tunnel.ts';

/** Milliseconds until a tunnel that failed is opened again; twice as long each time. */
const AGAIN_MS = 100;
const AGAIN_MOST_MS = 30_000;
/** Milliseconds after which a tunnel that ran counts as one that works. */
const STEADY_MS = 10_000;

type Open = (spec: TunnelSpec) => Promise<Tunnel>;

/** @param open for tests; default: the `udp` tunnel */
export function createTunnels(logger: Logger, open: Open = openUdp(logger)): Tunnels {
  const runs = new Map<Id, Run>();
  return {
    async want(network, spec) {
      const run = runs.get(network);
      if (spec === null) {
        runs.delete(network);
        await run?.close();
      } else if (run === undefined) {
        const fresh = new Run(spec, open, logger);
        runs.set(network, fresh);
        await fresh.want(spec);
      } else await run.want(spec);
    },
    status: (network) => runs.get(network)?.status() ?? null,
    async [Symbol.asyncDispose]() {
      await Promise.all([...runs.values()].map((run) => run.close()));
      runs.clear();
    },
  };
}

/** What only a host with such a network needs in memory. */
const openUdp =
  (logger: Logger): Open =>
  async (spec) => {
    const { openUdpTunnel } = await import('../../tunnel/udp/tunnel.ts');
    return openUdpTunnel({ ...spec, logger });
  };

/** The tunnel of one network. */
class Run {
  readonly #open: Open;
  readonly #logger: Logger;
  readonly #stop = new AbortController();
  #spec: TunnelSpec;
  #tunnel: Tunnel | null = null;
  #place = '';
  #error = '';
  #failures = 0;
  /** One step after the other. */
  #work: Promise<void> = Promise.resolve();

  constructor(spec: TunnelSpec, open: Open, logger: Logger) {
    this.#spec = spec;
    this.#open = open;
    this.#logger = logger;
  }

  want(spec: TunnelSpec): Promise<void> {
    this.#spec = spec;
    return this.#step();
  }

  status(): { readonly tunnel: ReturnType<Tunnel['status']> | null; readonly error: string } {
    return { tunnel: this.#tunnel?.status() ?? null, error: this.#error };
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#work;
    await this.#end();
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
      else await this.#tunnel.setPeers(spec.peers);
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
      this.#error = 'its thread has ended';
      this.#logger.error({ device: spec.device }, `tunnel ${spec.device}: its thread has ended, it is opened again`);
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
    await tunnel?.[Symbol.asyncDispose]();
  }
}

const placeOf = ({ device, local }: TunnelSpec): string => `${device} ${local.address} ${local.port}`;
