/**
 * Flags of moord as data: parsing, the configuration file, `--help` and the docs all come from this table. Names and keys are
 * dockerd's where dockerd has the flag.
 */
import { invalid } from '../../base/errors.ts';

/** `list` may be given several times. */
export type FlagKind = 'text' | 'boolean' | 'integer' | 'list';

export interface Flag {
  readonly name: string;
  readonly short?: string;
  readonly kind: FlagKind;
  /** Key in the configuration file; dockerd names some lists in the plural. null: not in the file. */
  readonly key: string | null;
  /** Placeholder of the value in `--help`. */
  readonly value?: string;
  readonly help: string;
}

export const FLAGS = [
  {
    name: 'host',
    short: 'H',
    kind: 'list',
    key: 'hosts',
    value: 'list',
    help: 'Socket to listen on (default unix:///run/moor/moor.sock); also fd:// and tcp://ADDRESS:PORT',
  },
  {
    name: 'data-root',
    kind: 'text',
    key: 'data-root',
    value: 'path',
    help: 'Folder of state that survives a reboot (default /var/lib/moor)',
  },
  { name: 'exec-root', kind: 'text', key: 'exec-root', value: 'path', help: 'Folder of state that does not (default /run/moor)' },
  {
    name: 'pidfile',
    short: 'p',
    kind: 'text',
    key: 'pidfile',
    value: 'path',
    help: 'File for the process id (default EXEC-ROOT/moord.pid)',
  },
  {
    name: 'instance',
    kind: 'text',
    key: 'instance',
    value: 'word',
    help: 'Name of this daemon among several on one network stack',
  },
  { name: 'bip', kind: 'text', key: 'bip', value: 'cidr', help: 'IPv4 address and prefix length of the default bridge' },
  { name: 'bip6', kind: 'text', key: 'bip6', value: 'cidr', help: 'IPv6 address and prefix length of the default bridge' },
  {
    name: 'fixed-cidr',
    kind: 'text',
    key: 'fixed-cidr',
    value: 'cidr',
    help: 'IPv4 range that the default bridge gives addresses from',
  },
  { name: 'fixed-cidr-v6', kind: 'text', key: 'fixed-cidr-v6', value: 'cidr', help: 'IPv6 subnet of the default bridge' },
  {
    name: 'default-address-pool',
    kind: 'list',
    key: 'default-address-pools',
    value: 'base=CIDR,size=BITS',
    help: 'Subnets for networks that name none',
  },
  {
    name: 'default-network-opt',
    kind: 'list',
    key: 'default-network-opts',
    value: 'driver=opt=value',
    help: 'Option of every new network of a driver',
  },
  { name: 'dns', kind: 'list', key: 'dns', value: 'ip', help: "Nameserver of sandboxes that name none (default: the host's)" },
  { name: 'dns-opt', kind: 'list', key: 'dns-opts', value: 'option', help: 'Option of resolv.conf, likewise' },
  { name: 'dns-search', kind: 'list', key: 'dns-search', value: 'domain', help: 'Search domain, likewise; . alone for none' },
  { name: 'mtu', kind: 'integer', key: 'mtu', value: 'bytes', help: 'MTU of the default bridge (default: that of the uplink)' },
  { name: 'ipv6', kind: 'boolean', key: 'ipv6', help: 'IPv6 on the default bridge' },
  { name: 'icc', kind: 'boolean', key: 'icc', help: 'Let sandboxes on the default bridge reach each other (default true)' },
  { name: 'ip', kind: 'text', key: 'ip', value: 'ip', help: 'Host address that published ports bind to (default 0.0.0.0)' },
  { name: 'ip-masq', kind: 'boolean', key: 'ip-masq', help: 'Masquerade what leaves the default bridge (default true)' },
  {
    name: 'loopback-shortcut',
    kind: 'boolean',
    key: 'loopback-shortcut',
    help: 'Let TCP from this host to ports published at 127.0.0.1 and [::1] go straight to the sandbox, by eBPF (default true)',
  },
  {
    name: 'cluster-store',
    kind: 'text',
    key: 'cluster-store',
    value: 'url',
    help: 'Store of the cluster, for networks that span hosts: etcd://HOST:2379[,HOST2:2379][/prefix][?ca=FILE&cert=FILE&key=FILE], or consul://HOST:8500... or zk://HOST:2181... likewise',
  },
  {
    name: 'cluster-advertise',
    kind: 'text',
    key: 'cluster-advertise',
    value: 'device|ip',
    help: 'Device, or address of one, by which the other hosts reach this one (default: that of the default route)',
  },
  {
    name: 'cluster-address-pool',
    kind: 'list',
    key: 'cluster-address-pools',
    value: 'base=CIDR,size=BITS',
    help: 'Subnets for overlay networks that name none (default: base=10.0.0.0/8,size=24)',
  },
  {
    name: 'node-name',
    kind: 'text',
    key: 'node-name',
    value: 'name',
    help: "Name of this host in the cluster (default: the host's name)",
  },
  {
    name: 'node-ttl',
    kind: 'text',
    key: 'node-ttl',
    value: 'duration',
    help: 'How long the others wait for a sign of life of this host until they take it for dead: 2s to 1h (default 30s)',
  },
  {
    name: 'subnet-ttl',
    kind: 'text',
    key: 'subnet-ttl',
    value: 'duration',
    help: 'How long a host that is away keeps its subnets: 2s to 720h (default 24h)',
  },
  {
    name: 'flannel-dir',
    kind: 'text',
    key: 'flannel-dir',
    value: 'path',
    help: "Folder of subnet.env, for networks in flannel's layout (default /run/flannel)",
  },
  {
    name: 'peers',
    kind: 'text',
    key: 'peers',
    value: 'path',
    help: 'File with name, address and subnet of each host, instead of a store',
  },
  {
    name: 'tunnel-priority',
    kind: 'boolean',
    key: 'tunnel-priority',
    help: 'Let tunnels of networks with backend udp go before all other programs: for hosts whose CPUs are busy (default false)',
  },
  {
    name: 'tunnel-fastpath',
    kind: 'boolean',
    key: 'tunnel-fastpath',
    help: 'Let TCP in networks with backend udp go past the tunnel process, in the kernel, by eBPF (default true)',
  },
  {
    name: 'group',
    short: 'G',
    kind: 'text',
    key: 'group',
    value: 'name',
    help: 'Group of the UNIX socket (default: docker, when there is one)',
  },
  {
    name: 'insecure-tcp',
    kind: 'boolean',
    key: 'insecure-tcp',
    help: 'Allow tcp:// on other addresses than the loopback, without TLS: whoever reaches it is root here',
  },
  {
    name: 'config-file',
    kind: 'text',
    key: null,
    value: 'path',
    help: 'Configuration file (default /etc/moor/daemon.json, when it exists)',
  },
  { name: 'debug', short: 'D', kind: 'boolean', key: 'debug', help: 'Log at level debug' },
  {
    name: 'log-level',
    short: 'l',
    kind: 'text',
    key: 'log-level',
    value: 'level',
    help: 'debug, info, warn or error (default info)',
  },
  { name: 'log-format', kind: 'text', key: 'log-format', value: 'format', help: 'text or json (default text)' },
  { name: 'validate', kind: 'boolean', key: null, help: 'Check flags and configuration file, and exit' },
  { name: 'version', short: 'v', kind: 'boolean', key: null, help: 'Print the version and exit' },
  { name: 'help', short: 'h', kind: 'boolean', key: null, help: 'Print this help and exit' },
] as const satisfies readonly Flag[];

