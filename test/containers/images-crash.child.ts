/** Loads and removes images over and over, until it is killed. Arguments: data root, then archives. Prints each id that a load acknowledged. */
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { silentLogger, systemClock } from '../../src/base/clock.ts';
import { openSqliteStore } from '../../src/store/sqlite/store.ts';
import { createImages } from '../../src/containers/images/images.ts';

const [dataRoot = '', ...archives] = process.argv.slice(2);
const store = await openSqliteStore({ file: join(dataRoot, 'store.db') });
const images = await createImages({ dataRoot, store, clock: systemClock, logger: silentLogger });
const signal = new AbortController().signal;
for (;;) {
  for (const archive of archives) {
    const [name = ''] = await images.load(createReadStream(archive), { progress: () => {}, signal });
    process.stdout.write(`+${name}\n`);
  }
  for (const image of images.list()) {
    process.stdout.write(`-${image.tags[0]}\n`);
    await images.remove(image.id, { force: true, noPrune: false, inUse: () => null });
  }
}
