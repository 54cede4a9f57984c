/**
 * What a test file left behind. Runs inside the namespaces of that one file (tools/testing/isolate.sh), so that everything
 * found there is its doing, whatever else happens on the machine.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Kind of thing -> the things, each in words. */
export type Snapshot = Readonly<Record<string, readonly string[]>>;

/** Folders where Moorline's daemons keep files unless told otherwise, and the place for temporary files. */
const FOLDERS = ['/run', '/run/netns', '/run/tmp', '/var/lib', '/etc'];

export function takeSnapshot(): Snapshot {
  return { link: links(), 'nftables table': nftTables(), mount: mounts(), process: processes(), file: files() };
}

/** What is in `after` and not in `before`, and the reverse, in words. */
export function compare(before: Snapshot, after: Snapshot): readonly string[] {
  return Object.keys(before).flatMap((kind) => [
    ...added(before[kind], after[kind]).map((what) => `left a ${kind}: ${what}`),
    ...added(after[kind], before[kind]).map((what) => `took away a ${kind}: ${what}`),
  ]);
}

/**
 * The difference once it has settled. The kernel removes a namespace and the links in it some time after its last user has
 * gone, and a process that was told to end needs a moment.
 */
export async function settledDifference(before: Snapshot, patienceMs: number): Promise<readonly string[]> {
  for (let left = patienceMs; ; left -= STEP_MS) {
    const difference = compare(before, takeSnapshot());
    if (difference.length === 0 || left <= 0) return difference;
    await sleep(STEP_MS);
  }
}

const STEP_MS = 50;

function added(before: readonly string[] = [], after: readonly string[] = []): readonly string[] {
  return after.filter((item) => !before.includes(item));
}

function links(): readonly string[] {
  const list = JSON.parse(execFileSync('ip', ['-j', 'link'], { encoding: 'utf8' })) as readonly { readonly ifname: string }[];
  return list.map(({ ifname }) => ifname);
}

function nftTables(): readonly string[] {
  return execFileSync('nft', ['list', 'tables'], { encoding: 'utf8' }).split('\n').filter(Boolean);
}

/** Mount points; the fifth field, proc_pid_mountinfo(5). */
function mounts(): readonly string[] {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n').filter(Boolean);
  return lines.map((line) => line.split(' ')[4] ?? line);
}

/** All but the first process, this one and its parents: `1234 node dist/moord.mjs`. */
function processes(): readonly string[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 1 && pid !== process.pid && pid !== process.ppid)
    .flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
        return [`${pid} ${command || readFileSync(`/proc/${pid}/comm`, 'utf8').trim()}`];
      } catch {
        return []; // ended meanwhile
      }
    });
}

function files(): readonly string[] {
  return FOLDERS.filter((folder) => existsSync(folder)).flatMap((folder) => {
    const names = readdirSync(folder);
    // Elsewhere than in the file's own /run, other programs of the machine come and go.
    return names.filter((name) => folder.startsWith('/run') || name.startsWith('moor')).map((name) => `${folder}/${name}`);
  });
}
