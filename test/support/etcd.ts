/**
 * Debian's etcd (tools/peers.sh) as a process of the test, on loopback addresses of the test's own network namespace, with its data in
 * memory. Its JSON gateway is the independent opinion: it speaks to the same server without a line of ours.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { request as http } from 'node:http';
import { request as https } from 'node:https';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ServerProcess, started } from './server-process.ts';

const PROGRAM = resolve(import.meta.dirname, '../../.cache/peers/usr/bin/etcd');

/** For `skip`: why there is no server to test with; false when there is. */
export const NO_ETCD = existsSync(PROGRAM) ? false : 'there is no etcd (run make peers)';

/** Milliseconds for a server to come up, with an election if it is one of several. */
const START_MS = 15_000;
const POLL_MS = 20;

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

export class EtcdServer extends ServerProcess {
  readonly #tls: ServerTls | undefined;

  /** @param port for clients; the one behind it is for other servers. Started by `start`. */
  constructor(port: number, { tls, flags = [], cluster = [port] }: EtcdOptions = {}) {
    const client = `${tls ? 'https' : 'http'}://127.0.0.1:${port}`;
    const peer = (one: number): string => `http://127.0.0.1:${one + 1}`;
    super('etcd', port, (folder) => ({
      program: PROGRAM,
      args: [
        ...['--name', `m${port}`, '--data-dir', join(folder, 'data', 'etcd'), '--log-level', 'error', '--logger', 'zap'],
        ...['--listen-client-urls', client, '--advertise-client-urls', client],
        ...['--listen-peer-urls', peer(port), '--initial-advertise-peer-urls', peer(port)],
        ...['--initial-cluster', cluster.map((one) => `m${one}=${peer(one)}`).join(',')],
        ...(tls ? ['--cert-file', tls.cert, '--key-file', tls.key] : []),
        ...(tls?.client ? ['--client-cert-auth', '--trusted-ca-file', tls.ca] : []),
        ...flags,
      ],
      env: { GOMAXPROCS: '2' },
    }));
    this.#tls = tls;
  }

  /** Until it answers with a leader. */
  async ready(): Promise<void> {
    const end = Date.now() + START_MS;
    for (;;) {
      const answer = await this.#ask('/health', { method: 'GET' }).catch((error: unknown) => String(error));
      if (answer.includes('"health":"true"')) return;
      this.assertAlive();
      assert.ok(Date.now() < end, `etcd is not healthy: ${answer}\n${this.said}`);
      await sleep(POLL_MS);
    }
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

  #ask(path: string, { method, body, token }: { method: string; body?: string; token?: string }): Promise<string> {
    const tls = this.#tls;
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
export const startEtcd = (port: number, options: EtcdOptions = {}): Promise<EtcdServer> => started(new EtcdServer(port, options));
