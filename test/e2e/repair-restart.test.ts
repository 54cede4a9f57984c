// test-timeout: 120 s
/** A new daemon touches nothing that is right: whatever way the old one ended, the kernel reports no change of ours. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import type { Sandbox } from '../../src/model/sandbox.ts';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { until } from '../support/snapshot.ts';
import { faults } from '../support/truth.ts';

let daemon: TestDaemon;
let pins: readonly string[];
before(async () => {
  daemon = await startDaemon();
  const make = async (path: string, body: unknown): Promise<unknown> => {
    const answer = await daemon.request('POST', path, body);
    assert.equal(answer.status, 201, answer.text);
    return (answer.json() as { readonly value: unknown }).value;
  };
  for (const [name, more] of Object.entries({ plain: {}, six: { ipv6: true }, inner: { internal: true } })) {
    await make('/moor/networks', { name, ...more });
  }
  const made: Sandbox[] = [];
  for (let i = 0; i < 10; i++) {
    const networks = ['plain', 'six', 'inner', 'bridge'].slice(i % 3, (i % 3) + 2).map((network) => ({ network }));
    made.push((await make('/moor/sandboxes', { name: `s${i}`, networks })) as Sandbox);
  }
  pins = made.flatMap(({ netns }) => (netns.type === 'own' ? [netns.path] : []));
  assert.deepEqual(await faults(daemon), []);
  assert.ok(await until(linksAreQuiet), 'the kernel does not come to an end with link-local addresses');
});
after(() => daemon[Symbol.asyncDispose]());

/** Duplicate address detection of link-local addresses (RFC 4862) takes about two seconds, and shows in the monitors. */
async function linksAreQuiet(): Promise<boolean> {
  const all = await Promise.all(
    ['host', ...pins].map((name) => daemon.inside(...enter(name), 'ip', '-6', 'addr', 'show', 'tentative')),
  );
  return all.every(({ stdout }) => stdout.trim() === '');
}

interface Watcher {
  readonly name: string;
  readonly child: ChildProcess;
  readonly lines: string[];
}

function watch(name: string, ...command: readonly [string, ...string[]]): Watcher {
  const child = daemon.spawnInside('stdbuf', '-oL', ...command);
  const lines: string[] = [];
  for (const input of [child.stdout, child.stderr]) {
    createInterface({ input: input ?? assert.fail() }).on('line', (line) => void (line.trim() !== '' && lines.push(line)));
  }
  return { name, child, lines };
}

/** What the test itself does in each namespace, so that a watcher shows that it listens, and that it has told everything up to then. */
const MARK4 = '198.18.77.7';

async function mark(watchers: readonly Watcher[]): Promise<void> {
  for (const { lines } of watchers) lines.splice(0);
  const touch = async (): Promise<boolean> => {
    const missing = watchers.filter(({ lines }) => !lines.some((line) => line.includes(MARK4) || line.includes('probe')));
    for (const { name } of missing) {
      if (name === 'nft') await daemon.inside('nft', 'add table ip probe; delete table ip probe');
      else await daemon.inside(...enter(name), 'ip', 'route', 'add', 'blackhole', MARK4);
      if (name !== 'nft') await daemon.inside(...enter(name), 'ip', 'route', 'del', 'blackhole', MARK4);
    }
    return missing.length === 0;
  };
  assert.ok(await until(touch), 'a watcher does not tell anything');
}

const enter = (name: string): [string, ...string[]] => (name === 'host' ? ['env'] : ['nsenter', `--net=${name}`]);

/** Of the test itself. */
const NOISE = new RegExp(`${MARK4}|probe|^# new generation \\d+ by process \\d+ \\(nft\\)`);

/**
 * How a daemon learns the number under which the kernel tells of its own transactions: a table that is made and deleted in one, so
 * that nobody ever sees it (src/kernel/watch.ts).
 */
const PROBE =
  /^nft: add table inet moor_watch_\d+\nnft: delete table inet moor_watch_\d+\nnft: # new generation .*\(moor-kernel\)$\n?/m;

for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
  test(`${signal} and a new start: ip monitor and nft monitor see nothing in the host nor in any sandbox`, async () => {
    const watchers = [
      watch('host', 'ip', 'monitor', 'label', 'link', 'address', 'route', 'rule', 'netconf', 'nsid'),
      watch('nft', 'nft', 'monitor'),
      ...pins.map((pin) =>
        watch(pin, 'nsenter', `--net=${pin}`, 'ip', 'monitor', 'label', 'link', 'address', 'route', 'netconf'),
      ),
    ];
    try {
      await mark(watchers);
      const logged = daemon.log().length;
      await daemon.stop(signal);
      await daemon.start();
      // Its first look is through when it answers; what it does in the background is done when this is through.
      const { text } = await daemon.request('POST', '/moor/reconcile');
      assert.deepEqual(JSON.parse(text), { repaired: [] });
      await markAgain(watchers);
      const seen = watchers.flatMap(({ name, lines }) =>
        lines.filter((line) => !NOISE.test(line)).map((line) => `${name}: ${line}`),
      );
      assert.equal(seen.join('\n').replace(PROBE, ''), '');
      assert.doesNotMatch(daemon.log().slice(logged), /restored|set up|swept|ERROR/);
      assert.deepEqual(await faults(daemon), []);
    } finally {
      for (const { child } of watchers) child.kill('SIGKILL');
    }
  });
}

/** A second mark, after which everything before it has been told. */
async function markAgain(watchers: readonly Watcher[]): Promise<void> {
  const kept = watchers.map(({ lines }) => lines.filter((line) => !NOISE.test(line)));
  await mark(watchers);
  for (const [i, { lines }] of watchers.entries()) lines.unshift(...(kept[i] ?? []));
}
