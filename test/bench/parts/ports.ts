/** Published ports: what one costs when there is one, and when there are ten thousand. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { residentMegabytes } from '../processes.ts';
import { type Row, type Summary, summarise } from '../result.ts';
import { inRow, interleave, type Turn } from '../rounds.ts';
import { type Moorline, startMoorline } from '../moorline.ts';
import type { Part } from '../world.ts';

/** Ports of a sandbox, one element each: the numbers of host and sandbox differ. A process may have 20,000 files on this machine. */
const EACH = 1000;
const SANDBOXES = 10;
const FIRST = 20_000;
/** The one that comes and goes. */
const EXTRA = ['19999:80'];
const SERVER = 'served';
/** Milliseconds in which connections are counted, and clients that make them. */
const COUNTED = 2000;
const CLIENTS = 4;

const path = (sandbox: string): string => `/moor/sandboxes/${sandbox}/ports`;

/** Two daemons of ours take turns, so that the machine is the same for both: one with a port, one with ten thousand. */
type Who = 'few' | 'many';

export const ports: Part = async ({ sizes, say }) => {
  await using few = await startServed();
  await using many = await startServed();
  const count = SANDBOXES * EACH;
  say(`ports: ${count} published`);
  const resident = residentMegabytes([many.daemon.pid()]);
  const slab = slabKilobytes();
  const bulk: number[] = [];
  for (let k = 0; k < SANDBOXES; k++) {
    await many.client.call('POST', '/moor/sandboxes', { name: `many${k}` });
    const from = FIRST + k * EACH;
    const wanted = [`${from}-${from + EACH - 1}:1000-${1000 + EACH - 1}`];
    bulk.push((await many.client.call('POST', path(`many${k}`), { ports: wanted })).ms);
  }
  // At once: others on the machine come and go.
  const kernel = (slabKilobytes() - slab) / count;
  await sleep(sizes.restMs);
  const own = ((residentMegabytes([many.daemon.pid()]) - resident) * 1024) / count;
  say('ports: one comes and goes');
  const turn = (daemon: Moorline) => (): ReturnType<Turn<Steps>> => comeAndGo(daemon, sizes.inRow);
  const times = await interleave<Steps, Who>({ few: turn(few), many: turn(many) }, { ...sizes, steps: ['publish', 'unpublish'] });
  say('ports: connections');
  const rates: Record<Who, number[]> = { few: [], many: [] };
  for (let round = 0; round < sizes.rounds; round++) {
    rates.few.push(await connections(few.daemon));
    rates.many.push(await connections(many.daemon));
  }
  const range = await inRow(sizes.inRow, async () => {
    const { ms } = await many.client.call('POST', path(SERVER), { ports: ['40000-40999:40000-40999'] });
    await many.client.call('DELETE', `${path(SERVER)}?ports=40000-40999`);
    return ms;
  });
  const rate = summarise(rates.many).median / summarise(rates.few).median;
  const rules = { few: await ruleCount(few.daemon), many: await ruleCount(many.daemon) };
  return [
    row(['publish a port, the second', 'ms'], times.publish.few),
    row([`publish a port, beside ${count}`, 'ms'], times.publish.many),
    row(['unpublish it, beside one', 'ms'], times.unpublish.few),
    row([`unpublish it, beside ${count}`, 'ms'], times.unpublish.many),
    row([`publish ${EACH} ports that are ${EACH} elements`, 'ms'], summarise(bulk)),
    row([`publish a range of ${EACH} ports that is one element`, 'ms'], summarise(range)),
    row(['rules of the table, with one port', 'rules'], summarise([rules.few])),
    row([`rules of the table, with ${count}`, 'rules'], summarise([rules.many]), { budget: rules.few }),
    row([`new connections, ${count} ports over one`, 'x'], summarise([rate]), {
      budget: 0.95,
      rate: true,
      note: `${CLIENTS} clients at once for ${COUNTED} ms, to the host's own address; medians of ${sizes.rounds} turns`,
    }),
    row(['memory of a port: the daemon', 'kB'], summarise([own])),
    row(['memory of a port: the kernel', 'kB'], summarise([kernel]), {
      note: 'slabs of the whole machine: the socket that holds it, and its element',
    }),
  ];
};

const row = ([what, unit]: readonly [string, Row['unit']], value: Summary | undefined, more: Partial<Row> = {}): Row => ({
  part: 'ports',
  what,
  unit,
  values: value === undefined ? {} : { moorline: value },
  ...more,
});

/** A daemon with a server behind one published port. */
async function startServed(): Promise<Moorline> {
  const moorline = await startMoorline('default-network');
  const serve = `require('net').createServer((s)=>s.on('error',()=>{}).end()).listen(80,'0.0.0.0',4096)`;
  await moorline.daemon.moor('run', '-d', '--name', SERVER, '-p', '19998:80', '--', process.execPath, '-e', serve);
  return moorline;
}

type Steps = 'publish' | 'unpublish';

async function comeAndGo({ client }: Moorline, times: number): ReturnType<Turn<Steps>> {
  const unpublish: number[] = [];
  const publish = await inRow(times, async () => {
    const { ms } = await client.call('POST', path(SERVER), { ports: EXTRA });
    unpublish.push((await client.call('DELETE', `${path(SERVER)}?ports=${EXTRA.join()}`)).ms);
    return ms;
  });
  return { publish, unpublish };
}

async function ruleCount(daemon: Moorline['daemon']): Promise<number> {
  const { stdout } = await daemon.inside('nft', '-j', '-t', 'list', 'table', 'inet', 'moor');
  const { nftables } = JSON.parse(stdout) as { readonly nftables: readonly object[] };
  return nftables.filter((entry) => 'rule' in entry).length;
}

/** TCP connections a second that are made, answered with an end, and ended. */
async function connections(daemon: Moorline['daemon']): Promise<number> {
  const script = `
    const net=require('net'); let n=0; const end=Date.now()+${COUNTED};
    const one=()=>{ if(Date.now()>end) return; const s=net.connect(19998,'172.17.0.1'); s.resume();
      s.on('error',()=>{}); s.on('close',(bad)=>{ if(!bad) n++; one(); }); };
    for(let i=0;i<${CLIENTS};i++) one();
    setTimeout(()=>{ console.log(n/${COUNTED / 1000}); process.exit(); }, ${COUNTED + 200});`;
  const child = daemon.spawnInside(process.execPath, '-e', script);
  let text = '';
  child.stdout?.setEncoding('utf8').on('data', (part: string) => (text += part));
  await once(child, 'close');
  const rate = Number(text);
  if (!(rate > 0)) throw new Error(`no connection was made: ${text}`);
  return rate;
}

/** Kernel memory in slabs, of the whole machine; kB. proc_meminfo(5) */
const slabKilobytes = (): number => Number(/^Slab:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1]);
