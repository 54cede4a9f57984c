/** The k-th endpoint of one network: what it costs to attach it when k - 1 are there. */
import type { Attacher } from '../contestant.ts';
import type { Contestant, Row, Summary } from '../result.ts';
import { contestants, inRow, interleave, type Turn } from '../rounds.ts';
import { startMoorline } from '../moorline.ts';
import { BIG, type Part } from '../world.ts';

/** Times in a row that the k-th endpoint comes and goes. */
const IN_ROW = 3;

type Steps = 'attach' | 'detach';

/** Beside the four: a fresh daemon of ours with nothing on its network, so that first and last are timed in the same minute. */
type Who = Contestant | 'first';

export const scale: Part = async ({ sizes, attachers, crowded, fill, say }) => {
  const all: Readonly<Record<Contestant, Attacher>> = { ...(await attachers()), moorline: await crowded() };
  await using fresh = await startMoorline('nothing');
  await fresh.network(BIG);
  await fresh.stacks(1);
  const rows: Row[] = [];
  for (const k of sizes.points) {
    const turns: Partial<Record<Who, Turn<Steps>>> = { first: turn(fresh, 1) };
    for (const who of Object.keys(all) as Contestant[]) {
      if (who !== 'moorline' && k > sizes.peerLimit) continue;
      say(`scale: ${k} endpoints of ${who}`);
      await fill(who, k);
      await all[who].disconnect(BIG, k);
      turns[who] = turn(all[who], k);
    }
    const { attach, detach } = await interleave<Steps, Who>(turns, { ...sizes, steps: ['attach', 'detach'] });
    for (const who of Object.keys(turns) as Who[]) if (who !== 'first') await all[who].connect(BIG, k);
    rows.push(
      { part: 'scale', what: `attach endpoint ${k} of a network`, unit: 'ms', values: contestants(attach) },
      { part: 'scale', what: `detach endpoint ${k}`, unit: 'ms', values: contestants(detach) },
    );
    if (k === 1) continue;
    rows.push(over(`attach: endpoint ${k} over the first`, attach, k === sizes.points.at(-1) ? 1.5 : undefined));
    rows.push(over(`detach: endpoint ${k} over the first`, detach, undefined));
  }
  return rows;
};

const turn =
  (attacher: Attacher, k: number): Turn<Steps> =>
  async () => {
    const detach: number[] = [];
    const attach = await inRow(IN_ROW, async () => {
      const ms = await attacher.connect(BIG, k);
      detach.push(await attacher.disconnect(BIG, k));
      return ms;
    });
    return { attach, detach };
  };

function over(what: string, values: Readonly<Partial<Record<Who, Summary>>>, budget: number | undefined): Row {
  const { first, moorline } = values;
  if (first === undefined || moorline === undefined) throw new Error('ours was not timed');
  const times = moorline.median / first.median;
  return {
    part: 'scale',
    what,
    unit: 'x',
    values: { moorline: { samples: 1, median: times, min: times, max: times } },
    ...(budget === undefined ? {} : { budget }),
  };
}
