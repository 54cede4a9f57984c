/** Runs one test file in a process of its own, kernel tests in namespaces of their own, with a time limit that holds. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { decodeEvents, type Event } from './events.ts';
import type { TestFile } from './groups.ts';

export interface Failure {
  readonly name: string;
  readonly error: string;
}

export interface FileResult {
  readonly passed: number;
  readonly failures: readonly Failure[];
  readonly skipped: readonly { readonly name: string; readonly reason: string }[];
  /** What the file itself printed; the last OUTPUT_LIMIT bytes. */
  readonly output: string;
  readonly ms: number;
}

const OUTPUT_LIMIT = 64 * 1024;
/** For the rest of the output to arrive, which may be kept open by a process that left the group. */
const OUTPUT_GRACE_MS = 300;
const HERE = import.meta.dirname;

/**
 * @param root of the repository; `file.path` is relative to it
 * @param signal kills the test and everything it started
 */
export async function runFile(root: string, file: TestFile, signal: AbortSignal): Promise<FileResult> {
  mkdirSync(join(root, '.cache'), { recursive: true });
  const folder = mkdtempSync(join(root, '.cache/test-'));
  const report = join(folder, 'events');
  writeFileSync(report, '');
  const started = performance.now();
  try {
    const [command = '', ...args] = commandLine(root, file, report);
    // Descriptor 3 of a kernel test: this process's network namespace, which is the machine's first one as a rule (isolate.sh).
    const outer = file.group === 'kernel' ? [openSync('/proc/self/ns/net', 'r')] : [];
    const stdio = ['ignore' as const, 'pipe' as const, 'pipe' as const, ...outer];
    const child = spawn(command, args, { cwd: root, detached: true, stdio }) as ChildProcessByStdio<null, Readable, Readable>;
    for (const fd of outer) closeSync(fd);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output = (output + text).slice(-OUTPUT_LIMIT);
      });
    }
    const closed = once(child, 'close');
    const limit = AbortSignal.any([signal, AbortSignal.timeout(file.timeoutSeconds * 1000)]);
    const kill = (): void => killGroup(child.pid);
    limit.addEventListener('abort', kill);
    const [code, ended] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
    limit.removeEventListener('abort', kill);
    killGroup(child.pid); // what is left of a unit test; a kernel test's namespace has died with its first process
    await Promise.race([closed, sleep(OUTPUT_GRACE_MS)]);
    child.stdout.destroy();
    child.stderr.destroy();
    const events = existsSync(report) ? decodeEvents(readFileSync(report, 'utf8')) : [];
    const how = limit.aborted
      ? `did not end within ${file.timeoutSeconds} s`
      : ended
        ? `was ended by ${ended}`
        : `exited with ${code}`;
    return { ...judge(events, code === 0 && !limit.aborted ? null : how), output, ms: performance.now() - started };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @param fault how the process ended, if not well */
export function judge(events: readonly Event[], fault: string | null): Pick<FileResult, 'passed' | 'failures' | 'skipped'> {
  const failures: Failure[] = [];
  const skipped: { name: string; reason: string }[] = [];
  let passed = 0;
  for (const event of events) {
    switch (event.type) {
      case 'start':
        break;
      case 'pass':
        passed++;
        break;
      case 'skip':
        skipped.push({ name: event.name, reason: event.reason });
        break;
      case 'fail':
        failures.push({ name: event.name, error: event.error });
        break;
      case 'leak':
        failures.push({ name: 'leaves nothing behind', error: event.what });
        break;
    }
  }
  if (fault !== null && (failures.length === 0 || fault.startsWith('did not end'))) {
    const last = events.findLast((event) => event.type === 'start');
    failures.push({ name: 'the file ends well', error: last ? `${fault}; the last test to start was: ${last.name}` : fault });
  } else if (passed + failures.length + skipped.length === 0) {
    failures.push({ name: 'the file has tests', error: 'no test ran' });
  }
  return { passed, failures, skipped };
}

function commandLine(root: string, file: TestFile, report: string): readonly string[] {
  const test = [
    process.execPath,
    '--disable-warning=ExperimentalWarning',
    `--test-reporter=${resolve(HERE, 'reporter.ts')}`,
    `--test-reporter-destination=${report}`,
    resolve(root, file.path),
  ];
  if (file.group === 'unit') return test;
  const unshare = ['unshare', '--net', '--mount', '--pid', '--fork', '--mount-proc', '--kill-child'];
  return [...unshare, resolve(HERE, 'isolate.sh'), process.execPath, resolve(HERE, 'inside.ts'), report, ...test];
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // the whole group has ended
  }
}
