/** Three private hosts on one segment with an etcd, as the acts of `make demo-hosts` find them. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Host } from '../../test/hosts/lab.ts';
import type { TestDaemon } from '../../test/support/daemon.ts';
import { createStage, DemoError, Interrupted, type Stage } from './stage.ts';

export interface Player {
  readonly name: string;
  readonly daemon: TestDaemon;
  readonly stage: Stage;
  /** Name of the sandbox that it has in each act. */
  readonly sandbox: string;
}

export interface Scene {
  readonly players: readonly [Player, Player, Player];
  readonly signal: AbortSignal;
}

const SANDBOXES = ['one', 'two', 'three'] as const;

const CLUSTER = ['--cluster-store', 'etcd://10.9.0.254:2379/moorline', '--cluster-advertise', 'eth1'] as const;

/** Starts its daemon, and shows how one would. */
export async function startPlayer({ name, daemon, stage }: Player): Promise<void> {
  stage.background(['moor', 'daemon', '--node-name', name, ...CLUSTER]);
  await daemon.start(...CLUSTER);
}

export function sceneOf(hosts: readonly Host[], signal: AbortSignal): Scene {
  const player = (i: 0 | 1 | 2): Player => {
    const host = hosts[i];
    if (host === undefined) throw new DemoError(`there is no host ${i + 1}`);
    const name = `h${host.n}`;
    return { name, daemon: host.daemon, stage: createStage(host.daemon, { host: name, signal }), sandbox: SANDBOXES[i] };
  };
  return { players: [player(0), player(1), player(2)], signal };
}

/** Waits for what is told by way of others. @throws DemoError after `seconds` */
export async function settled(
  what: string,
  condition: () => Promise<boolean>,
  { signal, seconds = 30 }: { readonly signal: AbortSignal; readonly seconds?: number },
): Promise<void> {
  const end = performance.now() + seconds * 1000;
  while (!(await condition())) {
    if (signal.aborted) throw new Interrupted();
    if (performance.now() > end) throw new DemoError(`it did not happen within ${seconds} s: ${what}`);
    await sleep(50);
  }
}

/** Address of its sandbox, as its host says. */
export async function addressOf({ daemon, sandbox }: Player): Promise<string> {
  const { code, stdout, stderr } = await daemon.moor('ls', '--format', '{{.Name}} {{.Address}}');
  const [, address] =
    stdout
      .split('\n')
      .map((line) => line.split(' ', 2))
      .find(([name]) => name === sandbox) ?? [];
  if (code !== 0 || address === undefined) throw new DemoError(`${sandbox} is not there: ${stdout}${stderr}`);
  // Behind the first there is that of the way out, on an overlay network.
  return address.replace(/,.*/, '');
}
