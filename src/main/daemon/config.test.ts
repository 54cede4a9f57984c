import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { after, test } from 'node:test';
import { type DaemonConfig, loadConfig } from './config.ts';
import { FLAGS, type Flag, helpText, parseFlags } from './flags.ts';

const directory = mkdtempSync('/tmp/moor-config-');
after(() => rmSync(directory, { recursive: true, force: true }));

let files = 0;
function configFile(content: unknown): string {
  const path = `${directory}/${files++}.json`;
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}
/** Always with a file, so that one in /etc plays no part. */
const load = (args: readonly string[], content: unknown = {}): DaemonConfig =>
  loadConfig(parseFlags([...args, '--config-file', configFile(content)]));

test('flags are written in all the ways of pflag', () => {
  const values = parseFlags([
    '--mtu',
    '1400',
    '--bip=10.0.0.1/24',
    '-H',
    'unix:///a',
    '-Hunix:///b',
    '-H=unix:///c',
    '-D',
    '--icc=false',
  ]);
  assert.deepEqual(
    [...values],
    [
      ['mtu', ['1400']],
      ['bip', ['10.0.0.1/24']],
      ['host', ['unix:///a', 'unix:///b', 'unix:///c']],
      ['debug', ['true']],
      ['icc', ['false']],
    ],
  );
  assert.deepEqual(parseFlags(['--mtu=1', '--mtu=2']).get('mtu'), ['2'], 'the last one wins');
});

test('bad flags', () => {
  for (const [args, message] of [
    [['--nope'], 'unknown flag: --nope'],
    [['-Z'], "unknown shorthand flag: 'Z' in -Z"],
    [['--mtu'], 'flag needs an argument: --mtu'],
    [['-p'], 'flag needs an argument: -p, --pidfile'],
    [['--mtu', 'x'], 'invalid argument "x" for "--mtu" flag: it is a whole number'],
    [['--icc=maybe'], 'invalid argument "maybe" for "--icc" flag: it is true or false'],
    [['serve'], '"moord" accepts no arguments: "serve"'],
    [['--'], '"moord" accepts no arguments: "--"'],
  ] as const) {
    assert.throws(() => parseFlags(args), { kind: 'invalid', message });
  }
});

test('defaults', () => {
  const config = load([]);
  assert.deepEqual(config.hosts, [{ type: 'unix', path: '/run/moor/moor.sock' }]);
  assert.equal(config.dataRoot, '/var/lib/moor');
  assert.equal(config.execRoot, '/run/moor');
  assert.equal(config.pidfile, '/run/moor/moord.pid');
  assert.equal(config.icc, true);
  assert.equal(config.ipMasquerade, true);
  assert.equal(config.loopbackShortcut, true);
  assert.equal(config.tunnelPriority, false);
  assert.equal(config.tunnelFastpath, true);
  assert.equal(config.ipv6, false);
  assert.equal(config.addressPools, null);
  assert.equal(config.mtu, null);
  assert.deepEqual(config.dns, { servers: [], search: [], options: [] });
});

test('the file has the same keys, and its lists are plural', () => {
  const config = load(['--mtu', '1400'], {
    hosts: ['unix:///t/a.sock', 'tcp://127.0.0.1:2375'],
    'data-root': '/t/data/',
    'default-address-pools': [
      { base: '10.10.0.0/16', size: 24 },
      { base: 'fd00:1::/48', size: 64 },
    ],
    'default-network-opts': { bridge: { 'com.docker.network.driver.mtu': '1380', a: 'x=y' } },
    debug: true,
    icc: false,
    bip: '10.9.0.1/24',
    ipv6: null,
    dns: ['192.0.2.53', '2001:DB8::53'],
    'dns-search': ['example.org', '.'],
    'dns-opts': ['timeout:3', 'rotate'],
  });
  assert.deepEqual(config.hosts, [
    { type: 'unix', path: '/t/a.sock' },
    { type: 'tcp', host: '127.0.0.1', port: 2375 },
  ]);
  assert.equal(config.dataRoot, '/t/data');
  assert.deepEqual(config.addressPools, [
    { base: '10.10.0.0/16', size: 24 },
    { base: 'fd00:1::/48', size: 64 },
  ]);
  assert.deepEqual(config.networkOptions, { bridge: { 'com.docker.network.driver.mtu': '1380', a: 'x=y' } });
  assert.equal(config.logLevel, 'debug');
  assert.equal(config.icc, false);
  assert.equal(config.mtu, 1400);
  assert.equal(config.bip, '10.9.0.1/24');
  assert.deepEqual(config.dns, {
    servers: ['192.0.2.53', '2001:db8::53'],
    search: ['example.org', '.'],
    options: ['timeout:3', 'rotate'],
  });
});

