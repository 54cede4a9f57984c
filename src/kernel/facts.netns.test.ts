import '../../test/support/isolated.ts';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { hostFacts } from './facts.ts';
import { probeFeatures } from './features.ts';
import { openNftRunner } from './nft-run.ts';
import { Spaces } from './spaces.ts';

const ip = (...args: readonly string[]): string => execFileSync('ip', args, { encoding: 'utf8' });
const OWN = { family: 'inet', name: 'moor' } as const;

test('facts: the uplink is the device of the best default route', () => {
  using spaces = new Spaces();
  using nft = openNftRunner();
  const facts = (): ReturnType<typeof hostFacts> => hostFacts(spaces.host, nft, OWN);
  const none = facts();
  assert.equal(none.uplink, '');
  assert.equal(none.uplinkMtu, 1500);
  assert.deepEqual(none.foreignForward, []);
  assert.equal(none.hostname, hostname());
  assert.equal(none.resolvConf, readFileSync('/etc/resolv.conf', 'utf8'));
  assert.equal(none.sysctls['net/ipv4/ip_forward'], readFileSync('/proc/sys/net/ipv4/ip_forward', 'utf8').trim());

  ip('link', 'add', 'up0', 'mtu', '1420', 'up', 'type', 'veth', 'peer', 'name', 'up1');
  ip('link', 'add', 'up2', 'up', 'type', 'bridge');
  ip('addr', 'add', '192.0.2.7/24', 'dev', 'up0');
  ip('addr', 'add', '198.51.100.7/24', 'dev', 'up2');
  ip('link', 'set', 'up1', 'up');
  ip('route', 'add', 'default', 'via', '198.51.100.1', 'dev', 'up2', 'metric', '600');
  ip('route', 'add', 'default', 'via', '192.0.2.1', 'dev', 'up0', 'metric', '100');
  ip('route', 'add', 'default', 'via', '198.51.100.1', 'dev', 'up2', 'table', '77');
  const some = facts();
  assert.equal(some.uplink, 'up0');
  assert.equal(some.uplinkMtu, 1420);
  assert.ok(some.addresses.some((address) => address === '192.0.2.7/24'));
  assert.ok(some.routes.some((prefix) => prefix === '192.0.2.0/24'));
  assert.ok(`net/ipv6/conf/up0/accept_ra` in some.sysctls === existsSync('/proc/sys/net/ipv6/conf/up0/accept_ra'));
  ip('link', 'del', 'up0');
  ip('link', 'del', 'up2');
});

test('facts: whether the rules see bridged frames, of either family, and that a local route to everything is no way out', () => {
  using spaces = new Spaces();
  using nft = openNftRunner();
  for (const [four, six, seen] of [
    ['0', '0', false],
    ['1', '0', true],
    ['0', '1', true],
  ] as const) {
    writeFileSync('/proc/sys/net/bridge/bridge-nf-call-iptables', four);
    writeFileSync('/proc/sys/net/bridge/bridge-nf-call-ip6tables', six);
    assert.equal(hostFacts(spaces.host, nft, OWN).bridgeNf, seen);
  }
  ip('link', 'set', 'lo', 'up');
  ip('route', 'add', 'local', 'default', 'dev', 'lo', 'table', 'main');
  assert.equal(hostFacts(spaces.host, nft, OWN).uplink, '');
  ip('route', 'del', 'local', 'default', 'dev', 'lo', 'table', 'main');
});

test("facts: what systemd-resolved asks, when the host's resolv.conf names its stub alone", () => {
  using spaces = new Spaces();
  using nft = openNftRunner();
  using stack = new DisposableStack();
  const folder = mkdtempSync(join(tmpdir(), 'moor-resolv-'));
  stack.defer(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'resolv.conf');
  writeFileSync(file, '');
  execFileSync('mount', ['--bind', file, '/etc/resolv.conf']);
  stack.defer(() => void execFileSync('umount', ['/etc/resolv.conf']));
  // /run is the test's own (tools/testing/isolate.sh).
  mkdirSync('/run/systemd/resolve', { recursive: true });
  stack.defer(() => rmSync('/run/systemd', { recursive: true }));
  const resolved = 'nameserver 192.0.2.53\nsearch lan\n';
  const found = (text: string): string | undefined => {
    writeFileSync(file, text);
    const { resolvConf, resolvedConf } = hostFacts(spaces.host, nft, OWN);
    assert.equal(resolvConf, text);
    return resolvedConf;
  };
  assert.equal(found('nameserver 127.0.0.53\n'), undefined, 'it does not run');
  writeFileSync('/run/systemd/resolve/resolv.conf', resolved);
  assert.equal(found('# stub\nnameserver 127.0.0.53\noptions edns0\n'), resolved);
  for (const text of ['nameserver 127.0.0.53\nnameserver 192.0.2.1\n', 'nameserver 127.0.0.1\n', '']) {
    assert.equal(found(text), undefined, text);
  }
});

