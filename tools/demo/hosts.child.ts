/**
 * The show of `make demo-hosts`, started by tools/demo-hosts.ts as the first process of namespaces of its own: its network namespace is the
 * segment that joins the hosts. Exit status 130 after Ctrl-C.
 */
import { resolve } from 'node:path';
import { createHosts, outer, startStore } from '../../test/hosts/lab.ts';
import { NO_ETCD } from '../../test/support/etcd.ts';
import { ACTS, play } from './acts.ts';
import { processesOf, traces } from './look.ts';
import { playInside, unchanged } from './proof.ts';
import { type Scene, sceneOf, settled, startPlayer } from './scene.ts';
import { DemoError, heading, say } from './stage.ts';
import { table, type Throughput } from './throughput.ts';

const ROOT = resolve(import.meta.dirname, '../..');

// What the sandboxes run is typed as `node`, and that is this one.
process.env['PATH'] = `${ROOT}/node_modules/.bin:${process.env['PATH']}`;

async function show(signal: AbortSignal): Promise<void> {
  if (NO_ETCD) throw new DemoError(NO_ETCD);
  await using world = await createHosts(3, () => []);
  await using store = await startStore();
  const scene = sceneOf(world.hosts, signal);
  heading('Three hosts on one segment, and an etcd');
  say(
    `a namespace each: ${world.hosts.map(({ n }) => `h${n} has ${outer(n)}`).join(', ')}; etcd is at 10.9.0.254, port ${store.port}`,
  );
  const before = await Promise.all(scene.players.map(look));

  heading('A daemon on each');
  for (const player of scene.players) await startPlayer(player);
  await known(scene);

  const measured: Throughput[] = [];
  for (const act of ACTS) measured.push(await play(act, scene));

  heading('How much passes by which way, in this run, on this machine');
  for (const line of table(measured)) console.log(`  ${line}`);

  heading('All of it away');
  for (const { stage, daemon } of scene.players) {
    await stage.moor(['reset', '--force']);
    await daemon.stop();
  }
  for (const [i, player] of scene.players.entries()) await unchanged(player.name, before[i] ?? '', () => look(player));
  say('the three hosts: no link, address, route, rule, setting, namespace or process is left');
}

const look = async ({ daemon }: Scene['players'][number]): Promise<string> =>
  `${await traces(daemon.inside)}\n${await processesOf(daemon.inside)}`;

/** Until each knows the others. */
async function known({ players, signal }: Scene): Promise<void> {
  for (const { name, daemon } of players) {
    const all = async (): Promise<boolean> =>
      (await daemon.moor('node', 'ls', '--format', '{{.Name}}')).stdout === 'h1\nh2\nh3\n';
    await settled(`${name} knows the others`, all, { signal });
  }
  await players[0].stage.moor(['node', 'ls']);
}

await playInside('demo-hosts', show);
