/**
 * Runs the tests, prints a line for each file and ends with `N passed, N failed, N skipped`.
 *
 * Usage: node tools/test.ts unit|kernel|all [WORD...]
 *
 * With words, only files with one of them in their path run. Exit code 1 when a test failed or none ran.
 */
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { findTests, type TestFile } from './testing/groups.ts';
import { type FileResult, runFile } from './testing/run-file.ts';

const ROOT = resolve(import.meta.dirname, '..');

/** Files of a group that run at the same time. */
const PARALLEL_UNIT = 2;

/**
 * Kinds of kernel tests that run beside the others: the first spend their time waiting for leases to end, the second for servers to come back. Of
 * each kind one runs at a time, as long as there are all: kernel tests compete for the kernel's global locks and would make each other slow.
 */
const BESIDE = [/^test\/conformance\/(cluster|store)/, /^test\/hosts\//] as const;

/** In CI only, on machines that other work shares: a kernel test that fails once and then passes is named, and does not stop a landing. */
const SECOND_TRY = process.env['CI'] === 'true';

const stop = new AbortController();
/** Files that were run a second time. */
const unsteady: string[] = [];
const totals = { passed: 0, failed: 0, skipped: 0 };

async function main(group: string | undefined, words: readonly string[]): Promise<void> {
  if (group !== 'unit' && group !== 'kernel' && group !== 'all') throw new Error('Usage: test.ts unit|kernel|all [WORD...]');
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort());
  const chosen = findTests(ROOT).filter(({ path }) => words.length === 0 || words.some((word) => path.includes(word)));
  if (group !== 'kernel')
    await runGroup(
      chosen.filter((file) => file.group === 'unit'),
      PARALLEL_UNIT,
    );
  if (group !== 'unit') {
    const files = chosen.filter((file) => file.group === 'kernel');
    if (files.length > 0 && process.getuid?.() !== 0) {
      console.log(`FAIL  ${files.length} kernel test files need root: they make network namespaces`);
      totals.failed += files.length;
    } else if (files.length > 0) {
      bundle();
      const others = files.filter(({ path }) => !BESIDE.some((kind) => kind.test(path)));
      await runLanes([others, ...BESIDE.map((kind) => files.filter(({ path }) => kind.test(path)))]);
    }
  }
  const { passed, failed, skipped } = totals;
  for (const path of unsteady) console.log(`unsteady: ${path} failed at its first try`);
  if (stop.signal.aborted) console.log('interrupted');
  else if (passed + failed === 0) console.log('no test ran');
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  if (failed > 0 || passed === 0 || stop.signal.aborted) process.exitCode = 1;
}

/** Some kernel tests start bin/moord and bin/moor: these have to be of today. */
function bundle(): void {
  const { status } = spawnSync(process.execPath, [resolve(ROOT, 'tools/bundle.ts')], { stdio: 'inherit' });
  if (status === 0) return;
  console.log('FAIL  tools/bundle.ts: what runs bin/moord or bin/moor now runs an old one, or none');
  totals.failed++;
}

async function runGroup(files: readonly TestFile[], parallel: number): Promise<void> {
  const queue = [...files];
  await Promise.all(Array.from({ length: parallel }, () => runQueue(queue)));
}

/** Whoever is done with one kind helps with the next. */
async function runLanes(kinds: readonly (readonly TestFile[])[]): Promise<void> {
  const queues = kinds.map((files) => [...files]);
  const lane = async (first: number): Promise<void> => {
    for (const queue of [...queues.slice(first), ...queues.slice(0, first)]) await runQueue(queue);
  };
  await Promise.all(queues.map((_queue, index) => lane(index)));
}

/** Takes files off it until there are none. */
async function runQueue(queue: TestFile[]): Promise<void> {
  for (let file = queue.shift(); file !== undefined && !stop.signal.aborted; file = queue.shift()) {
    const result = await runFile(ROOT, file, stop.signal);
    if (result.failures.length > 0 && file.group === 'kernel' && SECOND_TRY && !stop.signal.aborted) {
      show('AGAIN', file, result);
      unsteady.push(file.path);
      count(file, await runFile(ROOT, file, stop.signal));
    } else {
      count(file, result);
    }
  }
}

function count(file: TestFile, result: FileResult): void {
  totals.passed += result.passed;
  totals.failed += result.failures.length;
  totals.skipped += result.skipped.length;
  show(result.failures.length > 0 ? 'FAIL' : 'ok', file, result);
}

function show(verdict: string, { path }: TestFile, { passed, failures, skipped, output, ms }: FileResult): void {
  console.log(`${verdict.padEnd(5)} ${path}  ${passed} passed  ${(ms / 1000).toFixed(1)} s`);
  for (const { name, reason } of skipped) console.log(`      skipped: ${name}${reason && ` (${reason})`}`);
  for (const { name, error } of failures) console.log(`      failed: ${name}\n${indent(error)}`);
  if (failures.length > 0 && output.trim() !== '') console.log(`      output:\n${indent(output.trimEnd())}`);
}

function indent(text: string): string {
  return text.replaceAll(/^/gm, '        ');
}

const [group, ...words] = process.argv.slice(2);
await main(group, words);
