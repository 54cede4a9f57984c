// test-timeout: 120 s
/** Somebody changes what is ours while the daemon runs: it comes back by itself, and one line of the log says what and why. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Network } from '../../src/model/network.ts';
import type { Endpoint, Sandbox } from '../../src/model/sandbox.ts';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { until } from '../support/snapshot.ts';
import { say } from '../support/say.ts';
import { faults } from '../support/truth.ts';

let daemon: TestDaemon;
before(async () => {
  daemon = await startDaemon();
});
after(() => daemon[Symbol.asyncDispose]());

/** Generous: a busy machine must not fail the test. The log says how long it took. */
const PATIENCE_MS = 10_000;

interface Scene {
  readonly bridge: string;
  readonly gateway: string;
  /** Two sandboxes on one network of their own, so that no repair before counts against them. */
  readonly one: Place;
  readonly two: Place;
}

interface Place {
  readonly pin: string;
  readonly veth: string;
  readonly ip: string;
  readonly ip6: string;
}

async function made<T>(path: string, body: unknown): Promise<T> {
  const answer = await daemon.request('POST', path, body);
  assert.equal(answer.status, 201, answer.text);
  return (answer.json() as { readonly value: T }).value;
}

/** A link of the test's own. */
const FOREIGN = { foreign: ['his0'] } as const;

let scenes = 0;
async function scene(): Promise<Scene> {
  const name = `net${scenes++}`;
  const network = await made<Network>('/moor/networks', { name, ipv6: true, pools: [{ subnet: `10.70.${scenes}.0/24` }] });
  const place = async (suffix: string): Promise<Place> => {
    const { netns, endpoints } = await made<Sandbox>('/moor/sandboxes', {
      name: `${name}-${suffix}`,
      networks: [{ network: name }],
    });
    const { hostInterfaceName, ipv4, ipv6 } = endpoints[0] as Endpoint;
    assert.ok(netns.type === 'own' && ipv4 && ipv6);
    return { pin: netns.path, veth: hostInterfaceName, ip: ipv4.split('/')[0] ?? '', ip6: ipv6.split('/')[0] ?? '' };
  };
  return {
    bridge: `br-${network.id.slice(0, 12)}`,
    gateway: `10.70.${scenes}.1`,
    one: await place('one'),
    two: await place('two'),
  };
}

const sh = async (script: string): Promise<void> => {
  const { code, stderr } = await daemon.inside('sh', '-e', '-c', script);
  assert.equal(code, 0, `${script}\n${stderr}`);
};
const within = (pin: string, command: string): string => `nsenter --net=${pin} ${command}`;

interface Drift {
  /** A shell script. */
  readonly by: (scene: Scene) => string;
  /** The lines that the log must have, and no others about these owners. `NET`, `ONE`, `BRIDGE`, `VETH` stand for what is there. */
  readonly lines: readonly string[];
  /** Nothing tells of it at once: found when everything is looked at, here on request, else once a minute. */
  readonly looked?: boolean;
}

