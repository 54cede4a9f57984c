/**
 * Start a container: on no network, the default one, one of one's own, there with a published port; and many at once. The same calls, the
 * same image to both daemons.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { busyboxLayer } from '../../support/images.ts';
import { dockerApi, network } from '../contestant.ts';
import type { Client } from '../http.ts';
import { inBatches, inRow, interleave, numbers, type Turn } from '../rounds.ts';
import { type Row, type Summary, summarise } from '../result.ts';
import type { Part } from '../world.ts';

const OWN = network('start', 64);
const IMAGE = 'start';
const FIRST_PORT = 20_000;

/** Containers made or removed at a time while nobody looks at the clock. */
const WIDTH = 4;

/** The kernel takes namespaces and their links apart after the answer, and holds the lock of all links meanwhile. */
const SETTLE_MS = 300;

const MODES = { none: 'none', bridge: 'bridge', own: OWN.name, published: OWN.name } as const;
type Mode = keyof typeof MODES;

class Containers {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  async prepare(image: Buffer): Promise<void> {
    await this.#client.call('POST', `/images/create?fromSrc=-&repo=${IMAGE}`, image);
    await dockerApi(this.#client).network(OWN);
  }

  /** Makes containers, times `work` with their names, and removes them. */
  async with<T>(mode: Mode, names: readonly string[], work: () => Promise<T>): Promise<T> {
    await inBatches(names, WIDTH, (name) => {
      // A number of its own for each.
      const HostPort = String(FIRST_PORT + names.indexOf(name));
      const PortBindings = mode === 'published' ? { '80/tcp': [{ HostPort }] } : {};
      const HostConfig = { NetworkMode: MODES[mode], Init: false, PortBindings };
      // Docker publishes none that is not exposed.
      const ExposedPorts = mode === 'published' ? { '80/tcp': {} } : {};
      const body = { Image: IMAGE, Cmd: ['sleep', 'infinity'], ExposedPorts, HostConfig };
      return this.#client.call('POST', `/containers/create?name=${name}`, body);
    });
    const result = await work();
    await inBatches(names, WIDTH, (name) => this.#client.call('DELETE', `/containers/${name}?force=1`));
    await sleep(SETTLE_MS);
    return result;
  }

  /** @returns milliseconds */
  readonly start = async (name: string): Promise<number> => (await this.#client.call('POST', `/containers/${name}/start`)).ms;
}

const namesOf = (count: number): readonly string[] => numbers(1, count).map((k) => `start${k}`);

export const containers: Part = async ({ sizes, moorline, docker, say }) => {
  const image = busyboxTar();
  const both = { moorline: new Containers((await moorline()).client), docker: new Containers((await docker()).client) };
  for (const one of Object.values(both)) await one.prepare(image);

  const names = namesOf(sizes.inRow);
  const few = { rounds: Math.ceil(sizes.rounds / 3), warmup: 1 };
  const startsIn = async (mode: Mode): Promise<Row['values']> => {
    const turn =
      (one: Containers): Turn<'start'> =>
      () =>
        one.with(mode, names, async () => ({ start: await inRow(names.length, (k) => one.start(names[k - 1] ?? '')) }));
    const turns = { moorline: turn(both.moorline), docker: turn(both.docker) };
    return (await interleave(turns, { ...few, steps: ['start'] })).start;
  };
  const none = await startsIn('none');
  const bridge = await startsIn('bridge');
  const own = await startsIn('own');
  const published = await startsIn('published');

  say(`containers: ${sizes.starts} at once`);
  const atOnce =
    (one: Containers): Turn<'all'> =>
    async () => {
      const many = namesOf(sizes.starts);
      return {
        all: await one.with('own', many, async () => {
          const started = performance.now();
          await Promise.all(many.map(one.start));
          return [performance.now() - started];
        }),
      };
    };
  const { all } = await interleave(
    { moorline: atOnce(both.moorline), docker: atOnce(both.docker) },
    { rounds: Math.ceil(sizes.rounds / 5), warmup: 0, steps: ['all'] },
  );
  const note = `${sizes.inRow} in a row, each timed: from the call to the answer`;
  return [
    { part: 'containers', what: 'start a container without network', unit: 'ms', values: none, note },
    { part: 'containers', what: 'start one on the default network', unit: 'ms', values: bridge, note },
    { part: 'containers', what: 'start one on a network of its own', unit: 'ms', budget: 90, values: own, note },
    { part: 'containers', what: '- with a published port', unit: 'ms', budget: 90, values: published, note },
    {
      part: 'containers',
      what: "- with a published port, over Docker's",
      unit: 'x',
      budget: 0.5,
      values: { moorline: over(published) },
    },
    { part: 'containers', what: `${sizes.starts} starts at once, until the last`, unit: 'ms', values: all },
  ];
};

function over({ moorline, docker }: Row['values']): Summary {
  if (moorline === undefined || docker === undefined) throw new Error('one of both was not timed');
  return summarise([moorline.median / docker.median]);
}

function busyboxTar(): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'moor-start-'));
  try {
    busyboxLayer(join(folder, 'layer.tar'));
    return readFileSync(join(folder, 'layer.tar'));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
