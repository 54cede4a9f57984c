/**
 * Debian's etcd (tools/peers.sh) as a process of the test, on loopback addresses of the test's own network namespace, with its data in
 * memory. Its JSON gateway is the independent opinion: it speaks to the same server without a line of ours.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { request as http } from 'node:http';
import { request as https } from 'node:https';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const PROGRAM = resolve(import.meta.dirname, '../../.cache/peers/usr/bin/etcd');

/** For `skip`: why there is no server to test with; false when there is. */
export const NO_ETCD = existsSync(PROGRAM) ? false : 'there is no etcd (run make peers)';

/** Milliseconds for a server to come up, with an election if it is one of several. */
const START_MS = 15_000;
const POLL_MS = 20;
const LOG_CHARS = 4_000;

export interface ServerTls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  /** The server wants a certificate of each client; the gateway shows this one. */
  readonly client?: { readonly cert: string; readonly key: string };
}

export interface EtcdOptions {
  readonly tls?: ServerTls;
  /** More of etcd's own options. */
  readonly flags?: readonly string[];
  /** Several servers as one cluster: the ports of all of them, this one's first. */
  readonly cluster?: readonly number[];
}

export class EtcdServer implements AsyncDisposable {
  readonly port: number;
  readonly endpoint: { readonly host: string; readonly port: number };
  readonly #options: EtcdOptions;
  readonly #data = mkdtempSync(join(tmpdir(), 'etcd-'));
  #process: ChildProcess | null = null;
  #exited: Promise<unknown> = Promise.resolve();
  /** The end of its log. */
  #said = '';

  /** @param port for clients; the one behind it is for other servers. Started by `start`. */
  constructor(port: number, options: EtcdOptions = {}) {
    this.port = port;
    this.endpoint = { host: '127.0.0.1', port };
    this.#options = options;
  }

  /** Also again, on the data that is there. */
  async start(): Promise<void> {
    this.launch();
    await this.ready();
  }

  launch(): void {
    const { tls, flags = [], cluster = [this.port] } = this.#options;
    const client = `${tls ? 'https' : 'http'}://127.0.0.1:${this.port}`;
    const peer = (port: number): string => `http://127.0.0.1:${port + 1}`;
    const args = [
      ...[
        '--name',
        `m${this.port}`,
        '--data-dir',
        join(this.#data, 'data'),
        '--log-level',
        process.env.LL ?? 'error',
        '--logger',
        'zap',
      ],
      ...['--listen-client-urls', client, '--advertise-client-urls', client],
      ...['--listen-peer-urls', peer(this.port), '--initial-advertise-peer-urls', peer(this.port)],
      ...['--initial-cluster', cluster.map((port) => `m${port}=${peer(port)}`).join(',')],
      ...(tls ? ['--cert-file', tls.cert, '--key-file', tls.key] : []),
      ...(tls?.client ? ['--client-cert-auth', '--trusted-ca-file', tls.ca] : []),
      ...flags,
    ];
    const child = spawn(PROGRAM, args, { stdio: ['ignore', 'ignore', 'pipe'], env: { GOMAXPROCS: '2', HOME: this.#data } });
    child.stderr.setEncoding('utf8');
    child.stderr.on('data', (text: string) => (this.#said = (this.#said + text).slice(-LOG_CHARS)));
    this.#process = child;
    this.#exited = once(child, 'exit');
  }

  /** Until it answers with a leader. */
  async ready(): Promise<void> {
    const end = Date.now() + START_MS;
    for (;;) {
      const answer = await this.#ask('/health', { method: 'GET' }).catch((error: unknown) => String(error));
      if (answer.includes('"health":"true"')) return;
      const { exitCode, signalCode } = this.#process ?? { exitCode: null, signalCode: null };
      assert.ok(exitCode === null && signalCode === null, `etcd has ended: ${signalCode ?? exitCode}\n${this.#said}`);
      assert.ok(Date.now() < end, `etcd is not healthy: ${answer}\n${this.#said}`);
      await sleep(POLL_MS);
    }
  }

  /** SIGKILL by default. */
  async stop(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#process;
    this.#process = null;
    if (!child) return;
    child.kill('SIGCONT');
    child.kill(signal);
    await this.#exited;
  }

  /** A black hole: connections stay, and new ones are taken by the kernel, but nobody answers. */
  async freeze(): Promise<void> {
    const pid = this.#process?.pid;
    this.#process?.kill('SIGSTOP');
    // Each thread stops when it next comes by.
    const state = (thread: string): string => readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8').replace(/^.*\) /, '');
    while (!readdirSync(`/proc/${pid}/task`).every((thread) => state(thread).startsWith('T'))) await sleep(1);
  }

  thaw(): void {
    this.#process?.kill('SIGCONT');
  }

  /** Forgets everything, as a server that was set up anew. */
  wipe(): void {
    rmSync(join(this.#data, 'data'), { recursive: true, force: true });
  }

  /** @param path `kv/put`; bytes are base64. @returns etcd's answer. */
  async gateway(path: string, body: unknown, token?: string): Promise<Readonly<Record<string, unknown>>> {
    const text = await this.#ask(`/v3/${path}`, {
      method: 'POST',
      body: JSON.stringify(body),
      ...(token === undefined ? {} : { token }),
    });
    const answer = JSON.parse(text) as Readonly<Record<string, unknown>>;
    assert.ok(!('error' in answer), `${path}: ${text}`);
    return answer;
  }

  async put(key: string | Buffer, value: string | Buffer): Promise<void> {
    await this.gateway('kv/put', { key: base64(key), value: base64(value) });
  }

  async revision(): Promise<number> {
    const { header } = (await this.gateway('kv/range', { key: base64('x') })) as { header: { revision: string } };
    return Number(header.revision);
  }

  /** What was before is forgotten. The newest revision is always kept, so there is one more first. */
  async compact(): Promise<void> {
    await this.put('filler', '');
    await this.gateway('kv/compaction', { revision: await this.revision(), physical: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    rmSync(this.#data, { recursive: true, force: true });
  }

  #ask(path: string, { method, body, token }: { method: string; body?: string; token?: string }): Promise<string> {
    const { tls } = this.#options;
    const headers = { ...(token === undefined ? {} : { authorization: token }) };
    const where = { host: '127.0.0.1', port: this.port, method, path, headers, agent: false, timeout: START_MS };
    // It is not the gateway's client whose trust is tested.
    const shown = tls?.client ? { cert: readFileSync(tls.client.cert), key: readFileSync(tls.client.key) } : {};
    return new Promise((done, fail) => {
      const request = tls ? https({ ...where, rejectUnauthorized: false, ...shown }) : http(where);
      request.on('error', fail);
      request.on('response', (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (piece: string) => (text += piece));
        response.on('end', () => done(text));
        response.on('error', fail);
      });
      request.end(body);
    });
  }
}

export const base64 = (text: string | Buffer): string => Buffer.from(text).toString('base64');

/** A server that runs, and goes with the test. */
export async function startEtcd(port: number, options: EtcdOptions = {}): Promise<EtcdServer> {
  const server = new EtcdServer(port, options);
  try {
    await server.start();
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
  return server;
}
