/** `kill -9` in the middle of random operations, again and again: what was acknowledged is there, and nothing else is. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import type { Engine } from '../../src/contracts/engine.ts';
import { daemon } from './engine-daemon.ts';
import { at, HERE } from './packets.ts';

/** MOOR_KILLS=50 for the long run. */
const KILLS = Number(process.env['MOOR_KILLS'] ?? 6);
/** A child is killed after this many lines of its report, and a part more. */
const LINES = 60;

/** Runs the child until it is killed. @returns its report. */
async function killed(roots: readonly string[], round: number): Promise<string[]> {
  const child = spawn(process.execPath, [`${import.meta.dirname}/engine-kill.child.ts`, ...roots, String(round)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exit = once(child, 'exit');
  const lines: string[] = [];
  // Another moment in the life of an operation each time.
  const end = LINES + ((round * 37) % 50);
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line);
    if (lines.length === end) setTimeout(() => child.kill('SIGKILL'), (round * 7) % 23);
  }
  await exit;
  return lines;
}

/** Objects whose last word was an acknowledgement, by whether they exist; what was under way at the end, or raced, is left out. */
function acknowledged(lines: readonly string[], before: ReadonlyMap<string, boolean>): Map<string, boolean> {
  const known = new Map(before);
  const open = new Map<string, number>();
  for (const line of lines) {
    const [verb = '', op = '', name = ''] = line.split(' ');
    if (op !== '+network' && op !== '-network' && op !== '+sandbox' && op !== '-sandbox') continue;
    open.set(name, (open.get(name) ?? 0) + (verb === 'try' ? 1 : -1));
    if (verb === 'ok') known.set(name, op.startsWith('+'));
  }
  for (const [name, count] of open) if (count > 0) known.delete(name);
  return known;
}

/** Every piece of kernel state with our mark belongs to somebody. */
async function assertNoOrphans(engine: Engine, execRoot: string): Promise<void> {
  const owners = new Set<string>();
  const pins = new Set<string>();
  for (const { id } of engine.networks.list()) owners.add(id);
  for (const { endpoints, netns } of engine.sandboxes.list()) {
    for (const { id } of endpoints) owners.add(id);
    if (netns.type !== 'host') pins.add(netns.path);
  }
  const links = JSON.parse(await at(HERE, 'ip', '-j', 'link')) as { readonly ifname: string; readonly ifalias?: string }[];
  const marked = links.filter(({ ifalias }) => ifalias?.startsWith('moor:k:') === true);
  assert.deepEqual(
    marked.filter(({ ifalias }) => !owners.has(ifalias?.split(':')[2] ?? '')),
    [],
  );
  assert.equal(marked.length, owners.size - 2, 'every network but host and none, and every endpoint, has its link');
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').match(new RegExp(`${execRoot}/netns/[0-9a-f]+`, 'g')) ?? [];
  assert.deepEqual(new Set(mounts), pins);
}

test(`killed ${KILLS} times in the middle of random operations`, async () => {
  const root = mkdtempSync(`${tmpdir()}/moor-kill-`);
  const [dataRoot, execRoot] = [`${root}/data`, `${root}/exec`];
  const instance = { id: 'k', dataRoot, execRoot };
  mkdirSync(dataRoot);
  mkdirSync(execRoot);
  try {
    let known = new Map<string, boolean>();
    for (let round = 0; round < KILLS; round++) {
      const lines = await killed([dataRoot, execRoot], round);
      assert.ok(lines.includes('ready') && lines.some((line) => line.startsWith('ok')), 'the child worked');
      assert.deepEqual(
        lines.filter((line) => line.startsWith('fault')),
        [],
      );
      known = acknowledged(lines, known);
      await using next = await daemon(instance);
      const names = new Set([...next.engine.networks.list(), ...next.engine.sandboxes.list()].map(({ name }) => name));
      for (const [name, exists] of known)
        assert.equal(names.has(name), exists, `${name} after kill ${round}\n${lines.join('\n')}`);
      assert.deepEqual(await next.engine.reconcile(), [], 'converged at once');
      await assertNoOrphans(next.engine, execRoot);
      known = new Map([...known.keys()].map((name) => [name, names.has(name)]));
    }
  } finally {
    {
      await using last = await daemon(instance);
      await last.engine.reset();
    }
    assert.deepEqual((await at(HERE, 'ip', '-br', 'link')).trim().split('\n').length, 1);
    assert.equal(await at(HERE, 'nft', 'list', 'ruleset'), '');
    rmSync(root, { recursive: true });
  }
});
