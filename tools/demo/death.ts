/** A host falls silent, the others find out, and it comes back. */
import { run } from '../../test/support/daemon.ts';
import { addressOf, type Scene, settled, startPlayer } from './scene.ts';
import { DemoError, heading, say } from './stage.ts';

/** Of a host that says nothing (src/cluster/store-cluster.ts). */
const LEASE_SECONDS = 30;

/** @param routes command line that shows a host's routes into the network */
export async function fallAndReturn({ players, signal }: Scene, routes: string): Promise<void> {
  const [h1, h2, h3] = players;
  const before = await addressOf(h3);
  const [subnet] = before.split(/\d+$/);
  const knows = async (): Promise<boolean> =>
    (await h1.daemon.inside(...(routes.split(' ') as [string]))).stdout.includes(`${subnet}0/24`);

  heading(`${h3.name} dies: its daemon is killed, and its cable is cut`);
  await h3.daemon.stop('SIGKILL');
  await cable(h3.name, 'down');
  say(`the others find out when its lease of ${LEASE_SECONDS} s has run out; meanwhile they reach each other`);
  const ping = ['exec', h1.sandbox, '--', 'ping', '-n', '-q', '-i', '0.2', '-w', '25', await addressOf(h2)];
  await h1.stage.moor(ping, { says: / 0% packet loss/, only: /packet loss/ });
  await settled(`${h3.name} is gone`, async () => !(await knows()), { signal, seconds: LEASE_SECONDS });
  await h1.stage.moor(['node', 'ls']);
  await h1.stage.host(routes.split(' '));

  heading(`${h3.name} comes back, with the subnet that it had`);
  await cable(h3.name, 'up');
  await startPlayer(h3);
  await settled(`${h3.name} is back`, knows, { signal });
  await h1.stage.moor(['node', 'ls']);
  await h1.stage.moor(['exec', h1.sandbox, '--', 'ping', '-n', '-c', '1', '-W', '2', before], { only: /bytes from/ });
}

/** The far end of a host's cable is here, and has its name (test/hosts/lab.ts). */
async function cable(host: string, state: 'up' | 'down'): Promise<void> {
  const { code, stderr } = await run('ip', ['link', 'set', host, state]);
  if (code !== 0) throw new DemoError(stderr);
}