test('facts: base chains of others that forwarded packets pass, with the chain for their administrators', () => {
  using spaces = new Spaces();
  using nft = openNftRunner();
  const script = `
    add table ip filter
    add chain ip filter DOCKER-USER
    add chain ip filter FORWARD { type filter hook forward priority filter; policy drop; }
    add chain ip filter INPUT { type filter hook input priority filter; policy drop; }
    add table inet firewalld
    add chain inet firewalld filter_FORWARD { type filter hook forward priority filter + 10; policy accept; }
    add table inet moor
    add chain inet moor forward { type filter hook forward priority filter - 10; policy accept; }
    add table bridge b
    add chain bridge b forward { type filter hook forward priority filter; policy drop; }`;
  for (const line of script.split('\n')) if (line.trim() !== '') execFileSync('nft', [line.trim()]);
  try {
    assert.deepEqual(hostFacts(spaces.host, nft, OWN).foreignForward, [
      { family: 'ip', table: 'filter', chain: 'FORWARD', policy: 'drop', userChain: 'DOCKER-USER' },
      { family: 'inet', table: 'firewalld', chain: 'filter_FORWARD', policy: 'accept', userChain: null },
    ]);
  } finally {
    execFileSync('nft', ['flush', 'ruleset']);
  }
});

test('facts: chains of others that may stop what the host sends', () => {
  using spaces = new Spaces();
  using nft = openNftRunner();
  const found = (script: string): readonly string[] => {
    execFileSync('nft', ['-f', '-'], { input: script });
    try {
      return (hostFacts(spaces.host, nft, OWN).foreignOutput ?? []).map(
        ({ family, table, chain }) => `${family} ${table} ${chain}`,
      );
    } finally {
      execFileSync('nft', ['flush', 'ruleset']);
    }
  };
  const chain = (rules: string, policy = 'accept', more = ''): string =>
    `table inet mine { ${more} chain out { type filter hook output priority 0; policy ${policy}; ${rules}; }; }`;
  const mine = ['inet mine out'];
  assert.deepEqual(found(chain('oif lo accept; counter; meta mark set 1; ct state established accept')), []);
  assert.deepEqual(found(chain('oif lo accept', 'drop')), mine);
  for (const rule of ['tcp dport 25 drop', 'meta skuid 1000 reject', 'tcp dport vmap { 25 : drop }'])
    assert.deepEqual(found(chain(rule)), mine, rule);
  // By way of another chain.
  assert.deepEqual(found(chain('jump a', 'accept', 'chain b { tcp dport 25 drop; }; chain a { goto b; };')), mine);
  assert.deepEqual(found(chain('jump a', 'accept', 'chain b { tcp dport 25 drop; }; chain a { return; };')), []);
  // Other hooks, other families, translation, and our own table.
  assert.deepEqual(found(chain('drop').replace('hook output', 'hook forward')), []);
  assert.deepEqual(found('table arp mine { chain out { type filter hook output priority 0; policy drop; }; }'), []);
  assert.deepEqual(found('table ip mine { chain out { type nat hook output priority -100; tcp dport 1 redirect to :2; }; }'), []);
  assert.deepEqual(found(chain('drop').replace('inet mine', 'inet moor')), []);
  // As iptables writes it.
  const iptables = (...words: readonly string[]): void => void execFileSync('iptables-nft', words);
  iptables('-A', 'OUTPUT', '-j', 'LOG');
  assert.deepEqual(hostFacts(spaces.host, nft, OWN).foreignOutput, undefined);
  iptables('-A', 'OUTPUT', '-p', 'tcp', '-j', 'REJECT');
  assert.deepEqual(found(''), ['ip filter OUTPUT']);
  // Its older form has rules that nobody else can read; listing a table makes it.
  execFileSync('iptables-legacy', ['-L', '-n']);
  rmSync('/run/xtables.lock', { force: true });
  assert.deepEqual(found(''), ['ip filter of iptables-legacy OUTPUT']);
});

test('features are probed also when the folder for temporary files has vanished', () => {
  const before = process.env['TMPDIR'];
  process.env['TMPDIR'] = '/nowhere/at/all';
  try {
    assert.equal(probeFeatures().find(({ name }) => name === 'namespaces')?.state, 'yes');
    using nft = openNftRunner(true);
    assert.equal(nft.run('list tables').rc, 0);
  } finally {
    if (before === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = before;
  }
});

test('features: what ip(8) can make, the probe says yes to', () => {
  const features = new Map(probeFeatures().map((feature) => [feature.name, feature]));
  const tries: Readonly<Record<string, string>> = {
    veth: 'type veth',
    bridge: 'type bridge',
    vxlan: 'type vxlan id 1 dstport 4789',
    macvlan: 'link base type macvlan',
    ipvlan: 'link base type ipvlan',
    wireguard: 'type wireguard',
    vlan: 'link base type vlan id 5',
  };
  for (const [name, words] of Object.entries(tries)) {
    const script = `ip link add base type veth && ip link add x ${words}`;
    let works = true;
    try {
      execFileSync('unshare', ['-n', 'sh', '-c', script], { stdio: 'ignore' });
    } catch {
      works = false;
    }
    assert.equal(features.get(name)?.state, works ? 'yes' : 'no', `${name}: ${features.get(name)?.why}`);
  }
  for (const name of ['namespaces', 'nftables', 'libnftables', 'tun', 'conntrack', 'br_netfilter', 'ipvs', 'overlayfs']) {
    assert.ok(features.get(name)?.why, name);
  }
  assert.equal(features.get('namespaces')?.state, 'yes');
  assert.equal(features.get('nftables')?.state, 'yes');
});
