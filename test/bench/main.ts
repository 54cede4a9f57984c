/**
 * `npm run bench`: Moorline beside Docker Engine, the CNI bridge plugin and netavark, in one run. Everything runs in namespaces of its
 * own (network, mount, PID): the machine's links, rules and daemons are not touched. Numbers are for reading; the exit code
 * only says whether the run went through.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync, mkdtempSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { cpus, loadavg, release } from 'node:os';
import packageJson from '../../package.json' with { type: 'json' };
import { type BenchOptions, HELP, parseOptions } from './options.ts';
import { checkPeers, peerVersions, ROOT } from './peers.ts';
import { render } from './report.ts';
import type { Report, Row } from './result.ts';

async function measure(options: BenchOptions, directory: string): Promise<readonly Row[]> {
  const cgroup = `/${directory.split('/').at(-1) ?? 'bench'}`;
  const child = spawn(
    'setpriv',
    [
      ...['--pdeathsig', 'KILL', 'unshare', '--net', '--mount', '--pid', '--fork', '--mount-proc', '--kill-child'],
      `${ROOT}/tools/testing/isolate.sh`,
      ...[process.execPath, '--disable-warning=ExperimentalWarning', `${ROOT}/test/bench/inside.child.ts`],
      ...[JSON.stringify(options), directory, cgroup],
    ],
    { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] },
  );
  try {
    const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
    if (code !== 0) throw new Error(`the measuring process ended with ${String(code ?? signal)}`);
    return JSON.parse(readFileSync(`${directory}/rows.json`, 'utf8')) as Row[];
  } finally {
    removeCgroups(cgroup);
  }
}

/** Groups of containers whose processes ended with the PID namespace stay behind as empty folders. */
function removeCgroups(name: string): void {
  const folders = globSync([`/sys/fs/cgroup${name}`, `/sys/fs/cgroup/*${name}`]).flatMap((top) => [
    top,
    ...globSync(`${top}/**/`),
  ]);
  for (const folder of folders.toSorted((a, b) => b.length - a.length)) {
    try {
      rmdirSync(folder);
    } catch {
      // a process in it is still ending: nothing of ours runs in it, and the next boot forgets it
    }
  }
}

async function main(args: readonly string[]): Promise<void> {
  const options = parseOptions(args);
  if (options === null) {
    console.log(HELP);
    return;
  }
  if (process.geteuid?.() !== 0) throw new Error('Cannot measure: root is needed to make network namespaces');
  checkPeers();
  execFileSync(process.execPath, [`${ROOT}/tools/bundle.ts`], { cwd: ROOT, stdio: ['ignore', 'ignore', 'inherit'] });
  // In /tmp, as test/support/daemon.ts has moord's: every daemon waits for the same file system when it commits.
  const directory = mkdtempSync('/tmp/moor-bench-');
  const interrupted = (): void => {
    rmSync(directory, { recursive: true, force: true });
    process.exit(130);
  };
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
  try {
    const started = performance.now();
    const before = loadavg()[0] ?? 0;
    const date = new Date().toISOString().slice(0, 10);
    const rows = await measure(options, directory);
    const report: Report = {
      environment: {
        date,
        cpu: `${cpus().length} x ${cpus()[0]?.model ?? 'unknown CPU'}`,
        kernel: release(),
        fileSystem: execFileSync('findmnt', ['-n', '-o', 'FSTYPE', '-T', directory], { encoding: 'utf8' }).trim(),
        versions: { Moorline: packageJson.version, Node: process.versions.node, ...peerVersions() },
        commit: commit(),
        load: [before, loadavg()[0] ?? 0],
        seconds: (performance.now() - started) / 1000,
        quick: options.quick,
      },
      rows,
    };
    process.stdout.write(options.json ? `${JSON.stringify(report, null, 2)}\n` : render(report));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function commit(): string {
  const git = (...args: readonly string[]): string =>
    execFileSync('git', ['-C', ROOT, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  try {
    return `${git('rev-parse', '--short', 'HEAD')}${git('status', '--porcelain', 'src') === '' ? '' : ' and changes'}`;
  } catch {
    return 'unknown'; // an archive, no checkout
  }
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  console.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