export type FlagName = (typeof FLAGS)[number]['name'];

/** A flag's value as text, in the order given; a boolean is `true` or `false`. */
export type FlagValues = ReadonlyMap<FlagName, readonly string[]>;

/**
 * As pflag, which dockerd uses: `--name value`, `--name=value`, `-n value`, `-nvalue`, `-n=value`; a boolean takes a value only
 * with `=`; the last one wins, except for lists.
 * @throws invalid for an unknown flag, a missing value, a value that is no boolean or integer, and for arguments
 */
export function parseFlags(args: readonly string[]): FlagValues {
  const values = new Map<FlagName, string[]>();
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] ?? '';
    const found = findFlag(arg);
    const { flag, shown } = found;
    let { value } = found;
    if (value === undefined && flag.kind === 'boolean') value = 'true';
    if (value === undefined) {
      value = args[++i];
      if (value === undefined) throw invalid(`flag needs an argument: ${shown}`);
    }
    const text = checkFlag(flag, value, shown);
    const name = flag.name as FlagName;
    values.set(name, flag.kind === 'list' ? [...(values.get(name) ?? []), text] : [text]);
  }
  return values;
}

function findFlag(arg: string): { readonly flag: Flag; readonly value: string | undefined; readonly shown: string } {
  const flags: readonly Flag[] = FLAGS;
  const long = /^--([^=]+)(?:=(.*))?$/s.exec(arg);
  if (long) {
    const flag = flags.find(({ name }) => name === long[1]);
    if (!flag) throw invalid(`unknown flag: --${long[1]}`);
    return { flag, value: long[2], shown: `--${flag.name}` };
  }
  const short = /^-([a-zA-Z])(?:=?(.+))?$/s.exec(arg);
  if (!short) throw invalid(`"moord" accepts no arguments: ${JSON.stringify(arg)}`);
  const flag = flags.find((candidate) => candidate.short === short[1]);
  if (!flag) throw invalid(`unknown shorthand flag: '${short[1]}' in ${arg}`);
  return { flag, value: short[2], shown: `-${flag.short}, --${flag.name}` };
}