test('what is no resolver, domain or option is refused', () => {
  for (const [args, message] of [
    [['--dns', 'example.org'], 'invalid dns "example.org": it is an IP address'],
    [['--dns-search', 'a b'], 'invalid dns-search "a b": it is a domain'],
    [['--dns-opt', 'a b'], 'invalid dns-opt "a b": it is one word, as in resolv.conf(5)'],
  ] as const) {
    assert.throws(() => load(args), { kind: 'invalid', message });
  }
  assert.deepEqual(load(['--dns', '192.0.2.1', '--dns', '192.0.2.2']).dns.servers, ['192.0.2.1', '192.0.2.2']);
});

test('the same thing in flag and file, unknown keys, and files that are none', () => {
  const failure = (args: readonly string[], content: unknown): string => {
    try {
      load(args, content);
    } catch (error) {
      return (error as Error).message.replace(/file \S+:/, 'file F:');
    }
    return 'accepted';
  };
  const head = 'unable to configure the daemon with file F: ';
  for (const [args, content, message] of [
    [
      ['--mtu', '1400'],
      { mtu: 1300 },
      'the following directives are specified both as a flag and in the configuration file: mtu: (from flag: 1400, from file: 1300)',
    ],
    [
      ['-H', 'unix:///a'],
      { hosts: ['unix:///b'] },
      'the following directives are specified both as a flag and in the configuration file: hosts: (from flag: [unix:///a], from file: [unix:///b])',
    ],
    [
      ['--mtu', '1400', '--bip', '10.0.0.1/24', '--default-address-pool', 'base=10.1.0.0/16,size=24'],
      { mtu: 1300, bip: '10.0.1.1/24', 'default-address-pools': [{ size: 24, base: '10.0.0.0/8' }] },
      'the following directives are specified both as a flag and in the configuration file: ' +
        'bip: (from flag: 10.0.0.1/24, from file: 10.0.1.1/24), ' +
        'default-address-pools: (from flag: [base=10.1.0.0/16,size=24], from file: [map[base:10.0.0.0/8 size:24]]), ' +
        'mtu: (from flag: 1400, from file: 1300)',
    ],
    [[], { mtuu: 1, nope: 2 }, "the following directives don't match any configuration option: mtuu, nope"],
    [[], { mtu: '1400' }, 'mtu: it is a whole number, not "1400"'],
    [[], { debug: 'yes' }, 'debug: it is true or false, not "yes"'],
    [[], { hosts: 'unix:///a' }, 'hosts: it is a list of texts, not "unix:///a"'],
    [
      [],
      { 'default-address-pools': [{ base: '10.0.0.0/8' }] },
      'default-address-pools: it is a list of { "base": "CIDR", "size": BITS }',
    ],
    [[], '[]', 'invalid JSON: the file is not one object'],
  ] as const) {
    assert.equal(failure(args, content), head + message);
  }
  assert.match(failure([], '{'), /^unable to configure the daemon with file F: invalid JSON: /);
  assert.throws(() => loadConfig(parseFlags(['--config-file', '/nonexistent.json'])), { message: /ENOENT/ });
  assert.equal(failure([], ''), 'accepted', 'an empty file is no configuration');
});

test('bad values say what is allowed', () => {
  for (const [args, message] of [
    [['--data-root', 'x'], /^invalid data-root "x": it has to be an absolute path$/],
    [['--mtu', '20'], /^invalid mtu 20: it is 68 to 65535 bytes$/],
    [['--bip', '10.0.0.1'], /^invalid bip: invalid CIDR address: 10\.0\.0\.1$/],
    [['--bip', '10.0.0.0/24'], /^invalid bip 10\.0\.0\.0\/24: it is the network address of 10\.0\.0\.0\/24, and has to be /],
    [['--bip', 'fd00::1/64'], /^invalid bip fd00::1\/64: it is an IPv4 address with prefix length$/],
    [['--fixed-cidr', '10.0.0.1/24'], /^invalid fixed-cidr: invalid subnet 10\.0\.0\.1\/24: it should be 10\.0\.0\.0\/24$/],
    [['--ip', 'fd00::1'], /^invalid ip fd00::1: it is an IPv4 address$/],
    [['--default-address-pool', '10.0.0.0/8'], /^invalid default-address-pool "10\.0\.0\.0\/8": it is base=CIDR,size=BITS$/],
    [['--default-address-pool', 'base=10.0.0.0/8,size=7'], /its subnets are \/7, they must be \/8 to \/32$/],
    [['--default-network-opt', 'bridge'], /it is driver=opt=value$/],
    [['--log-level', 'loud'], /^invalid logging level: loud: it is one of debug, info, warn, error$/],
    [['--log-format', 'xml'], /^invalid log format: xml: it is text or json$/],
    [['--instance', 'a/b'], /^invalid instance "a\/b"/],
    [['--instance', 'production'], /^invalid instance "production": up to 9 letters/],
    [['-H', 'moor.sock'], /^invalid host "moor\.sock": it is unix:\/\/PATH, fd:\/\/ or tcp:\/\/ADDRESS:PORT$/],
    [['-H', 'unix://moor.sock'], /the path of the socket is absolute$/],
    [['-H', `unix:///${'x'.repeat(120)}`], /has at most 107 bytes$/],
    [['-H', 'tcp://:2375'], /it is tcp:\/\/ADDRESS:PORT with an IP address$/],
    [['-H', 'tcp://0.0.0.0:2375'], /without TLS only loopback addresses are allowed; --insecure-tcp allows it all the same$/],
    [['-H', 'tcp://127.0.0.1:99999'], /it is tcp:\/\/ADDRESS:PORT with an IP address$/],
  ] as const) {
    assert.throws(() => load(args), { kind: 'invalid', message });
  }
  assert.deepEqual(load(['-H', 'tcp://0.0.0.0:2375', '--insecure-tcp']).hosts, [{ type: 'tcp', host: '0.0.0.0', port: 2375 }]);
  assert.deepEqual(load(['-H', 'tcp://[::1]:2375']).hosts, [{ type: 'tcp', host: '::1', port: 2375 }]);
  assert.deepEqual(load(['-H', 'fd://']).hosts, [{ type: 'fd', name: '' }]);
  assert.deepEqual(load(['-H', 'unix://']).hosts, [{ type: 'unix', path: '/run/moor/moor.sock' }], "as dockerd's default");
});

