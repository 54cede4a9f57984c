/**
 * Exit code 0 when node_modules is what package-lock.json says. Plain JavaScript, as it runs before `npm ci` has brought a
 * Node that knows TypeScript. npm keeps its own record of what it installed in node_modules/.package-lock.json.
 */
import { readFileSync } from 'node:fs';

function packages(file) {
  const { '': _root, ...rest } = JSON.parse(readFileSync(new URL(file, import.meta.url), 'utf8')).packages;
  return rest;
}

function isInstalled() {
  try {
    const wanted = packages('../package-lock.json');
    const present = packages('../node_modules/.package-lock.json');
    const names = new Set([...Object.keys(wanted), ...Object.keys(present)]);
    return [...names].every((name) =>
      // Optional packages for other kinds of machine are in the lock file and stay absent.
      name in present ? present[name].version === wanted[name]?.version : wanted[name].optional === true,
    );
  } catch {
    return false;
  }
}

process.exitCode = isInstalled() ? 0 : 1;
