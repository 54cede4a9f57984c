/**
 * Containers created, started, stopped and removed, three at a time, until somebody kills this process. Arguments: data root, exec
 * root, seed. Standard output: a line per step that was acknowledged (`ok`) or refused with something else than a refusal (`fault`).
 */
import { writeSync } from 'node:fs';
import { MoorError } from '../../src/base/errors.ts';
import { spec } from '../containers/setup.ts';
import { createRandom } from '../support/random.ts';
import { service } from './containers-lab.ts';

const [dataRoot = '', execRoot = '', seed = ''] = process.argv.slice(2);
const { containers } = await service({ id: 'kc', dataRoot, execRoot });
const { below, chance } = createRandom(Number(seed));
const say = (line: string): void => void writeSync(1, `${line}\n`);

async function attempt(what: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
    say(`ok ${what}`);
  } catch (error) {
    if (!(error instanceof MoorError) || error.kind === 'internal') say(`fault ${what}: ${String(error)}`);
  }
}

async function worker(n: number): Promise<void> {
  for (;;) {
    const name = `c${n}.${below(2)}`;
    switch (below(6)) {
      case 0:
      case 1:
        await attempt(`create ${name}`, () =>
          containers.create(
            spec({ name, config: { Cmd: ['sleep', '100000'] }, host: { Binds: [`v${n}:/data`], AutoRemove: chance(0.2) } }),
          ),
        );
        break;
      case 2:
      case 3:
        await attempt(`start ${name}`, () => containers.start(name));
        break;
      case 4:
        await attempt(`stop ${name}`, () => containers.stop(name, { timeout: 0 }));
        break;
      default:
        await attempt(`remove ${name}`, () => containers.remove(name, { force: true, volumes: true }));
    }
  }
}

say('ready');
await Promise.all([0, 1, 2].map(worker));