test('help names every flag once', () => {
  const help = helpText();
  for (const flag of FLAGS as readonly Flag[]) assert.equal(help.split(`--${flag.name} `).length > 1, true, flag.name);
  assert.match(help, /Examples:/);
});

test('the cluster', () => {
  const { clusterStore, peersFile, clusterAdvertise, nodeName } = load([], {
    'cluster-store': 'etcd://a,b:2380/moor',
    'cluster-advertise': 'eth1',
    'node-name': 'n1',
  });
  assert.deepEqual([clusterStore, peersFile, clusterAdvertise, nodeName], ['etcd://a,b:2380/moor', null, 'eth1', 'n1']);
  assert.equal(load(['--peers', 'peers.yaml']).peersFile, resolve('peers.yaml'));
  assert.equal(load(['--peers', '/etc/moor/peers.yaml', '--cluster-advertise', 'fd00::1']).clusterAdvertise, 'fd00::1');
  for (const [text, where] of [
    ['eth1:2376', 'eth1'],
    ['192.0.2.1:2376', '192.0.2.1'],
    ['[fd00::1]:2376', 'fd00::1'],
  ] as const)
    assert.equal(
      load(['--cluster-store', 'etcd://a', '--cluster-advertise', text]).clusterAdvertise,
      where,
      'as Docker wrote it',
    );
  const pools = load(['--cluster-store', 'etcd://a'], {
    'cluster-address-pools': [{ base: '10.64.0.0/10', size: 22 }],
  }).clusterPools;
  assert.deepEqual(pools, [{ base: '10.64.0.0/10', size: 22 }]);
  const lasting = load(['--cluster-store', 'etcd://a', '--node-ttl', '5s', '--subnet-ttl', '90m', '--flannel-dir', '/run/f']);
  assert.deepEqual([lasting.nodeTtlMs, lasting.subnetTtlMs, lasting.flannelFolder], [5_000, 5_400_000, '/run/f']);
  const usual = load(['--cluster-store', 'etcd://a']);
  assert.deepEqual([usual.nodeTtlMs, usual.subnetTtlMs, usual.flannelFolder], [null, null, '/run/flannel']);
  for (const [args, message] of [
    [['--cluster-store', 'etcd://a', '--node-ttl', '1s'], /^invalid node-ttl "1s": it is 2s to 1h, such as 30s or 24h$/],
    [['--cluster-store', 'etcd://a', '--node-ttl', '30'], /^invalid node-ttl "30"/],
    [['--cluster-store', 'etcd://a', '--subnet-ttl', '721h'], /^invalid subnet-ttl "721h": it is 2s to 720h/],
    [['--peers', '/p', '--node-ttl', '5s'], /^invalid node-ttl: this host shares no store/],
    [['--flannel-dir', 'run'], /^invalid flannel-dir "run": it has to be an absolute path$/],
    [['--cluster-store', 'redis://a'], /^invalid cluster-store: unknown store "redis:\/\/": it is etcd:/],
    [['--cluster-store', 'etcd://a', '--peers', '/p'], /^invalid peers: there is a cluster-store as well/],
    [['--node-name', 'n1'], /^invalid node-name: this host is in no cluster/],
    [['--cluster-advertise', 'eth1'], /^invalid cluster-advertise: this host is in no cluster/],
    [['--peers', '/p', '--cluster-advertise', 'eth1:x'], /^invalid cluster-advertise "eth1:x": it is a device or an IP address$/],
    [['--cluster-address-pool', 'base=10.0.0.0/8,size=24'], /^invalid cluster-address-pool: this host shares no store/],
    [
      ['--cluster-store', 'etcd://a', '--cluster-address-pool', '10.0.0.0/8'],
      /^invalid cluster-address-pool "10\.0\.0\.0\/8": it is base=/,
    ],
    [['--peers', '/p', '--node-name', 'a b'], /^invalid node-name: /],
  ] as const) {
    assert.throws(
      () => load(args),
      (error: unknown) => error instanceof Error && message.test(error.message),
      args.join(' '),
    );
  }
});
