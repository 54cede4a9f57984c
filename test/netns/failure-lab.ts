/**
 * An engine on the real kernel and the real store with something between it and the kernel that can spoil a plan, and the means to
 * tell whether everything is as before.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { isDeepStrictEqual } from 'node:util';
import type { Change } from '../../src/contracts/change.ts';
import type { Engine } from '../../src/contracts/engine.ts';
import type { Kernel } from '../../src/contracts/kernel.ts';
import type { Instance } from '../../src/model/instance.ts';
import { usage } from '../engine/setup.ts';
import { settled, snapshot, until } from '../support/snapshot.ts';
import { daemon } from './engine-daemon.ts';

/** A namespace that somebody else made, with a link of his in it. */
export const FOREIGN = '/run/netns/failure-foreign';

/** What happens to the next plan: it sees the plan before the kernel does, and may put something in its way or change it. */
export type Meddler = (changes: readonly Change[]) => readonly Change[];

export type State = Readonly<Record<string, unknown>>;

export interface FailureLab extends AsyncDisposable {
  readonly engine: Engine;
  /** Parent of the data root `data` and the exec root `exec`. */
  readonly root: string;
  /** Meddles with the next plan that is not an undo or a repair; null: not any more. */
  readonly meddle: (meddler: Meddler | null) => void;
  /** Whether a meddler still waits for its plan. */
  readonly waiting: () => boolean;
  /** All there is to compare, when nothing changes by itself any more. */
  readonly everything: () => Promise<State>;
  /** Waits a moment, for the kernel takes a namespace apart some time after its last user has gone. */
  readonly assertAsBefore: (wanted: State, what: string) => Promise<void>;
  /** Rows of the journal. */
  readonly journal: () => Promise<readonly string[]>;
}

export const ip = (...args: readonly string[]): string => execFileSync('ip', args, { encoding: 'utf8' });

export interface LabOptions {
  /** The data root gets a file system of its own, so small, as mount(8) takes it for a tmpfs: `512k`. */
  readonly dataSize?: string;
}

/** Networks `net`, `dual` (with IPv6, no traffic among endpoints) and `inner`; sandbox `web` on `net`, and `port` on all. */
export async function startFailureLab({ dataSize }: LabOptions = {}): Promise<FailureLab> {
  await using stack = new AsyncDisposableStack();
  const root = mkdtempSync(`${tmpdir()}/moor-fail-`);
  stack.defer(() => rmSync(root, { recursive: true }));
  const instance: Instance = { id: 'f', dataRoot: `${root}/data`, execRoot: `${root}/exec` };
  mkdirSync(instance.dataRoot);
  mkdirSync(instance.execRoot);
  if (dataSize !== undefined) {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${dataSize}`, 'tmpfs', instance.dataRoot]);
    stack.defer(() => void execFileSync('umount', [instance.dataRoot]));
  }
  ip('netns', 'add', 'failure-foreign');
  stack.defer(() => void ip('netns', 'del', 'failure-foreign'));
  ip('-n', 'failure-foreign', 'link', 'add', 'his0', 'type', 'bridge');

  let meddler: Meddler | null = null;
  const between = (kernel: Kernel): Kernel => ({
    ...kernel,
    apply: (changes, options) => {
      const now = meddler;
      // Undoing and repairing keep going: they are let through.
      if (now === null || options?.keepGoing === true) return kernel.apply(changes, options);
      meddler = null;
      return kernel.apply(now(changes), options);
    },
  });
  const bench = stack.use(await daemon(instance, between));
  const { engine, store, ipam } = bench;
  stack.defer(async () => void (await engine.reset()));
  await engine.networks.create({ name: 'net', pools: [{ subnet: '10.1.0.0/24' }] });
  const options = { 'com.docker.network.bridge.enable_icc': 'false' };
  await engine.networks.create({ name: 'dual', ipv6: true, options });
  await engine.networks.create({ name: 'inner', internal: true });
  await engine.sandboxes.create({ name: 'web', networks: [{ network: 'net' }] });
  // A port on every bridge: one without carrier changes its state by itself a second later.
  await engine.sandboxes.create({ name: 'port', networks: ['net', 'dual', 'inner', 'bridge'].map((network) => ({ network })) });

  const pins = (): readonly string[] => [
    FOREIGN,
    ...engine.sandboxes.list().flatMap(({ netns }) => (netns.type === 'host' ? [] : [netns.path])),
  ];
  const rows = async (prefix: string): Promise<readonly string[]> =>
    (await store.list(prefix)).entries.map(({ key, value }) => `${key} ${value}`);
  const look = async (): Promise<State> => {
    const all = await rows('');
    return {
      ...(await snapshot({ pins: pins(), folders: [root] })),
      rows: all.filter((row) => !row.startsWith('journal/') && !row.startsWith('turn/')),
      pools: usage(ipam),
      networks: engine.networks.list(),
      sandboxes: engine.sandboxes.list(),
    };
  };
  const owned = stack.move();
  return {
    engine,
    root,
    meddle: (next) => void (meddler = next),
    waiting: () => meddler !== null,
    everything: async () => {
      assert.ok(await settled(pins()));
      return look();
    },
    assertAsBefore: async (wanted, what) => {
      const same = async (): Promise<boolean> => isDeepStrictEqual(await look(), wanted);
      if (!(await until(same, PATIENCE_MS))) assert.deepEqual(await look(), wanted, what);
    },
    journal: () => rows('journal/'),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** milliseconds */
const PATIENCE_MS = 5000;