function checkFlag(flag: Flag, value: string, shown: string): string {
  switch (flag.kind) {
    case 'boolean':
      if (/^(1|t|true|0|f|false)$/i.test(value)) return /^(1|t)/i.test(value) ? 'true' : 'false';
      throw invalid(`invalid argument ${JSON.stringify(value)} for "${shown}" flag: it is true or false`);
    case 'integer':
      if (/^-?\d{1,15}$/.test(value)) return String(Number(value));
      throw invalid(`invalid argument ${JSON.stringify(value)} for "${shown}" flag: it is a whole number`);
    case 'text':
    case 'list':
      return value;
    default:
      return flag.kind satisfies never;
  }
}

/** The text of `--help`. */
export function helpText(): string {
  const flags: readonly Flag[] = FLAGS;
  const rows = flags.map((flag) => {
    const names = `${flag.short ? `-${flag.short}, ` : '    '}--${flag.name}${flag.kind === 'boolean' ? '' : ` ${flag.value ?? flag.kind}`}`;
    return [names, flag.help] as const;
  });
  const width = Math.max(...rows.map(([names]) => names.length)) + 2;
  return [
    'Usage: moord [OPTIONS]',
    '',
    'The daemon of Moorline: container networks and sandboxes of one host.',
    '',
    'Options:',
    ...rows.map(([names, help]) => `  ${names.padEnd(width)}${help}`),
    '',
    'Examples:',
    '  moord                                        the usual daemon, as root',
    '  moord -H unix:///run/moor/moor.sock -D       the same, logging more',
    '  moord --bip 10.200.0.1/24 --default-address-pool base=10.201.0.0/16,size=24',
    '  moord --validate --config-file ./daemon.json check a configuration',
    '  moord --data-root T/data --exec-root T/exec --pidfile T/pid -H unix://T/moor.sock',
    '                                               a private one, in a network namespace of its own',
    '',
  ].join('\n');
}
