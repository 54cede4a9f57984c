// test-timeout: 120 s
/** Connections that were let pass, when somebody else's firewall comes that knows nothing but our mark; and chains of an earlier version. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import type { Sandbox } from '../../src/model/sandbox.ts';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { until } from '../support/snapshot.ts';

/** Generous: a busy machine must not fail the test. */
const PATIENCE_MS = 20_000;

/** Names of namespaces are files below /run. */
const WORLD = `mount -t tmpfs tmpfs /run; mkdir /run/netns
ip netns add world
ip link add uplink type veth peer name eth0 netns world
ip address add 203.0.113.1/24 dev uplink
ip -n world address add 203.0.113.2/24 dev eth0
ip link set uplink up
ip -n world link set eth0 up
ip route add default via 203.0.113.2`;

/** As the remedy of `moor ports` says; what is established is not let pass by itself. */
const FIREWALL = `table inet firewall {
  chain forward {
    type filter hook forward priority filter; policy drop;
    meta mark & 0x00001000 == 0x00001000 accept
  }
}`;

const ECHO = `require('node:net').createServer((s) => s.on('error', () => {}).pipe(s)).listen(7000, () => console.log('up'));`;
const TALK = `const s = require('node:net').connect(7000, '203.0.113.2', () => console.log('up'));
s.on('data', (d) => process.stdout.write(d)).on('error', (e) => console.log(e.code)); process.stdin.pipe(s);`;

async function sh(daemon: TestDaemon, script: string): Promise<string> {
  const { code, stdout, stderr } = await daemon.inside('sh', '-e', '-c', script);
  assert.equal(code, 0, `${script}\n${stderr}`);
  return stdout;
}

class Talk implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #heard: string[] = [];

  constructor(child: ChildProcess) {
    this.#child = child;
    createInterface({ input: child.stdout ?? assert.fail('no pipe') }).on('line', (line) => this.#heard.push(line));
  }

  async hears(line: string): Promise<void> {
    assert.ok(await until(() => this.#heard.includes(line), PATIENCE_MS), `heard ${this.#heard.join(', ')}, not ${line}`);
  }

  async answers(line: string): Promise<void> {
    this.#child.stdin?.write(`${line}\n`);
    await this.hears(line);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.kill('SIGKILL')) await once(this.#child, 'exit');
  }
}

async function box(daemon: TestDaemon): Promise<string> {
  const made = await daemon.request('POST', '/moor/sandboxes', { name: 'box', networks: [{ network: 'bridge' }] });
  assert.equal(made.status, 201, made.text);
  const { netns } = (made.json() as { readonly value: Sandbox }).value;
  return netns.type === 'own' ? netns.path : assert.fail('not its own namespace');
}

const first = (daemon: TestDaemon): Promise<string> => sh(daemon, 'nft list chain inet moor forward | sed -n 4p');

test('a connection outlives the coming and going of a firewall that asks for the mark, with the daemon and without', async () => {
  await using daemon = await startDaemon({ start: false });
  await sh(daemon, WORLD);
  await daemon.start();
  const pin = await box(daemon);
  const run = (...words: readonly string[]): Talk => new Talk(daemon.spawnInside(...(words as [string])));
  await using server = run('ip', 'netns', 'exec', 'world', process.execPath, '-e', ECHO);
  await server.hears('up');
  await using client = run('nsenter', `--net=${pin}`, process.execPath, '-e', TALK);
  await client.hears('up');
  for (const line of ['one', 'two']) await client.answers(line);
  assert.match(await sh(daemon, 'conntrack -L -p tcp --orig-port-dst 7000'), / mark=4096 /);
  assert.match(await first(daemon), /oifgroup != \d+ accept comment "connections that were let pass, and nobody asks more"/);

  await sh(daemon, `nft '${FIREWALL}'`);
  await client.answers('with a firewall');
  assert.match(await first(daemon), /meta mark set meta mark \| 0x00001000 accept comment "connections that were let pass"/);
  // Nobody has broken anything.
  const follows =
    / INFO +table inet moor in the host follows the host: forwarded packets pass chain forward of table inet firewall \(policy drop\) /;
  assert.ok(await until(() => follows.test(daemon.log()), PATIENCE_MS), daemon.log());
  assert.doesNotMatch(daemon.log(), / restored /);

  await daemon.stop('SIGKILL');
  await client.answers('without a daemon');
  await sh(daemon, 'nft delete table inet firewall');
  await client.answers('without either');
  await sh(daemon, `nft '${FIREWALL}'`);
  await client.answers('without a daemon, with another firewall');
  await daemon.start();
  await client.answers('with both');
  await sh(daemon, 'nft delete table inet firewall');
  await client.answers('after the firewall');
  assert.ok(await until(async () => (await first(daemon)).includes('nobody asks more'), PATIENCE_MS), await first(daemon));
  await client.answers('as before');
  assert.ok(
    await until(() => daemon.log().includes('the host: nobody else looks at forwarded packets'), PATIENCE_MS),
    daemon.log(),
  );
});

test('chains of an earlier version go, at a start and while the daemon runs', async () => {
  await using daemon = await startDaemon();
  const old = `nft '
    add chain inet moor wire { type filter hook prerouting priority raw; }
    add chain inet moor lost
    add rule inet moor lost drop
    add rule inet moor wire ip daddr 127.0.0.0/8 iifname != "lo" goto lost'`;
  const chains = async (): Promise<readonly string[]> =>
    [...(await sh(daemon, 'nft list table inet moor')).matchAll(/\tchain (\S+) /g)].map(([, name = '']) => name);
  const as = await chains();
  assert.ok(as.length >= 20);
  const same = async (): Promise<boolean> => (await chains()).join() === as.join();
  await daemon.stop('SIGKILL');
  await sh(daemon, old);
  assert.equal((await chains()).length, as.length + 2);
  await daemon.start();
  assert.ok(await until(same, PATIENCE_MS), (await chains()).join());
  await sh(daemon, old);
  assert.ok(await until(same, PATIENCE_MS), (await chains()).join());
  assert.match(daemon.log(), /restored table inet moor in the host: chain wire does not belong to it/);
});

test('what speaks as localhost is looked for from the first published port on, whatever comes then', async () => {
  await using daemon = await startDaemon();
  const guard = (): Promise<string> => sh(daemon, 'nft list chain inet moor localhost 2>/dev/null || true');
  const guarded = async (): Promise<boolean> => (await guard()).includes('goto answered');
  await box(daemon);
  assert.equal(await guard(), '');
  const { code, stderr } = await daemon.moor('run', '-d', '--name', 'one', '-p', '5353:53/udp', '--', 'sleep', 'infinity');
  assert.equal(code, 0, stderr);
  assert.ok(await guarded());
  assert.equal((await sh(daemon, 'cat /proc/sys/net/ipv4/conf/moor0/route_localnet')).trim(), '1');

  for (const name of ['one', 'box'])
    assert.equal((await daemon.request('DELETE', `/moor/sandboxes/${name}?force=true`)).status, 200);
  await sh(daemon, 'nft flush ruleset');
  assert.ok(await until(guarded, PATIENCE_MS), 'after a flush, without ports');
  await daemon.stop('SIGKILL');
  await daemon.start();
  assert.ok(await guarded(), 'after a kill');
  await daemon.stop('SIGKILL');
  await sh(daemon, 'nft flush ruleset');
  await daemon.start();
  assert.ok(await until(guarded, PATIENCE_MS), 'after a kill and a flush, as the bridge still takes such packets');
});
