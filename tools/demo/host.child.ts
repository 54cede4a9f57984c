/**
 * The show of `make demo`, started by tools/demo.ts as the first process of namespaces of its own: a private daemon, two networks, some
 * sandboxes, a namespace that plays the outside world, and a drawing.
 */
import { once } from 'node:events';
import { resolve } from 'node:path';
import { startDaemon, type TestDaemon } from '../../test/support/daemon.ts';
import { draw } from './drawing.ts';
import { pictureOf, processesOf, traces } from './look.ts';
import { playInside, unchanged } from './proof.ts';
import { createStage, DemoError, heading, say, type Stage } from './stage.ts';

/** RFC 5737: addresses for documentation. The world knows no others. */
const HOST_ADDRESS = '203.0.113.1';
const WORLD_ADDRESS = '203.0.113.2';

async function show(signal: AbortSignal): Promise<void> {
  await using daemon = await startDaemon({ start: false });
  const stage = createStage(daemon, { signal });
  heading('A host of its own, with a cable to the outside world');
  await using world = await connectWorld(daemon, stage);
  const before = await traces(daemon.inside);
  const processes = await processesOf(daemon.inside);

  heading('The daemon');
  stage.background(['moor', 'daemon']);
  await daemon.start();
  await stage.moor(['network', 'ls']);

  heading('Two networks');
  await stage.moor(['network', 'create', '--subnet', '192.168.7.0/24', '--gateway', '192.168.7.1', 'my_net2']);
  await stage.moor(['network', 'create', 'other']);

  heading('Sandboxes: programs of this host, each with a network stack of its own');
  const sleep = ['--', 'sleep', 'infinity'];
  await stage.moor(['run', '-d', '--name', 'one', '--network', 'my_net2', '--ip', '192.168.7.10', ...sleep]);
  await stage.moor(['run', '-d', '--name', 'two', '--network', 'my_net2', ...sleep]);
  await stage.moor(['run', '-d', '--name', 'three', '--network', 'other', ...sleep]);
  const addresses = new Map(
    (await stage.moor(['ls', '--format', '{{.Name}} {{.Address}}']))
      .trim()
      .split('\n')
      .map((line) => line.split(' ', 2) as [string, string]),
  );

  heading('They reach each other and their gateway');
  const ping = (from: string, to: string): readonly string[] => [
    'exec',
    from,
    '--',
    'ping',
    '-c',
    '2',
    '-i',
    '0.2',
    '-W',
    '2',
    to,
  ];
  const answered = { says: / 0% packet loss/, last: 2 } as const;
  await stage.moor(ping('two', '192.168.7.10'), answered);
  await stage.moor(ping('one', addresses.get('two') ?? ''), answered);
  await stage.moor(ping('one', '192.168.7.1'), answered);

  heading('A sandbox on another network does not');
  await stage.moor(ping('three', '192.168.7.10'), { status: 'failure', says: /100% packet loss/, last: 1 });

  heading('They reach the outside world, which sees the address of the host');
  const greeting = { says: new RegExp(`^hello ${HOST_ADDRESS.replaceAll('.', String.raw`\.`)},`, 'm') };
  await stage.moor(['exec', 'one', '--', 'bash', '-c', `cat </dev/tcp/${WORLD_ADDRESS}/80`], greeting);
  await stage.moor(['run', '--network', 'other', '--', 'bash', '-c', `cat </dev/tcp/${WORLD_ADDRESS}/80`], greeting);

  heading('What is there now, as the kernel tells it');
  await drawHost(daemon);
  await stage.host(['nft', 'list', 'table', 'inet', 'moor']);

  heading('What one more sandbox would change');
  await stage.moor(['run', '--dry-run', '--network', 'my_net2', '--', 'true']);

  heading('And all of it away again');
  await stage.moor(['rm', '-f', 'one', 'two', 'three']);
  await stage.moor(['network', 'rm', 'my_net2', 'other']);
  await stage.moor(['reset', '--force']);
  await daemon.stop();
  await unchanged('the private host', before, () => traces(daemon.inside));
  await unchanged('the private host', processes, () => processesOf(daemon.inside));
  say('the private host: no link, address, route, rule, setting, namespace or process is left');
  await world[Symbol.asyncDispose]();
}

/** A namespace with a server, joined to the private host by a veth pair. */
async function connectWorld(daemon: TestDaemon, stage: Stage): Promise<AsyncDisposable> {
  const world = daemon.spawnInside('unshare', '--net', process.execPath, resolve(import.meta.dirname, 'world.ts'));
  const [greeting] = (await once(world.stdout ?? world, 'data')) as [Buffer];
  const pid = /^ready (\d+)/.exec(greeting.toString())?.[1];
  if (pid === undefined) throw new DemoError(`the outside world did not come up: ${greeting.toString()}`);
  const inWorld = ['nsenter', '-t', pid, '-n'];
  await stage.host(['ip', 'link', 'add', 'uplink', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', pid]);
  await stage.host(['ip', 'address', 'add', `${HOST_ADDRESS}/24`, 'dev', 'uplink']);
  await stage.host(['ip', 'link', 'set', 'uplink', 'up']);
  await stage.host([...inWorld, 'ip', 'address', 'add', `${WORLD_ADDRESS}/24`, 'dev', 'eth0']);
  await stage.host([...inWorld, 'ip', 'link', 'set', 'eth0', 'up']);
  await stage.host(['ip', 'route', 'add', 'default', 'via', WORLD_ADDRESS]);
  return {
    [Symbol.asyncDispose]: async () => {
      if (world.exitCode !== null || world.signalCode !== null) return;
      const ended = once(world, 'exit');
      await daemon.inside('kill', pid);
      await ended;
    },
  };
}

async function drawHost(daemon: TestDaemon): Promise<void> {
  const leadsTo = new Map([['uplink', `the outside world: eth0  ${WORLD_ADDRESS}/24`]]);
  for (const line of draw(await pictureOf(daemon, { leadsTo }))) console.log(`  ${line}`);
}

await playInside('demo', show);
