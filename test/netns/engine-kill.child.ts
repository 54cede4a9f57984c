/**
 * Random operations, four at a time, until somebody kills this process. Arguments: data root, exec root, seed. Standard output: a line
 * before each operation (`try OP`) and one when it was acknowledged (`ok OP`), written synchronously.
 */
import { writeSync } from 'node:fs';
import { MoorError } from '../../src/base/errors.ts';
import { daemon } from './engine-daemon.ts';

const [dataRoot = '', execRoot = '', seedText = ''] = process.argv.slice(2);
const { engine } = await daemon({ id: 'k', dataRoot, execRoot });

/** mulberry32: small, and the same for the same seed. */
let seed = Number(seedText);
function random(below: number): number {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) % below;
}

const say = (line: string): void => void writeSync(1, `${line}\n`);

async function attempt(words: readonly string[], work: () => Promise<unknown>): Promise<void> {
  const line = words.join(' ');
  say(`try ${line}`);
  try {
    await work();
    say(`ok ${line}`);
  } catch (error) {
    // Random operations are refused now and then; anything but a refusal is a fault.
    if (!(error instanceof MoorError) || error.kind === 'internal' || error.message.includes('not undone')) {
      say(`fault ${line}: ${String(error)}`);
    } else say(`refused ${line}`);
  }
}

/** Each worker has its own sandboxes, so that the parent can tell the order of what happened to one; networks are shared. */
async function worker(n: number): Promise<void> {
  for (;;) {
    const network = `n${random(4)}`;
    const sandbox = `s${n}.${random(3)}`;
    switch (random(8)) {
      case 0:
      case 1:
        await attempt(['+network', network], () => engine.networks.create({ name: network, ipv6: random(2) === 0 }));
        break;
      case 2:
        await attempt(['-network', network], () => engine.networks.remove(network));
        break;
      case 3:
      case 4:
        await attempt(['+sandbox', sandbox, network], () =>
          engine.sandboxes.create({ name: sandbox, networks: [{ network: random(2) === 0 ? network : 'bridge' }] }),
        );
        break;
      case 5:
        await attempt(['-sandbox', sandbox], () => engine.sandboxes.remove(sandbox));
        break;
      case 6:
        await attempt(['connect', network, sandbox], () => engine.networks.connect(network, { sandbox, endpoint: {} }));
        break;
      default:
        await attempt(['disconnect', network, sandbox], () => engine.networks.disconnect(network, sandbox));
    }
  }
}

say('ready');
await Promise.all([0, 1, 2, 3].map(worker));
