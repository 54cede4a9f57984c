// test-timeout: 300 s
/** Beside firewalls of others, real ones: what the report says of published ports is what packets do, and its remedies help. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { familyOf, formatIp, type IpAddress, ipValue, isIp, parseIp, parsePrefix, prefixRange } from '../../src/base/ip.ts';
import type { ExposureReport, Reach, Reachability } from '../../src/contracts/exposure.ts';
import { forwardWarnings } from '../../src/drivers/bridge/foreign.ts';
import { bridgeOf, OPTION } from '../../src/drivers/bridge/options.ts';
import { createExposure } from '../../src/main/daemon/exposure.ts';
import type { Network } from '../../src/model/network.ts';
import type { PortBinding } from '../../src/model/ports.ts';
import { haveFirewalls, shell, startFirewalld, startUfw } from '../support/firewalls.ts';
import { CONTAINER, dockerd, startDocker } from './docker-lab.ts';
import { createLab, HOST4, HOST6, LAN4, TABLE, WORLD4, WORLD6 } from './lab.ts';
import { at, HERE, type Place, seenAs, silent } from './packets.ts';
import { binding, createPortsLab, type PortsLab } from './ports-lab.ts';

interface Scene extends AsyncDisposable {
  readonly lab: PortsLab;
  /** Asks for the report, tries everything that it says with real packets, and compares. */
  readonly compare: () => Promise<ExposureReport>;
  readonly obstacles: (...ports: readonly PortBinding[]) => Promise<readonly string[]>;
}

const PORTS = [
  binding('0.0.0.0', '8080:80/tcp'),
  binding('0.0.0.0', '8080:80/udp'),
  binding('::', '8080:80/tcp'),
  binding('0.0.0.0', '9000-9003/tcp'),
];

interface SceneOptions {
  readonly prepare?: (stack: AsyncDisposableStack) => Promise<void>;
  /** Gateway mode of the network. */
  readonly routed?: boolean;
}

