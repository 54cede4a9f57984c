/**
 * Everything that can be said about the code without running it: format, lint, types, unused code, layers. Runs all of them,
 * prints what failed, and ends with one line.
 *
 * Usage: node tools/check.ts
 */
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';

const CHECKS = ['format', 'lint', 'types', 'unused', 'layers'];

const failed: string[] = [];
for (const name of CHECKS) {
  const started = performance.now();
  const { status, stdout, stderr } = spawnSync('npm', ['run', '--silent', `check:${name}`], {
    cwd: resolve(import.meta.dirname, '..'),
    encoding: 'utf8',
  });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`${status === 0 ? 'ok  ' : 'FAIL'}  check:${name}  ${seconds} s`);
  // What passes may still have warnings to show.
  if (status !== 0 || name === 'lint') console.log(`${stdout}${stderr}`.trimEnd());
  if (status !== 0) failed.push(name);
}
console.log(failed.length === 0 ? 'check: all well' : `check: ${failed.join(', ')} failed`);
if (failed.length > 0) process.exitCode = 1;