const DRIFT: Readonly<Record<string, Drift>> = {
  'nft flush ruleset': {
    by: () => 'nft flush ruleset',
    lines: ['table inet moor and \\d+ elements in the host: it was deleted'],
  },
  'our table alone is deleted': {
    by: () => 'nft delete table inet moor',
    lines: ['table inet moor and \\d+ elements in the host: it was deleted'],
  },
  'an element is deleted': {
    by: ({ bridge }) => `nft delete element inet moor masqueraded '{ ipv4 . "${bridge}" }'`,
    lines: ['element ipv4 . "BRIDGE" of set masqueraded in network NET: it was deleted'],
  },
  'an element leads elsewhere': {
    // One transaction: the daemon is quick enough to put it back in between.
    by: ({ bridge }) =>
      `nft 'delete element inet moor leaving { "${bridge}" }; add element inet moor leaving { "${bridge}" : drop }'`,
    lines: ['element "BRIDGE" of set leaving in network NET: .*drop'],
  },
  'a rule is deleted': {
    by: () =>
      'nft delete rule inet moor postrouting handle $(nft -a list chain inet moor postrouting | sed -n "s/.*to the world.*handle //p")',
    lines: ['table inet moor .*in the host: .*'],
  },
  'the policy of a chain': {
    by: () => "nft 'chain inet moor forward { policy drop; }'",
    lines: ['table inet moor in the host: the policy of its chain forward was drop'],
  },
  'a set is flushed': {
    by: () => 'nft flush set inet moor bridges',
    lines: ['element "BRIDGE" of set bridges in network NET: it was deleted'],
  },
  'ip link del of a bridge port': {
    by: ({ one }) => `ip link del ${one.veth}`,
    lines: ['link VETH in sandbox ONE: it was deleted'],
  },
  'ip link del inside the sandbox': {
    by: ({ one }) => within(one.pin, 'ip link del eth0'),
    lines: ['link VETH in sandbox ONE: it was deleted'],
  },
  'ip route flush in a sandbox': {
    by: ({ one }) => within(one.pin, 'ip route flush table main'),
    lines: ['route 10\\.\\S+ dev eth0 in sandbox ONE: it was deleted'],
  },
  'ip -6 route flush in a sandbox': {
    by: ({ one }) => within(one.pin, 'ip -6 route flush table main'),
    lines: ['route fd\\S+ dev eth0 in sandbox ONE: it was deleted'],
  },
  'another default route': {
    by: ({ one, two }) => within(one.pin, `ip route replace default via ${two.ip}`),
    lines: ['route default via \\S+ in sandbox ONE: it went via \\S+ on eth0'],
  },
  'an address is deleted': {
    by: ({ one }) => within(one.pin, `ip addr del ${one.ip}/24 dev eth0`),
    lines: ['address \\S+ on eth0 in sandbox ONE: it was deleted'],
  },
  'all addresses are flushed': {
    by: ({ one }) => within(one.pin, 'ip addr flush dev eth0'),
    lines: ['address 10\\.\\S+ on eth0 in sandbox ONE: it was deleted'],
  },
  'IPv6 is turned off in the sandbox': {
    by: ({ one }) => within(one.pin, 'sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1'),
    lines: ['sysctl net/ipv6/conf/eth0/disable_ipv6 in sandbox ONE: it was changed'],
  },
  'IPv6 is turned off on the bridge': {
    by: ({ bridge }) => `sysctl -qw net.ipv6.conf.${bridge}.disable_ipv6=1`,
    lines: ['sysctl net/ipv6/conf/BRIDGE/disable_ipv6 in network NET: it was changed'],
  },
  'a link is set down in the sandbox': {
    by: ({ one }) => within(one.pin, 'ip link set eth0 down'),
    lines: ['link eth0 in sandbox ONE: it was down'],
  },
  'a port is set down': { by: ({ one }) => `ip link set ${one.veth} down`, lines: ['link VETH in sandbox ONE: it was down'] },
  'a port has a foreign master': {
    by: ({ one }) => `ip link add his0 type bridge; ip link set ${one.veth} master his0`,
    lines: ['link VETH in sandbox ONE: its master was his0'],
  },
  'a port has no master': {
    by: ({ one }) => `ip link set ${one.veth} nomaster`,
    lines: ['link VETH in sandbox ONE: its master was none'],
  },
  'a port is renamed': {
    by: ({ one }) => `ip link set ${one.veth} down; ip link set ${one.veth} name his5; ip link set his5 up`,
    lines: ['link VETH in sandbox ONE: it was moved or renamed'],
  },
  'a port is moved into another namespace': {
    by: ({ one, two }) => `ip link set ${one.veth} netns ${two.pin}`,
    lines: ['link VETH in sandbox ONE: it was moved or renamed'],
  },
  'the MTU inside the sandbox': {
    by: ({ one }) => within(one.pin, 'ip link set eth0 mtu 1400'),
    lines: ['link eth0 in sandbox ONE: its mtu was 1400'],
    looked: true,
  },
  'a link inside is renamed': {
    by: ({ one }) => within(one.pin, 'sh -c "ip link set eth0 down && ip link set eth0 name his7 && ip link set his7 up"'),
    lines: ['link VETH in sandbox ONE: its other end eth0 was moved or renamed'],
  },
  'the bridge is set down': {
    by: ({ bridge }) => `ip link set ${bridge} down`,
    lines: ['link BRIDGE in network NET: it was down'],
  },
  'the address of the bridge': {
    by: ({ bridge }) => `ip -4 addr flush dev ${bridge}`,
    lines: ['address 10\\.\\S+ on BRIDGE in network NET: it was deleted'],
  },
  'the bridge is deleted with its ports': {
    by: ({ bridge }) => `ip link del ${bridge}`,
    lines: [
      'link BRIDGE in network NET: it was deleted',
      'link VETH in sandbox ONE: its master was none',
      'link veth\\w+ in sandbox NET-two: its master was none',
    ],
  },
  'the bridge is renamed': {
    by: ({ bridge }) => `ip link set ${bridge} down; ip link set ${bridge} name his8`,
    lines: [
      'link BRIDGE in network NET: it was deleted',
      'link VETH in sandbox ONE: its master was his8',
      'link veth\\w+ in sandbox NET-two: its master was his8',
    ],
    looked: true,
  },
  'the namespace of a sandbox is let go': {
    by: ({ one }) => `umount -l ${one.pin}; rm ${one.pin}`,
    lines: ['network namespace \\S+ in sandbox ONE: it was gone'],
    looked: true,
  },
  'forwarding is off': {
    by: () => 'sysctl -qw net.ipv4.ip_forward=0',
    lines: ['sysctl net/ipv4/ip_forward in the host: it was 0'],
    looked: true,
  },
};