/** A dual-stack network `net0` with a sandbox that publishes and another one, and a network `net1` with a third. */
async function scene({ prepare, routed = false }: SceneOptions = {}): Promise<Scene> {
  await using stack = new AsyncDisposableStack();
  // Every refusal is sent.
  await at(HERE, 'sysctl', '-qw', 'net.ipv4.icmp_ratelimit=0', 'net.ipv6.icmp.ratelimit=0');
  const lab = stack.use(await createPortsLab(prepare === undefined ? {} : { prepare }));
  const options = routed ? { [OPTION.gatewayMode4]: 'routed', [OPTION.gatewayMode6]: 'routed' } : {};
  const networks = [
    await lab.network('10.1.0.0/24 fd00:1::/64', { options }),
    await lab.network('10.2.0.0/24 fd00:2::/64'),
  ] as const;
  const [box, neighbour] = [await lab.sandbox(networks[0], 2), await lab.sandbox(networks[0], 3)];
  const other = await lab.sandbox(networks[1], 2);
  await lab.publish(networks[0], box, ...PORTS);
  for (const protocol of ['tcp', 'udp'] as const) await lab.agentAt(box.place).listen(protocol, 80);
  for (const port of [9000, 9001, 9002, 9003]) await lab.agentAt(box.place).listen('tcp', port);
  if (routed) {
    for (const [net, via] of [
      ['10.1.0.0/24', HOST4],
      ['fd00:1::/64', HOST6],
    ] as const)
      await at(lab.world, 'ip', 'route', 'add', net, 'via', via);
  }
  const direct = (port: PortBinding): { readonly direct?: IpAddress } =>
    routed ? { direct: parseIp(port.hostAddress === '::' ? box.ip6 : box.ip) } : {};
  const exposure = stack.use(createExposure({ table: TABLE }));
  const named = networks.map((network: Network) => ({ name: network.name, bridge: bridgeOf(network) }));
  const sandbox = { id: 'box', name: 'box' };

  const placeOf = ({ from: { kind, name } }: Reach): Place => {
    if (kind === 'host') return HERE;
    if (kind === 'interface') return name === 'up0' ? lab.world : name === 'lan0' ? lab.lan : '/run/netns/container';
    return kind === 'same' ? neighbour.place : other.place;
  };
  const attempt = async (published: PortBinding, one: Reach, port: number): Promise<void> => {
    const { protocol } = published;
    assert.ok(protocol !== 'sctp');
    const agent = lab.agentAt(placeOf(one));
    const answer = await (one.reachability === 'open' ? agent.ask : agent.tries)(protocol, one.address, port);
    // What leads elsewhere leads to the host itself here, where nobody listens.
    const expected = one.reachability === 'elsewhere' ? 'rejected' : one.reachability;
    // A client with Linux 6.18 goes on after ICMPv6's "administratively prohibited", which tcpdump shows that it gets.
    if (expected === 'rejected' && answer === 'silence' && familyOf(one.address) === 6) return;
    assert.equal(reachabilityOf(answer), expected, `${answer}: ${JSON.stringify({ published, one }, null, 1)}`);
  };

  const owned = stack.move();
  return {
    lab,
    async compare() {
      const report = await exposure.report({
        ports: PORTS.map((port) => ({ sandbox, binding: port, ...direct(port) })),
        networks: named,
      });
      const tries: Promise<void>[] = [];
      for (const { binding: published, reach } of report.ports) {
        assert.ok(reach.length >= 3, JSON.stringify(report, null, 1));
        for (const one of reach.filter((each) => isAbout(each, reach))) {
          for (const port of [one.ports.from, one.ports.to]) tries.push(attempt(published, one, port));
        }
      }
      assert.ok(tries.length >= 20);
      await Promise.all(tries);
      return report;
    },
    obstacles: (...ports) =>
      exposure.obstacles({ ports, bridge: named[0]?.bridge ?? '', routed: routed ? [4, 6] : [], networks: named }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Those that there are behind interfaces of the lab. */
const NEAR = [WORLD4, WORLD6, LAN4, CONTAINER];

/** Whether what is said of those behind an interface is said of the one host of the lab there. */
function isAbout({ from, ports }: Reach, all: readonly Reach[]): boolean {
  if (from.kind !== 'interface') return true;
  const within = (text: string): boolean => {
    const [first = '', last = first] = text.replace('others of ', '').split('-');
    if (isIp(first)) return NEAR.some((one) => isBetween(one, parseIp(first), parseIp(last)));
    const { first: from4, last: to4 } = prefixRange(parsePrefix(first));
    const family = familyOf(parsePrefix(first));
    return NEAR.some((one) => isBetween(one, formatIp(family, from4), formatIp(family, to4)));
  };
  const named = (one: Reach): boolean => one.from.sources.some((text) => !text.startsWith('anywhere') && within(text));
  if (!from.sources.some((text) => text.startsWith('others of'))) return named({ from, ports } as Reach);
  return !all.some(
    (one) =>
      one.from.name === from.name &&
      one.ports.from <= ports.from &&
      ports.from <= one.ports.to &&
      !one.from.sources.some((text) => text.startsWith('others of')) &&
      named(one),
  );
}

const isBetween = (text: string, first: IpAddress, last: IpAddress): boolean => {
  const address = parseIp(text);
  return familyOf(address) === familyOf(first) && ipValue(first) <= ipValue(address) && ipValue(address) <= ipValue(last);
};

/** `refused`, an errno, `silence`, or the address under which the server saw the client. */
const reachabilityOf = (answer: string): Reachability =>
  answer === 'silence' ? 'dropped' : answer === 'refused' || /^E[A-Z]+$/.test(answer) ? 'rejected' : 'open';

/** But for ::1, of which br_netfilter keeps answers away. */
const verdicts = (reach: readonly Reach[]): readonly Reachability[] => [
  ...new Set(reach.filter(({ address }) => address !== '::1').map(({ reachability }) => reachability)),
];

/** What is said of one binding and origin. */
function said(report: ExposureReport, { port, from }: { readonly port: PortBinding; readonly from: string }): Reach {
  const found = report.ports.find((one) => JSON.stringify(one.binding) === JSON.stringify(port));
  const reach = found?.reach.find((one) => `${one.from.kind} ${one.from.name}`.trim() === from);
  assert.ok(reach, `nothing is said of ${from}: ${JSON.stringify(report, null, 1)}`);
  return reach;
}

const [WEB, DNS, WEB6, RANGE] = PORTS as [PortBinding, PortBinding, PortBinding, PortBinding];

function need(t: TestContext): boolean {
  if (!haveFirewalls) t.skip('no ufw and firewalld: tools/peers.sh fetches them');
  return haveFirewalls;
}

test('nobody else there: all is open', async () => {
  await using one = await scene();
  const report = await one.compare();
  for (const { reach, target } of report.ports) {
    assert.deepEqual(verdicts(reach), ['open']);
    assert.equal(target?.network, 'net0');
  }
  assert.deepEqual(await one.obstacles(...PORTS), []);
});

test('ufw: outside is dropped until the remedy is taken, and this host is not', async (t) => {
  if (!need(t)) return;
  await using one = await scene();
  await using firewall = new AsyncDisposableStack();
  await startUfw(firewall);
  const before = await one.compare();
  const world = said(before, { port: WEB, from: 'interface up0' });
  assert.deepEqual(
    [world.reachability, world.decision?.owner, world.decision?.table, world.decision?.chain, world.decision?.rule],
    ['dropped', 'ufw', 'ip filter', 'FORWARD', 'policy drop'],
  );
  assert.equal(said(before, { port: WEB, from: 'host' }).reachability, 'open');
  assert.equal(said(before, { port: WEB6, from: 'interface up0' }).decision?.table, 'ip6 filter');
  const [sentence = '', ...more] = await one.obstacles(WEB);
  assert.equal(more.length, 0);
  assert.match(
    sentence,
    /^hosts behind .*up0.* cannot reach tcp port 8080: chain FORWARD of table ip filter \(ufw\) drops it: policy drop; to allow it: ufw route allow proto tcp from any to any port 80$/,
  );

  await shell('ufw route allow proto tcp from any to any port 80');
  const after = await one.compare();
  assert.equal(said(after, { port: WEB, from: 'interface lan0' }).decision?.chain, 'ufw-user-forward');
  assert.equal(said(after, { port: DNS, from: 'interface up0' }).reachability, 'dropped');
  assert.deepEqual(await one.obstacles(WEB, WEB6), []);

  // A part of a range.
  await shell(
    'ufw route allow proto tcp from any to any port 9001:9002 && ufw route deny proto tcp from 203.0.113.0/24 to any port 80',
  );
  const range = await one.compare();
  const parts = range.ports[3]?.reach.filter(({ from: { name, sources } }) => name === 'up0' && !sources.includes('anywhere'));
  assert.deepEqual(
    parts?.map(({ ports, reachability }) => [ports.from, ports.to, reachability]),
    [
      [9000, 9000, 'dropped'],
      [9001, 9002, 'open'],
      [9003, 9003, 'dropped'],
    ],
  );
  // A rule that is for fewer comes too late in ufw, and the report says so.
  assert.equal(said(range, { port: WEB, from: 'interface lan0' }).reachability, 'open');
});

test('firewalld: lets pass what was translated, and refuses by zone or policy what is told to', async (t) => {
  if (!need(t)) return;
  await using one = await scene();
  await using firewall = new AsyncDisposableStack();
  await startFirewalld(firewall);
  const report = await one.compare();
  const world = said(report, { port: WEB, from: 'interface up0' });
  assert.deepEqual(
    [world.reachability, world.decision?.owner, world.decision?.rule],
    ['open', 'firewalld', 'ct status dnat accept'],
  );
  assert.deepEqual(await one.obstacles(...PORTS), []);
});

test('Docker: everything is open by the rule in DOCKER-USER, and not without it', async (t) => {
  const program = dockerd;
  if (program === null) {
    t.skip('no dockerd on this machine');
    return;
  }
  await using one = await scene({ prepare: async (stack) => void (await startDocker(stack, program)) });
  const report = await one.compare();
  const world = said(report, { port: WEB, from: 'interface up0' });
  assert.deepEqual([world.reachability, world.decision?.owner, world.decision?.chain], ['open', 'Docker', 'DOCKER-USER']);
  // Docker 20.10 sets no policy for IPv6.
  assert.equal(said(report, { port: WEB6, from: 'interface up0' }).reachability, 'open');
  assert.equal(said(report, { port: WEB, from: 'interface docker0' }).reachability, 'open');
  assert.deepEqual(await one.obstacles(...PORTS), []);

  // Somebody flushed that chain, as many do who keep their own rules in it.
  const saved = (await at(HERE, 'iptables', '-S', 'DOCKER-USER')).split('\n').filter((line) => line.startsWith('-A'));
  await at(HERE, 'iptables', '-F', 'DOCKER-USER');
  const flushed = await one.compare();
  const dropped = said(flushed, { port: WEB, from: 'interface up0' });
  assert.deepEqual([dropped.reachability, dropped.decision?.owner, dropped.decision?.rule], ['dropped', 'Docker', 'policy drop']);
  await at(HERE, 'sh', '-c', dropped.remedy);
  assert.equal(said(await one.compare(), { port: WEB, from: 'interface up0' }).reachability, 'open');
  await at(HERE, 'iptables', '-F', 'DOCKER-USER');
  for (const line of saved) await at(HERE, 'sh', '-c', `iptables ${line}`);
});

test('firewalld and what sandboxes send: the warning of `moor status`, and its remedy', async (t) => {
  if (!need(t)) return;
  await using lab = await createLab();
  const net = await lab.network('10.1.0.0/24');
  const box = await lab.sandbox(net, 2);
  await using firewall = new AsyncDisposableStack();
  await startFirewalld(firewall);
  assert.ok(await silent(box.place, WORLD4));
  const [warning = '', ...more] = forwardWarnings({ ...(await lab.facts()), bridgeNf: false });
  assert.equal(more.length, 0);
  assert.match(
    warning,
    /packets from sandboxes to other hosts \(what is published is let pass\) are lost; allow it with firewalld: /,
  );
  const remedy = / firewalld: (.*) for each bridge, then (.*)$/.exec(warning);
  await shell(`${remedy?.[1]?.replace('BRIDGE', bridgeOf(net))} && ${remedy?.[2]}`);
  assert.equal(await seenAs(box.place, WORLD4), HOST4);
});

test('gateway mode routed, asked at the sandbox itself, beside firewalld', async (t) => {
  if (!need(t)) return;
  await using one = await scene({ routed: true });
  for (const { reach } of (await one.compare()).ports) assert.deepEqual(verdicts(reach), ['open']);
  await using firewall = new AsyncDisposableStack();
  await startFirewalld(firewall);
  // Nothing is translated, so nothing is let pass for that.
  const world = said(await one.compare(), { port: WEB, from: 'interface up0' });
  assert.deepEqual([world.reachability, world.decision?.owner], ['rejected', 'firewalld']);
  assert.match((await one.obstacles(WEB)).join(), /\(firewalld\) rejects it/);
  await shell(world.remedy);
  const after = await one.compare();
  assert.equal(said(after, { port: WEB, from: 'interface up0' }).reachability, 'open');
  assert.equal(said(after, { port: DNS, from: 'interface up0' }).reachability, 'rejected');
});

test('a chain of nft with policy drop, and the remedy', async () => {
  const table =
    'table inet mine { chain forward { type filter hook forward priority 0; policy drop; ct state established,related accept; }; }';
  await using one = await scene();
  await using firewall = new AsyncDisposableStack();
  firewall.defer(async () => void (await at(HERE, 'nft', 'delete table inet mine')));
  await at(HERE, 'nft', table);
  const before = await one.compare();
  const world = said(before, { port: WEB, from: 'interface up0' });
  assert.deepEqual(
    [world.reachability, world.decision?.owner, world.decision?.rule],
    ['dropped', 'hand-written rules', 'policy drop'],
  );
  const remedy = /^nft insert rule .* accept'/.exec(world.remedy)?.[0] ?? '';
  assert.match(
    (await one.obstacles(RANGE)).join('\n'),
    /tcp port 9000-9003: chain forward of table inet mine \(hand-written rules\) drops it/,
  );
  await at(HERE, 'sh', '-c', remedy);
  const after = await one.compare();
  for (const { reach } of after.ports) assert.deepEqual(verdicts(reach), ['open']);
  assert.deepEqual(await one.obstacles(...PORTS), []);
});

test('answers that are dropped, rules by source, sets, and a table of a program', async () => {
  const rules = `
table inet mine {
  flags dormant
  chain forward { type filter hook forward priority 0; policy drop; }
}
table ip some {
  set friends { type ipv4_addr; flags interval; elements = { 203.0.113.0/25 } }
  chain forward {
    type filter hook forward priority 5; policy accept;
    iifname "br-*" oifname "lan0" tcp sport 9000-9001 drop
    iifname "lan0" ip saddr != @friends reject
    iifname "up0" tcp dport 80 drop
  }
}`;
  await using one = await scene();
  await using firewall = new AsyncDisposableStack();
  firewall.defer(async () => void (await at(HERE, 'nft', 'delete table ip some; delete table inet mine')));
  await at(HERE, 'nft', rules);
  const report = await one.compare();
  const lan = report.ports[3]?.reach.filter(({ from: { name } }) => name === 'lan0') ?? [];
  assert.deepEqual(
    lan.map(({ from: { sources }, ports, reachability, direction }) => [
      sources.join(),
      ports.from,
      ports.to,
      reachability,
      direction,
    ]),
    [
      ['others of 203.0.113.0/24', 9000, 9003, 'rejected', 'request'],
      ['203.0.113.0/25', 9000, 9001, 'dropped', 'answer'],
      ['203.0.113.0/25', 9002, 9003, 'open', 'request'],
    ],
  );
  assert.equal(said(report, { port: WEB, from: 'interface up0' }).decision?.rule, 'iifname "up0" tcp dport 80 drop');
  const friends = (range: string): Promise<string> =>
    at(HERE, 'nft', `flush set ip some friends; add element ip some friends { ${range} }`);
  await friends('203.0.113.128/25');
  await one.compare();
  await friends('203.0.113.0/25');
});
