/** A process with a kernel thread that watches and works, and then an error that nobody catches: `fatal.child.ts idle|busy MILLISECONDS`. */
import { silentLogger } from '../base/clock.ts';
import { type Change, HOST } from '../contracts/change.ts';
import { createKernel } from './kernel.ts';

const kernel = await createKernel({
  instance: { id: 'test', dataRoot: '/run/moor-test/data', execRoot: '/run/moor-test' },
  tableName: 'moortest',
  logger: silentLogger,
});
await kernel.watch(() => {});
const link = { name: 'tb0', up: true, kind: { type: 'bridge' } } as const;
const change = (op: 'add' | 'remove'): Change => ({ kind: 'link', op, netns: HOST, link });
await kernel.apply([change('add')]);
if (process.argv[2] === 'busy') void kernel.apply([change('remove')]);
else await kernel.apply([change('remove')]);
setTimeout(() => {
  throw new Error('out of luck');
}, Number(process.argv[3]));
