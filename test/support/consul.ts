/**
 * Debian 11's Consul (tools/stores.sh) as a process of the test, on loopback addresses of the test's own network namespace, with its data
 * in memory. Asked by plain HTTP beside the store under test, it is the independent opinion.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ServerProcess, started } from './server-process.ts';

const PROGRAM = resolve(import.meta.dirname, '../../.cache/stores/bin/consul');

/** For `skip`: why there is no server to test with; false when there is. */
export const NO_CONSUL = existsSync(PROGRAM) ? false : 'there is no consul (run make peers)';
if (NO_CONSUL !== false) process.stderr.write('NO CONSUL: what is tested on it is SKIPPED\n');

/** Milliseconds for a server to come up and to elect itself. */
const START_MS = 15_000;
const POLL_MS = 20;

export interface ConsulOptions {
  /** More of its configuration. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Several servers as one cluster: the ports of all of them. */
  readonly cluster?: readonly number[];
}

export interface Ask {
  readonly body?: string | Buffer;
  /** Where access control is on. */
  readonly token?: string;
}

export class ConsulServer extends ServerProcess {
  /** @param port for HTTP; the two behind it are for other servers. Started by `start`. */
  constructor(port: number, options: ConsulOptions = {}) {
    const { cluster = [port], config = {} } = options;
    super('consul', port, (folder) => ({
      program: PROGRAM,
      args: ['agent', '-config-file', join(folder, 'consul.json')],
      files: {
        'consul.json': JSON.stringify({
          server: true,
          node_name: `m${port}`,
          data_dir: join(folder, 'data'),
          bind_addr: '127.0.0.1',
          client_addr: '127.0.0.1',
          bootstrap_expect: cluster.length,
          retry_join: cluster.map((one) => `127.0.0.1:${one + 1}`),
          retry_interval: '200ms',
          ports: { http: port, serf_lan: port + 1, server: port + 2, serf_wan: -1, dns: -1, grpc: -1 },
          // Elections in tenths of a second, as Consul advises for production.
          performance: { raft_multiplier: 1 },
          log_level: 'warn',
          disable_update_check: true,
          // One test's client is many.
          limits: { http_max_conns_per_client: 1_000 },
          ...config,
        }),
      },
      env: { GOMAXPROCS: '2' },
    }));
  }

  /** Until it answers with a leader, and takes writes. */
  async ready(): Promise<void> {
    const end = Date.now() + START_MS;
    for (;;) {
      const answer = await this.ask('PUT', '/v1/kv/filler', { body: 'x' }).catch((error: unknown) => ({
        status: 0,
        text: String(error),
      }));
      // 403: access control is at work, so there is a leader.
      if (answer.status === 200 || answer.status === 403) return;
      this.assertAlive();
      assert.ok(Date.now() < end, `consul is not ready: ${answer.text}\n${this.said}`);
      await sleep(POLL_MS);
    }
  }

  async ask(
    method: string,
    path: string,
    { body, token }: Ask = {},
  ): Promise<{ readonly status: number; readonly text: string }> {
    const headers = { connection: 'close', ...(token === undefined ? {} : { 'x-consul-token': token }) };
    const answer = await fetch(`http://127.0.0.1:${this.port}${path}`, {
      method,
      headers,
      signal: AbortSignal.timeout(5_000),
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : new Uint8Array(body) }),
    });
    return { status: answer.status, text: await answer.text() };
  }

  /** Past the store under test. */
  async put(key: string, value: string | Buffer): Promise<void> {
    const path = key.split('/').map(encodeURIComponent).join('/');
    assert.deepEqual(await this.ask('PUT', `/v1/kv/${path}`, { body: value }), { status: 200, text: 'true' });
  }
}

/** A server that runs, and goes with the test. */
export const startConsul = (port: number, options: ConsulOptions = {}): Promise<ConsulServer> =>
  started(new ConsulServer(port, options));
