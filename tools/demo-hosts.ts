/**
 * `make demo-hosts`: three hosts on one segment, an etcd, and containers that reach each other by each backend. All of it is in namespaces
 * of its own (demo/hosts.child.ts is the first process there); this proves that the machine is as before. Needs root.
 *
 * Exit status 1 when a step went otherwise than it should, 130 after Ctrl-C, which clears everything away as well.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { resolve } from 'node:path';
import { run } from '../test/support/daemon.ts';
import { NO_ETCD } from '../test/support/etcd.ts';
import { traces } from './demo/look.ts';
import { compare, perform } from './demo/proof.ts';
import { DemoError, say } from './demo/stage.ts';

const HERE = import.meta.dirname;

async function main(): Promise<void> {
  if (process.getuid?.() !== 0) throw new DemoError('this needs root: it makes network namespaces, links and rules');
  if (NO_ETCD) throw new DemoError(NO_ETCD);
  const onMachine = (command: string, ...args: readonly string[]) => run(command, args);
  const before = await traces(onMachine);
  // Short: the path of a UNIX socket is at most 107 bytes (unix(7)).
  const folder = mkdtempSync('/tmp/demo-');
  process.on('SIGINT', () => {}); // the terminal tells the child, too, which clears away and ends
  try {
    process.exitCode = await play(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  compare('the machine', before, await traces(onMachine));
  const processes = processesWith(folder);
  if (existsSync(folder) || processes.length > 0)
    throw new DemoError(`${folder} or its processes are left: ${processes.join(', ')}`);
  say(
    'the machine: the same links, addresses, routes, rules, namespaces, mounts and settings as before; no file and no process is left',
  );
}

/** @returns its exit status; what went wrong it has said */
async function play(folder: string): Promise<number> {
  const child = spawn(
    'setpriv',
    [
      ...['--pdeathsig', 'KILL', 'unshare', '--net', '--mount', '--pid', '--fork', '--mount-proc', '--kill-child'],
      resolve(HERE, 'testing/isolate.sh'),
      ...[process.execPath, '--disable-warning=ExperimentalWarning', resolve(HERE, 'demo/hosts.child.ts')],
    ],
    { stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, MOOR_TEST_FOLDER: folder }, cwd: resolve(HERE, '..') },
  );
  process.once('SIGTERM', () => child.kill('SIGKILL')); // and with it all that is in its namespaces
  const [code] = (await once(child, 'exit')) as [number | null];
  return code ?? 1;
}

/** Those that were started with the folder in their environment, in whatever namespace they are: all that the demonstration starts is. */
function processesWith(folder: string): readonly string[] {
  return globSync('/proc/[0-9]*/environ').filter((file) => {
    try {
      return !file.startsWith(`/proc/${process.pid}/`) && readFileSync(file, 'latin1').includes(folder);
    } catch {
      return false; // it has ended
    }
  });
}

await perform('demo-hosts', main);
