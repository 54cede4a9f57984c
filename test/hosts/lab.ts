/**
 * Hosts of a cluster: a private daemon each, in a network namespace of its own, on one segment (a bridge in this process's namespace). The
 * store is Debian's etcd, where the daemons reach it by way of the segment.
 */
import assert from 'node:assert/strict';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { run, startDaemon, type TestDaemon } from '../support/daemon.ts';
import { type EtcdServer, startEtcd } from '../support/etcd.ts';

export const STORE_IP = '10.9.0.254';
const STORE_PORT = 2379;
export const outer = (n: number): string => `10.9.0.${n}`;

export interface Host {
  readonly n: number;
  readonly daemon: TestDaemon;
}

export interface World extends AsyncDisposable {
  readonly hosts: readonly Host[];
}

async function here(...command: readonly [string, ...string[]]): Promise<void> {
  const [file, ...args] = command;
  const { code, stderr } = await run(file, args);
  assert.equal(code, 0, `${command.join(' ')}: ${stderr}`);
}

/** etcd, on the segment as well. */
export const startStore = (): Promise<EtcdServer> =>
  startEtcd(STORE_PORT, { flags: ['--listen-client-urls', `http://127.0.0.1:${STORE_PORT},http://${STORE_IP}:${STORE_PORT}`] });

export const STORE_FLAGS = ['--cluster-store', `etcd://${STORE_IP}:${STORE_PORT}/test`, '--cluster-advertise', 'eth1'] as const;

/** Hosts whose daemons do not run yet. */
export async function createHosts(count: number, args: (n: number) => readonly string[]): Promise<World> {
  await using stack = new AsyncDisposableStack();
  await here('ip', 'link', 'set', 'lo', 'up');
  await here('ip', 'link', 'add', 'lan0', 'type', 'bridge');
  stack.defer(() => here('ip', 'link', 'del', 'lan0'));
  await here('ip', 'address', 'add', `${STORE_IP}/24`, 'dev', 'lan0');
  await here('ip', 'link', 'set', 'lan0', 'up');
  const hosts: Host[] = [];
  for (let n = 1; n <= count; n++) {
    const daemon = stack.use(await startDaemon({ start: false, args: ['--node-name', `h${n}`, ...args(n)] }));
    const peer = ['peer', 'name', 'eth1', 'netns', String(daemon.holder)];
    await here('ip', 'link', 'add', `h${n}`, 'master', 'lan0', 'up', 'type', 'veth', ...peer);
    // A namespace dies some time after its last process, and its end of the pair with it: the next world would find the name taken.
    stack.defer(async () => void (await run('ip', ['link', 'del', `h${n}`])));
    for (const words of [
      ['address', 'add', `${outer(n)}/24`, 'dev', 'eth1'],
      ['link', 'set', 'eth1', 'up'],
      ['route', 'add', 'default', 'via', STORE_IP],
    ]) {
      const { code, stderr } = await daemon.inside('ip', ...words);
      assert.equal(code, 0, stderr);
    }
    hosts.push({ n, daemon });
  }
  const owned = stack.move();
  return { hosts, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Waits for something that is told by way of others. @param what for the error @param within milliseconds */
export async function until(what: string, condition: () => Promise<boolean>, within = 30_000): Promise<void> {
  const end = Date.now() + within;
  while (!(await condition())) {
    assert.ok(Date.now() < end, `it did not happen: ${what}`);
    await sleep(50);
  }
}

/** A routed network with 10.244.0.0/16. */
export async function createNetwork({ daemon }: Host, name: string, backend: string): Promise<void> {
  const answer = await daemon.request('POST', '/networks/create', {
    Name: name,
    Driver: 'routed',
    Options: { backend },
    IPAM: { Config: [{ Subnet: '10.244.0.0/16' }] },
  });
  assert.equal(answer.status, 201, answer.text);
}

/** An overlay network; the cluster chooses its subnet. */
export async function createOverlay({ daemon }: Host, name: string, more: object = {}): Promise<void> {
  const answer = await daemon.request('POST', '/networks/create', { Name: name, Driver: 'overlay', ...more });
  assert.equal(answer.status, 201, answer.text);
}

export interface Sandbox {
  readonly name: string;
  readonly netns: string;
  readonly address: string;
}

/** A sandbox that is a namespace and nothing else. */
export async function sandboxOn({ daemon, n }: Host, network: string, name = `s${n}`): Promise<Sandbox> {
  const answer = await daemon.request('POST', '/moor/sandboxes', { name, networks: [{ network }] });
  assert.equal(answer.status, 201, answer.text);
  const { value } = answer.json() as {
    value: { netns: { path: string }; endpoints: readonly { ipv4: string }[] };
  };
  return { name, netns: value.netns.path, address: value.endpoints[0]?.ipv4.replace(/\/.*/, '') ?? '' };
}

/** Whether one packet comes back. */
export async function reaches({ daemon }: Host, from: Sandbox, to: Sandbox): Promise<boolean> {
  const { code } = await daemon.inside('nsenter', `--net=${from.netns}`, 'ping', '-n', '-c', '1', '-W', '1', to.address);
  return code === 0;
}

/** All pairs. */
export async function allReach(hosts: readonly Host[], sandboxes: readonly Sandbox[]): Promise<void> {
  for (const [i, host] of hosts.entries()) {
    for (const to of sandboxes) {
      const from = sandboxes[i];
      if (from === undefined || to === from) continue;
      await until(`${from.name} reaches ${to.name}`, () => reaches(host, from, to));
    }
  }
}

export interface Pinging {
  /** @returns how many packets went out since it began, and how many of them stayed away */
  readonly finish: () => Promise<{ readonly sent: number; readonly lost: number }>;
}

/** 100 packets a second, beginning with the first answer. */
export async function pinging({ daemon }: Host, from: Sandbox, to: Sandbox): Promise<Pinging> {
  const child = daemon.spawnInside('nsenter', `--net=${from.netns}`, 'ping', '-n', '-i', '0.01', to.address);
  const answered = new Set<number>();
  assert.ok(child.stdout);
  createInterface({ input: child.stdout }).on('line', (line) => {
    const sequence = /icmp_seq=(\d+) ttl=/.exec(line)?.[1];
    if (sequence !== undefined) answered.add(Number(sequence));
  });
  const oneMore = async (): Promise<number> => {
    const before = answered.size;
    await until('a ping is answered', async () => answered.size > before);
    return Math.max(...answered);
  };
  const first = await oneMore();
  return {
    finish: async () => {
      await sleep(100);
      const last = await oneMore();
      child.kill('SIGKILL');
      let lost = 0;
      for (let sequence = first; sequence <= last; sequence++) if (!answered.has(sequence)) lost++;
      return { sent: last - first + 1, lost };
    },
  };
}
