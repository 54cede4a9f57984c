/** What the tests of the store on a real etcd share. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bootClock } from '../../src/base/boot-clock.ts';
import { silentLogger } from '../../src/base/clock.ts';
import type { Revision, Store, StoreEvent } from '../../src/contracts/store.ts';
import { type EtcdStoreOptions, openEtcdStore } from '../../src/store/etcd/store.ts';
import { NO_ETCD } from '../support/etcd.ts';
import { eventually } from './store-harness.ts';

export const PORT = 23_790;

export const at = (port: number): { readonly host: string; readonly port: number } => ({ host: '127.0.0.1', port });
export const open = (endpoints: EtcdStoreOptions['endpoints'], more: Partial<EtcdStoreOptions> = {}): Promise<Store> =>
  openEtcdStore({ endpoints, prefix: '/t', logger: silentLogger, clock: bootClock, random: () => 0, ...more });

/** Follows a watch in the background. */
export class Watcher implements AsyncDisposable {
  readonly events: StoreEvent[] = [];
  error: unknown = null;
  readonly #stop = new AbortController();
  readonly #ended: Promise<void>;

  constructor(store: Store, from: Revision, prefix = 'w/') {
    this.#ended = (async () => {
      try {
        for await (const batch of store.watch(prefix, from, this.#stop.signal)) this.events.push(...batch);
      } catch (error) {
        this.error = error;
      }
    })();
  }

  values(): readonly (string | null)[] {
    return this.events.map(({ value }) => value);
  }

  async has(count: number): Promise<void> {
    await eventually(async () => this.error !== null || this.events.length >= count);
    assert.equal(this.error, null);
  }

  async fails(): Promise<unknown> {
    await eventually(async () => this.error !== null);
    return this.error;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }
}

export const numbers = (count: number): readonly string[] => Array.from({ length: count }, (_, i) => String(i));

export function check(title: string, body: () => Promise<void>): void {
  test(`etcd: ${title}`, { skip: NO_ETCD }, body);
}
