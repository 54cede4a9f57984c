/** A process with a resolver that serves a sandbox, and ends in a way that its test names. */
import { silentLogger } from '../../src/base/clock.ts';
import { createResolver } from '../../src/dns/resolver.ts';
import { clientOf } from './dns-lab.ts';

const [place = '', how] = process.argv.slice(2);
const names = await createResolver({ logger: silentLogger });
await names.serve([clientOf(place)]);

switch (how) {
  case 'exit':
    process.exit(7);
    break;
  case 'throw':
    throw new Error('nobody catches this');
  case 'dispose':
    await names[Symbol.asyncDispose]();
    process.exitCode = 8;
    break;
  default:
    throw new Error(`unknown way to end: ${how}`);
}