/** Lines about other owners than a scene's own: of the host and, when a set is flushed, of all networks. */
const restored = (log: string, net: string): readonly string[] =>
  log
    .split('\n')
    .filter((line) => line.includes(' restored ') && new RegExp(`in (network|sandbox) ${net}\\b|in the host`).test(line));

for (const [what, { by, lines, looked = false }] of Object.entries(DRIFT)) {
  test(`${what}: it is put right, and said`, async () => {
    const here = await scene();
    assert.deepEqual(await faults(daemon, FOREIGN), []);
    const logged = daemon.log().length;
    const started = performance.now();
    await sh(by(here));
    const net = `net${scenes - 1}`;
    const fill = (text: string): RegExp => {
      const names = { BRIDGE: here.bridge, NET: net, ONE: `${net}-one`, VETH: here.one.veth };
      const line = Object.entries(names).reduce((all, [name, value]) => all.replace(name, value), text);
      return new RegExp(`WARN  restored ${line} owner=`);
    };
    if (looked) await daemon.request('POST', '/moor/reconcile');
    const said = (): readonly string[] => restored(daemon.log().slice(logged), net);
    const right = async (): Promise<boolean> =>
      lines.every((line) => said().some((one) => fill(line).test(one))) && (await faults(daemon, FOREIGN)).length === 0;
    if (!(await until(right, PATIENCE_MS))) {
      assert.deepEqual(await faults(daemon, FOREIGN), [], said().join('\n'));
      assert.deepEqual(said(), lines.map(fill));
    }
    say(`${what}: ${Math.round(performance.now() - started)} ms`);
    assert.equal(said().length, lines.length, said().join('\n'));
    for (const [pin, to] of [
      [here.two.pin, here.one.ip],
      [here.one.pin, here.gateway],
      [here.two.pin, here.one.ip6],
    ] as const) {
      const { code, stdout } = await daemon.inside('nsenter', `--net=${pin}`, 'ping', '-n', '-c', '1', '-w', '10', to);
      assert.equal(code, 0, `${pin} to ${to}: ${stdout}`);
    }
    const again = await daemon.request('POST', '/moor/reconcile');
    assert.deepEqual(again.json(), { repaired: [] }, 'nothing is left to repair');
  });
}

test('what cannot be put right is said to who asks for it', async () => {
  const { bridge } = await scene();
  const alias = `ip -j link show dev ${bridge} | sed 's/.*"ifalias":"//; s/".*//'`;
  await sh(`${alias} >${daemon.directory}/alias; ip link set ${bridge} alias his`);
  const { repaired } = (await daemon.request('POST', '/moor/reconcile')).json() as { readonly repaired: readonly string[] };
  assert.match(repaired.join('\n'), new RegExp(`^could not restore link ${bridge} in network net\\d+: .*alias is his`, 'm'));
  await sh(`ip link set ${bridge} alias "$(cat ${daemon.directory}/alias)"`);
  assert.deepEqual((await daemon.request('POST', '/moor/reconcile')).json(), { repaired: [] });
});

test('a bridge that is its owner’s is not made in his stead, and is used again when he has made it anew', async () => {
  await sh('ip link add lent0 type bridge');
  const options = { 'com.docker.network.bridge.name': 'lent0' };
  await made<Network>('/moor/networks', { name: 'lent', options, pools: [{ subnet: '10.71.0.0/24' }] });
  const { netns, endpoints } = await made<Sandbox>('/moor/sandboxes', { name: 'guest', networks: [{ network: 'lent' }] });
  assert.ok(netns.type === 'own');
  const { hostInterfaceName } = endpoints[0] as Endpoint;
  const shown = async (...words: readonly string[]): Promise<string> => (await daemon.inside('ip', ...words)).stdout;
  const logged = daemon.log().length;
  await sh('ip link del lent0');
  const said = (what: RegExp): boolean => what.test(daemon.log().slice(logged));
  assert.ok(await until(() => said(/could not restore link lent0 in network lent: .*no device lent0/), PATIENCE_MS));
  assert.equal(await shown('-br', 'link', 'show', 'type', 'bridge', 'dev', 'lent0'), '');
  await sh('ip link add lent0 type bridge');
  const back = async (): Promise<boolean> =>
    / 10\.71\.0\.1\/24 /.test(await shown('-br', 'address', 'show', 'dev', 'lent0')) &&
    (await shown('-br', 'link', 'show', 'master', 'lent0')).startsWith(hostInterfaceName);
  // What could not be put right waits longer each time.
  assert.ok(await until(back, 3 * PATIENCE_MS), daemon.log().slice(logged));
  const { code } = await daemon.inside('nsenter', `--net=${netns.path}`, 'ping', '-n', '-c', '1', '-w', '10', '10.71.0.1');
  assert.equal(code, 0);
  for (const path of ['/moor/sandboxes/guest', '/moor/networks/lent'])
    assert.equal((await daemon.request('DELETE', path)).status, 200);
  assert.doesNotMatch(await shown('-br', 'address', 'show', 'dev', 'lent0'), /10\.71/);
  await sh('ip link del lent0');
});
