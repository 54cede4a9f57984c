/** Create and remove a bridge network through the API, one at a time and many. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '../http.ts';
import { startMoorline } from '../moorline.ts';
import { flushRules } from '../rules-back.ts';
import { type Row, type Summary, summarise } from '../result.ts';
import { inRow, interleave, numbers, type Turn } from '../rounds.ts';
import type { Part } from '../world.ts';

/** Docker's default pools hold 31 networks, and its default network has the first. */
const DOCKER_NETWORKS = 30;
const LISTS = 5;
/** Fewer than make the daemon take it for a fight, and wait. */
const FLUSHES = 3;
/** Milliseconds between two of them. */
const REST_MS = 500;

const spec = (name: string): object => ({ Name: name, Driver: 'bridge' });

type Steps = 'create' | 'firstCreate' | 'remove' | 'firstRemove';

export const networks: Part = async ({ sizes, moorline, docker }) => {
  const turn =
    (client: Client): Turn<Steps> =>
    async () => {
      const create = await inRow(sizes.inRow, async (k) => (await client.call('POST', '/networks/create', spec(`row${k}`))).ms);
      const remove = await inRow(sizes.inRow, async (k) => (await client.call('DELETE', `/networks/row${k}`)).ms);
      return { create, firstCreate: create.slice(0, 1), remove, firstRemove: remove.slice(0, 1) };
    };
  const turns = { moorline: turn((await moorline()).client), docker: turn((await docker()).client) };
  const { create, firstCreate, remove, firstRemove } = await interleave<Steps, keyof typeof turns>(turns, {
    ...sizes,
    warmup: sizes.settled,
    steps: ['create', 'firstCreate', 'remove', 'firstRemove'],
  });
  const note = `${sizes.inRow} in a row, each timed`;
  return [
    { part: 'networks', what: 'create a bridge network', unit: 'ms', budget: 3, values: create, note },
    { part: 'networks', what: '- the first after a pause', unit: 'ms', values: firstCreate },
    { part: 'networks', what: 'remove it', unit: 'ms', budget: 20, values: remove, note },
    { part: 'networks', what: '- the first of them', unit: 'ms', values: firstRemove },
  ];
};

interface Many {
  readonly create: readonly number[];
  readonly list: readonly number[];
  readonly remove: readonly number[];
}

/** In a daemon of its own, so that the other parts do not measure among a thousand networks. */
export const manyNetworks: Part = async ({ sizes, docker, say }) => {
  await using own = await startMoorline('nothing');
  say(`${sizes.networks} networks`);
  const back: number[] = [];
  const ours = await many(own.client, sizes.networks, async () => {
    for (const _ of numbers(1, FLUSHES)) {
      const { gone, back: returned } = await flushRules(own.holder, sizes.networks);
      back.push(returned - gone);
      await sleep(REST_MS);
    }
  });
  const theirs = await many((await docker()).client, DOCKER_NETWORKS);
  const row = (what: string, step: keyof Many): Row => ({
    part: 'many-networks',
    what,
    unit: 'ms',
    values: { moorline: summarise(ours[step]), docker: summarise(theirs[step]) },
    note: `Docker with ${DOCKER_NETWORKS}, all that its default pools give`,
  });
  const few = Math.ceil(sizes.networks / 10);
  return [
    row(`create one of ${sizes.networks} networks`, 'create'),
    {
      part: 'many-networks',
      what: 'create: the last tenth of them over the first',
      unit: 'x',
      values: { moorline: growth(ours.create, few), docker: growth(theirs.create, DOCKER_NETWORKS / 10) },
    },
    row(`list ${sizes.networks} networks`, 'list'),
    row(`remove one of ${sizes.networks} networks`, 'remove'),
    {
      part: 'many-networks',
      what: `rules back after \`nft flush ruleset\`, ${sizes.networks} networks`,
      unit: 'ms',
      budget: 100,
      values: { moorline: summarise(back) },
      note: 'by the notifications of the kernel',
    },
  ];
};

/** @param between what to do while all of them are there */
async function many(client: Client, count: number, between: () => Promise<void> = async () => {}): Promise<Many> {
  const times: { create: number[]; list: number[]; remove: number[] } = { create: [], list: [], remove: [] };
  for (const k of numbers(1, count)) times.create.push((await client.call('POST', '/networks/create', spec(`many${k}`))).ms);
  for (const _ of numbers(1, LISTS)) {
    const { ms, json } = await client.call('GET', '/networks');
    const listed = (json() as readonly { readonly Name: string }[]).filter(({ Name }) => Name.startsWith('many')).length;
    if (listed !== count) throw new Error(`${listed} of ${count} networks are listed`);
    times.list.push(ms);
  }
  await between();
  for (const k of numbers(1, count)) times.remove.push((await client.call('DELETE', `/networks/many${k}`)).ms);
  return times;
}

function growth(times: readonly number[], few: number): Summary {
  return summarise([summarise(times.slice(-few)).median / summarise(times.slice(0, few)).median]);
}
