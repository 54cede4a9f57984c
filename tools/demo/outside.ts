/** What a demonstration is on the machine: a process in namespaces of its own, and the proof that nothing else has changed. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { resolve } from 'node:path';
import { traces } from './look.ts';
import { perform, unchanged } from './proof.ts';
import { DemoError, say } from './stage.ts';

const ROOT = resolve(import.meta.dirname, '../..');

/**
 * Runs a show and compares the machine with what it was before. Ctrl-C ends the show early, and clears everything away as well. Exit
 * status: that of the show (0, 130 after Ctrl-C, 1 when a step went otherwise than it should), or 1 if something is left.
 * @param child the show, a file of this folder
 */
export const demonstrate = (name: string, child: string): Promise<void> =>
  perform(name, async () => {
    if (process.getuid?.() !== 0) throw new DemoError('this needs root: it makes network namespaces, links and rules');
    const before = await traces(run);
    // Short: the path of a UNIX socket is at most 107 bytes (unix(7)).
    const folder = mkdtempSync('/tmp/demo-');
    process.on('SIGINT', () => {}); // the terminal tells the show, too, which clears away and ends
    try {
      process.exitCode = await show(child, folder);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
    await unchanged('the machine', before, () => traces(run));
    const processes = processesWith(folder);
    if (existsSync(folder) || processes.length > 0)
      throw new DemoError(`${folder} or its processes are left: ${processes.join(', ')}`);
    say(
      'the machine: the same links, addresses, routes, rules, namespaces, mounts and settings as before; no file and no process is left',
    );
  });

async function show(file: string, folder: string): Promise<number> {
  const child = spawn(
    'setpriv',
    [
      ...['--pdeathsig', 'KILL', 'unshare', '--net', '--mount', '--pid', '--fork', '--mount-proc', '--kill-child'],
      `${ROOT}/tools/testing/isolate.sh`,
      ...[process.execPath, '--disable-warning=ExperimentalWarning', resolve(import.meta.dirname, file)],
    ],
    { stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, MOOR_TEST_FOLDER: folder }, cwd: ROOT },
  );
  process.once('SIGTERM', () => child.kill('SIGKILL')); // and with it all that is in its namespaces
  const [code] = (await once(child, 'exit')) as [number | null];
  return code ?? 1;
}

async function run(command: string, ...args: readonly string[]): Promise<{ readonly stdout: string }> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  await once(child, 'close');
  return { stdout };
}

/** Those that have the folder in their environment, as all have that a show starts; what is in its namespaces has ended with its first process. */
function processesWith(folder: string): readonly string[] {
  return globSync('/proc/[0-9]*/environ').filter((file) => {
    try {
      return !file.startsWith(`/proc/${process.pid}/`) && readFileSync(file, 'latin1').includes(folder);
    } catch {
      return false; // it has ended
    }
  });
}
