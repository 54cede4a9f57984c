/**
 * One client of the chaos test: random operations on networks and sandboxes of its own names, and on networks that all share. It
 * keeps what the daemon acknowledged. The one operation that was under way when the daemon died may have happened or not.
 */
import assert from 'node:assert/strict';
import type { Network } from '../../src/model/network.ts';
import type { Endpoint, Sandbox } from '../../src/model/sandbox.ts';
import type { Answer, TestDaemon } from '../support/daemon.ts';
import type { Random } from '../support/random.ts';
import type { Claims } from '../support/truth.ts';

type Operation =
  | { readonly do: 'make network' | 'drop network'; readonly network: string }
  | { readonly do: 'make sandbox'; readonly sandbox: string; readonly networks: readonly string[] }
  | { readonly do: 'drop sandbox'; readonly sandbox: string }
  | { readonly do: 'connect' | 'disconnect'; readonly network: string; readonly sandbox: string };

/** Networks that are always there, for all clients. */
export const SHARED: readonly string[] = ['shared', 'inner', 'bridge'];

const OWN = 3;

export class Client {
  readonly #daemon: TestDaemon;
  readonly #random: Random;
  readonly #networkNames: readonly string[];
  readonly #sandboxNames: readonly string[];
  /** As acknowledged, by name. */
  readonly #networks = new Map<string, Network>();
  readonly #sandboxes = new Map<string, Sandbox>();
  #pending: Operation | null = null;
  readonly counts = { acknowledged: 0, refused: 0, unknown: 0, unknownButDone: 0 };

  constructor(daemon: TestDaemon, name: string, random: Random) {
    this.#daemon = daemon;
    this.#random = random;
    this.#networkNames = Array.from({ length: OWN }, (_, i) => `${name}-n${i}`);
    this.#sandboxNames = Array.from({ length: OWN }, (_, i) => `${name}-s${i}`);
  }

  /** One operation. @returns false when the daemon is gone */
  async step(): Promise<boolean> {
    const operation = this.#choose();
    this.#pending = operation;
    let answer: Answer;
    try {
      answer = await this.#send(operation);
    } catch {
      this.counts.unknown++;
      return false;
    }
    this.#pending = null;
    const refusals = this.#refusals(operation);
    const what = `${JSON.stringify(operation)}: ${answer.status} ${answer.text.slice(0, 500)}`;
    if (refusals.length === 0) {
      assert.ok(answer.status < 300, what);
      this.counts.acknowledged++;
      this.#remember(operation, (answer.json() as { readonly value: Network | Sandbox | Endpoint }).value);
    } else {
      assert.ok(refusals.includes(answer.status), what);
      this.counts.refused++;
    }
    return true;
  }

