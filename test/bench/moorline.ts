/** Moorline as a contestant: `bin/moord` from the bundle, in namespaces of its own. */
import { mkdtempSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { type Attacher, dockerApi, type Publisher, stackName } from './contestant.ts';
import { Client } from './http.ts';
import { inBatches, numbers } from './rounds.ts';

export interface Moorline extends Attacher, Publisher, AsyncDisposable {
  readonly client: Client;
  readonly daemon: TestDaemon;
}

/** How many sandboxes are made at a time when nobody looks at the clock. */
const WIDTH = 8;

/** @param home what a new sandbox is attached to: the default network, as Docker's containers are, or nothing */
export async function startMoorline(home: 'default-network' | 'nothing'): Promise<Moorline> {
  await using stack = new AsyncDisposableStack();
  // On the run's /run, a tmpfs: where both daemons keep such files by default. Data is on disk, in the daemon's folder.
  const daemon = stack.use(await startDaemon({ args: ['--exec-root', mkdtempSync('/run/moor-')] }));
  const client = stack.use(new Client(daemon.socket));
  let made = 0;
  const stacks = async (n: number): Promise<void> => {
    const missing = numbers(made + 1, n);
    made = Math.max(made, n);
    const networks = home === 'nothing' ? { networks: [] } : {};
    await inBatches(missing, WIDTH, (k) => client.call('POST', '/moor/sandboxes', { name: stackName(k), ...networks }));
  };
  const enter = async (name: string): Promise<readonly string[]> => {
    const { netns } = (await client.call('GET', `/moor/sandboxes/${name}/enter`)).json() as { netns: string };
    // Twice: the pin is a mount that only the daemon's mount namespace has.
    return ['nsenter', '-t', String(daemon.holder), '--mount', '--', 'nsenter', `--net=${netns}`, '--'];
  };
  const publish: Publisher['publish'] = async (name, { ports, network }) => {
    const networks = network === undefined ? {} : { networks: [{ network }] };
    const made = (await client.call('POST', '/moor/sandboxes', { name, ports, ...networks })).json() as {
      readonly value: { readonly endpoints: readonly { readonly ipv4: string }[] };
    };
    return { enter: await enter(name), address: made.value.endpoints[0]?.ipv4.split('/')[0] ?? '' };
  };
  const owned = stack.move();
  return {
    ...dockerApi(client),
    client,
    daemon,
    holder: daemon.holder,
    publish,
    stacks,
    enter: (k) => enter(stackName(k)),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Reads a stream to its end. */
export async function readAll(stream: Readable): Promise<string> {
  let text = '';
  for await (const chunk of stream.setEncoding('utf8')) text += String(chunk);
  return text;
}
