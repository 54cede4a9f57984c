/**
 * The network state of this process's namespace and of others behind pins, as `ip -j`, `bridge -j`, `nft -j` and sysctl tell it,
 * without what changes by itself: timers, counters, learned neighbours, the order of elements.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from './daemon.ts';

/** One command a line; each prints one JSON document, or text, or nothing. */
const COMMANDS = [
  'ip -j -d addr',
  'ip -j route show table all',
  'ip -j -6 route show table all',
  'ip -j rule',
  'ip -j -6 rule',
  'ip -j neigh show nud permanent',
  'bridge -j -d link',
  'nft -j list ruleset',
  String.raw`sysctl -a -r '^net\.ipv[46]\.(conf\..*|ip_forward)$' | grep -v stable_secret`,
];
const SCRIPT = COMMANDS.map((command) => `${command} 2>/dev/null; echo; echo ----`).join('\n');

/** Keys of JSON objects that time or traffic changes, and the kernel's own progress with link-local addresses (RFC 4862). */
const VOLATILE = new Set([
  ...['gc_timer', 'hello_timer', 'tcn_timer', 'topology_change_timer', 'hold_timer', 'message_age_timer', 'forward_delay_timer'],
  ...['packets', 'bytes', 'tentative', 'expires', 'handle'],
]);

/** @param pin a namespace file; null: this process's own namespace */
async function stack(pin: string | null): Promise<readonly unknown[]> {
  const [command, ...args] = [...(pin === null ? [] : ['nsenter', `--net=${pin}`]), 'sh', '-c', SCRIPT];
  const { stdout } = await run(command ?? '', args);
  return stdout.split('----\n').map((text) => tidy(parse(text.trim())));
}

const parse = (text: string): unknown => (/^[[{]/.test(text) ? (JSON.parse(text) as unknown) : text.split('\n').toSorted());

function tidy(value: unknown): unknown {
  if (Array.isArray(value)) {
    const all = value.map(tidy);
    return all.every((one) => typeof one === 'string' || Array.isArray(one)) ? all.toSorted(byText) : all;
  }
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => !VOLATILE.has(key))
      .map(([key, one]) => [key, tidy(one)]),
  );
}

const byText = (a: unknown, b: unknown): number => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);

/** Each folder, each file with its contents, each mount point with the inode of what is mounted; databases by name only. */
function files(root: string): readonly string[] {
  const { dev } = statSync(root);
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .map((name) => `${root}/${name}`)
    .map((path) => {
      const file = statSync(path);
      if (file.dev !== dev) return `${path}: inode ${file.ino}`;
      return file.isFile() && !/state\.db/.test(path) ? `${path}: ${readFileSync(path, 'utf8')}` : path;
    })
    .toSorted();
}

export interface Places {
  readonly pins: readonly string[];
  readonly folders: readonly string[];
}

/** Everything, as plain data for `deepEqual`. */
export async function snapshot({ pins, folders }: Places): Promise<Readonly<Record<string, unknown>>> {
  const stacks = await Promise.all([null, ...pins].map(async (pin) => [pin ?? 'here', await stack(pin)] as const));
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ').slice(3, 6).join(' '));
  return { ...Object.fromEntries(stacks), mounts, files: folders.flatMap(files) };
}

/** Milliseconds for what the kernel finishes by itself: duplicate address detection takes about two seconds. */
const PATIENCE_MS = 15_000;
const STEP_MS = 20;

/** Calls `look` until it says yes. @returns whether it did in time */
export async function until(look: () => Promise<boolean> | boolean, patienceMs = PATIENCE_MS): Promise<boolean> {
  const deadline = performance.now() + patienceMs;
  while (!(await look())) {
    if (performance.now() > deadline) return false;
    await sleep(STEP_MS);
  }
  return true;
}

/** Waits until the kernel has finished with the link-local addresses of these places: after that nothing changes by itself. */
export const settled = (pins: readonly string[]): Promise<boolean> =>
  until(async () => {
    const all = await Promise.all(
      [[], ...pins.map((pin) => ['nsenter', `--net=${pin}`])].map((enter) => {
        const [command, ...args] = [...enter, 'ip', '-6', 'addr', 'show', 'tentative'];
        return run(command ?? '', args);
      }),
    );
    return all.every(({ stdout }) => stdout.trim() === '');
  });