  #choose(): Operation {
    const random = this.#random;
    const network = random.pick(this.#networkNames);
    const sandbox = random.pick(this.#sandboxNames);
    const any = random.chance(0.5) ? random.pick(SHARED) : network;
    // What can be made is made more often than not, and what is there is dropped seldom enough to be used.
    const dice = random.below(100);
    if (dice < 25) return { do: this.#networks.has(network) && random.chance(0.8) ? 'drop network' : 'make network', network };
    if (dice < 55) {
      if (this.#sandboxes.has(sandbox) && random.chance(0.8)) return { do: 'drop sandbox', sandbox };
      const networks = [...new Set([random.pick(SHARED), any, ...this.#networks.keys()])].slice(0, random.below(4));
      return { do: 'make sandbox', sandbox, networks };
    }
    const on = this.#sandboxes.get(sandbox)?.endpoints.some((endpoint) => this.#nameOf(endpoint) === any) ?? false;
    return { do: on !== random.chance(0.1) ? 'disconnect' : 'connect', network: any, sandbox };
  }

  #send(operation: Operation): Promise<Answer> {
    const { request } = this.#daemon;
    switch (operation.do) {
      case 'make network': {
        const kind = this.#random.below(4);
        return request('POST', '/moor/networks', {
          name: operation.network,
          ipv6: kind === 1,
          internal: kind === 2,
          ...(kind === 3 ? { options: { 'com.docker.network.bridge.enable_icc': 'false' } } : {}),
        });
      }
      case 'drop network':
        return request('DELETE', `/moor/networks/${operation.network}`);
      case 'make sandbox':
        return request('POST', '/moor/sandboxes', {
          name: operation.sandbox,
          networks: operation.networks.map((network) => ({ network })),
        });
      case 'drop sandbox':
        return request('DELETE', `/moor/sandboxes/${operation.sandbox}`);
      case 'connect':
      case 'disconnect':
        return request('POST', `/moor/networks/${operation.network}/${operation.do}`, { sandbox: operation.sandbox });
    }
  }

  /** Statuses of the errors that an operation may get, Docker's where Docker has it; none: it must work. */
  #refusals(operation: Operation): readonly number[] {
    const there = (network: string): boolean => SHARED.includes(network) || this.#networks.has(network);
    const sandbox = 'sandbox' in operation ? this.#sandboxes.get(operation.sandbox) : undefined;
    const joined = (name: string): boolean => sandbox?.endpoints.some((endpoint) => this.#nameOf(endpoint) === name) ?? false;
    switch (operation.do) {
      case 'make network':
        return there(operation.network) ? [409] : [];
      case 'drop network': {
        const used = [...this.#sandboxes.values()].some(({ endpoints }) =>
          endpoints.some((endpoint) => this.#nameOf(endpoint) === operation.network),
        );
        return [...(there(operation.network) ? [] : [404]), ...(used ? [403] : [])];
      }
      case 'make sandbox':
        return [...(sandbox === undefined ? [] : [409]), ...(operation.networks.every(there) ? [] : [404])];
      case 'drop sandbox':
        return sandbox === undefined ? [404] : [];
      case 'connect':
      case 'disconnect':
        if (!there(operation.network) || sandbox === undefined) return [404];
        if (joined(operation.network)) return operation.do === 'connect' ? [403] : [];
        return operation.do === 'connect' ? [] : [409];
    }
  }

  readonly #sharedIds = new Map<string, string>();

  /** Tells the ids of the shared networks. */
  learn({ networks }: Claims): void {
    for (const { id, name } of networks) if (SHARED.includes(name)) this.#sharedIds.set(id, name);
  }

  #nameOf({ networkId }: Endpoint): string {
    const shared = this.#sharedIds.get(networkId);
    return shared ?? [...this.#networks.values()].find(({ id }) => id === networkId)?.name ?? networkId;
  }

  #remember(operation: Operation, value: Network | Sandbox | Endpoint): void {
    switch (operation.do) {
      case 'make network':
        this.#networks.set(operation.network, value as Network);
        break;
      case 'drop network':
        this.#networks.delete(operation.network);
        break;
      case 'make sandbox':
        this.#sandboxes.set(operation.sandbox, value as Sandbox);
        break;
      case 'drop sandbox':
        this.#sandboxes.delete(operation.sandbox);
        break;
      case 'connect':
      case 'disconnect': {
        const sandbox = this.#sandboxes.get(operation.sandbox);
        assert.ok(sandbox);
        const { id } = value as Endpoint;
        const others = sandbox.endpoints.filter((endpoint) => endpoint.id !== id);
        const endpoints = operation.do === 'connect' ? [...others, value as Endpoint] : others;
        this.#sandboxes.set(operation.sandbox, { ...sandbox, endpoints });
        break;
      }
    }
  }

  /** Compares what was acknowledged with what a new daemon lists, and settles the operation that nobody answered. */
  verify(claims: Claims): void {
    const networks = new Map(
      claims.networks.filter(({ name }) => this.#networkNames.includes(name)).map((one) => [one.name, one]),
    );
    const sandboxes = new Map(
      claims.sandboxes.filter(({ name }) => this.#sandboxNames.includes(name)).map((one) => [one.name, one]),
    );
    this.#settle(networks, sandboxes);
    assert.deepEqual(sorted(networks), sorted(this.#networks));
    assert.deepEqual(sorted(sandboxes), sorted(this.#sandboxes));
  }

  /** The unanswered operation may have happened; if so, wholly. */
  #settle(networks: ReadonlyMap<string, Network>, sandboxes: ReadonlyMap<string, Sandbox>): void {
    const operation = this.#pending;
    this.#pending = null;
    if (operation === null || this.#refusals(operation).length > 0) return;
    const network = 'network' in operation ? networks.get(operation.network) : undefined;
    const sandbox = 'sandbox' in operation ? sandboxes.get(operation.sandbox) : undefined;
    const value = this.#outcome(operation, network, sandbox);
    if (value === null) return;
    this.counts.unknownButDone++;
    this.#remember(operation, value);
  }

  /** What the operation made or took away, if it happened. */
  #outcome(
    operation: Operation,
    network: Network | undefined,
    sandbox: Sandbox | undefined,
  ): Network | Sandbox | Endpoint | null {
    switch (operation.do) {
      case 'make network':
        return network ?? null;
      case 'drop network':
        return network === undefined ? (this.#networks.get(operation.network) ?? null) : null;
      case 'make sandbox':
        if (sandbox) {
          const on = sandbox.endpoints.map((endpoint) => this.#nameOf(endpoint));
          assert.deepEqual(on, operation.networks, 'a sandbox that was made by halves');
        }
        return sandbox ?? null;
      case 'drop sandbox':
        return sandbox === undefined ? (this.#sandboxes.get(operation.sandbox) ?? null) : null;
      case 'connect':
        return sandbox?.endpoints.find((endpoint) => this.#nameOf(endpoint) === operation.network) ?? null;
      case 'disconnect': {
        const before = this.#sandboxes.get(operation.sandbox)?.endpoints ?? [];
        const endpoint = before.find((one) => this.#nameOf(one) === operation.network);
        return endpoint !== undefined && !sandbox?.endpoints.some(({ id }) => id === endpoint.id) ? endpoint : null;
      }
    }
  }

  /** Removes everything of this client. */
  async clean(): Promise<void> {
    for (const name of this.#sandboxes.keys()) {
      const { status, text } = await this.#daemon.request('DELETE', `/moor/sandboxes/${name}`);
      assert.equal(status, 200, text);
    }
    for (const name of this.#networks.keys()) {
      const { status, text } = await this.#daemon.request('DELETE', `/moor/networks/${name}`);
      assert.equal(status, 200, text);
    }
  }
}

const sorted = <T>(map: ReadonlyMap<string, T>): readonly (readonly [string, T])[] =>
  [...map].toSorted(([a], [b]) => (a < b ? -1 : 1));
