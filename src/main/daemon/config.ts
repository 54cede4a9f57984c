/** Flags and configuration file -> one checked configuration. Nothing is touched here but the file is read. */
import { existsSync, readFileSync } from 'node:fs';
import { invalid } from '../../base/errors.ts';
import { familyOf, isIp, parseIp } from '../../base/ip.ts';
import type { AddressPool } from '../../ipam/local/defaults.ts';
import { isDnsName } from '../../model/dns-names.ts';
import type { SandboxDns } from '../../model/sandbox.ts';
import { type ClusterConfig, clusterOf } from './config-cluster.ts';
import { absolute, address, addressPool, cidr } from './config-values.ts';
import { type Flag, type FlagName, FLAGS, type FlagValues } from './flags.ts';
import { DEFAULT_HOST, type ListenAddress, parseHost } from './hosts.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export interface DaemonConfig extends ClusterConfig {
  readonly hosts: readonly ListenAddress[];
  readonly dataRoot: string;
  readonly execRoot: string;
  readonly pidfile: string;
  readonly instance: string;
  readonly group: string | null;
  readonly bip: string | null;
  readonly bip6: string | null;
  readonly fixedCidr: string | null;
  readonly fixedCidrV6: string | null;
  /** null: the built-in ones. */
  readonly addressPools: readonly AddressPool[] | null;
  readonly networkOptions: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly dns: SandboxDns;
  readonly mtu: number | null;
  readonly ipv6: boolean;
  readonly icc: boolean;
  readonly ip: string | null;
  readonly ipMasquerade: boolean;
  readonly loopbackShortcut: boolean;
  readonly tunnelPriority: boolean;
  readonly tunnelFastpath: boolean;
  readonly flannelFolder: string;
  readonly logLevel: LogLevel;
  readonly logFormat: 'text' | 'json';
  /** The file that was read, or null. */
  readonly file: string | null;
}

const DEFAULT_FILE = '/etc/moor/daemon.json';

/** @throws invalid; the text says which flag or key, and what is allowed */
export function loadConfig(flags: FlagValues): DaemonConfig {
  const named = flags.get('config-file')?.at(-1);
  const file = named ?? (existsSync(DEFAULT_FILE) ? DEFAULT_FILE : null);
  return checkConfig(file === null ? flags : mergeFile(flags, file), file);
}

function mergeFile(flags: FlagValues, file: string): FlagValues {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw invalid(`unable to configure the daemon with file ${file}: ${(error as Error).message}`);
  }
  try {
    return mergeValues(flags, fileValues(text));
  } catch (error) {
    throw invalid(`unable to configure the daemon with file ${file}: ${(error as Error).message}`);
  }
}

/** @throws invalid, with dockerd's text, when something is given in both places; two lists are joined in neither */
function mergeValues(flags: FlagValues, fromFile: ReadonlyMap<FlagName, FileValue>): FlagValues {
  const both = [...fromFile].filter(([name]) => flags.has(name)).sort(([a], [b]) => (a < b ? -1 : 1));
  if (both.length > 0) {
    const list = both.map(([name, { shown, key, isList }]) => {
      const given = flags.get(name) ?? [];
      return `${key}: (from flag: ${isList ? goText(given) : given.join(', ')}, from file: ${shown})`;
    });
    throw invalid(`the following directives are specified both as a flag and in the configuration file: ${list.join(', ')}`);
  }
  return new Map([...flags, ...[...fromFile].map(([name, { values }]) => [name, values] as const)]);
}

interface FileValue {
  readonly key: string;
  readonly values: readonly string[];
  readonly isList: boolean;
  /** As in dockerd's message. */
  readonly shown: string;
}

/** What Go's `%v` makes of a value out of JSON. */
function goText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(goText).join(' ')}]`;
  if (typeof value !== 'object' || value === null) return String(value);
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `map[${entries.map(([key, item]) => `${key}:${goText(item)}`).join(' ')}]`;
}

function fileValues(text: string): ReadonlyMap<FlagName, FileValue> {
  const found = new Map<FlagName, FileValue>();
  if (text.trim() === '') return found;
  let root: unknown;
  try {
    root = JSON.parse(text);
  } catch (error) {
    throw invalid(`invalid JSON: ${(error as Error).message}`);
  }
  if (typeof root !== 'object' || root === null || Array.isArray(root)) throw invalid('invalid JSON: the file is not one object');
  const unknown: string[] = [];
  for (const [key, value] of Object.entries(root) as [string, unknown][]) {
    const flag = (FLAGS as readonly Flag[]).find((candidate) => candidate.key === key);
    if (!flag) unknown.push(key);
    else if (value !== null)
      found.set(flag.name as FlagName, {
        key,
        values: valuesOf(flag, key, value),
        isList: flag.kind === 'list',
        shown: goText(value),
      });
  }
  if (unknown.length > 0) throw invalid(`the following directives don't match any configuration option: ${unknown.join(', ')}`);
  return found;
}

function valuesOf(flag: Flag, key: string, value: unknown): readonly string[] {
  if (key === 'default-address-pools' || key === 'cluster-address-pools') return poolTexts(key, value);
  if (key === 'default-network-opts') return networkOptionTexts(value);
  switch (flag.kind) {
    case 'boolean':
      if (typeof value === 'boolean') return [String(value)];
      throw invalid(`${key}: it is true or false, not ${JSON.stringify(value)}`);
    case 'integer':
      if (Number.isSafeInteger(value)) return [String(value)];
      throw invalid(`${key}: it is a whole number, not ${JSON.stringify(value)}`);
    case 'text':
      if (typeof value === 'string') return [value];
      throw invalid(`${key}: it is a text, not ${JSON.stringify(value)}`);
    case 'list':
      if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value;
      throw invalid(`${key}: it is a list of texts, not ${JSON.stringify(value)}`);
    default:
      return flag.kind satisfies never;
  }
}

/** `[{ "base": "10.0.0.0/8", "size": 24 }]` as the flag writes it. */
function poolTexts(key: string, value: unknown): readonly string[] {
  const rule = `${key}: it is a list of { "base": "CIDR", "size": BITS }`;
  if (!Array.isArray(value)) throw invalid(rule);
  return value.map((item: unknown) => {
    if (typeof item !== 'object' || item === null) throw invalid(rule);
    const { base, size, ...rest } = item as Readonly<Record<string, unknown>>;
    if (typeof base !== 'string' || typeof size !== 'number' || Object.keys(rest).length > 0) throw invalid(rule);
    return `base=${base},size=${size}`;
  });
}

/** `{ "bridge": { "option": "value" } }` as the flag writes it. */
function networkOptionTexts(value: unknown): readonly string[] {
  const rule = 'default-network-opts: it is an object of { "DRIVER": { "OPTION": "VALUE" } }';
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(rule);
  return (Object.entries(value) as [string, unknown][]).flatMap(([driver, options]) => {
    if (typeof options !== 'object' || options === null || Array.isArray(options)) throw invalid(rule);
    return (Object.entries(options) as [string, unknown][]).map(([option, text]) => {
      if (typeof text !== 'string') throw invalid(rule);
      return `${driver}=${option}=${text}`;
    });
  });
}

function checkConfig(values: FlagValues, file: string | null): DaemonConfig {
  const text = (name: FlagName): string | null => values.get(name)?.at(-1) ?? null;
  const flag = (name: FlagName, otherwise: boolean): boolean => (text(name) ?? String(otherwise)) === 'true';
  const execRoot = absolute('exec-root', text('exec-root') ?? '/run/moor');
  const mtu = text('mtu') === null ? null : Number(text('mtu'));
  if (mtu !== null && mtu !== 0 && (mtu < 68 || mtu > 65535)) throw invalid(`invalid mtu ${mtu}: it is 68 to 65535 bytes`);
  const level = text('log-level') ?? 'info';
  const format = text('log-format') ?? 'text';
  if (!isLevel(level)) throw invalid(`invalid logging level: ${level}: it is one of ${LEVELS.join(', ')}`);
  if (format !== 'text' && format !== 'json') throw invalid(`invalid log format: ${format}: it is text or json`);
  const instance = text('instance') ?? '';
  // The default bridge is called `moor0_<instance>`, and an interface name has 15 bytes (IFNAMSIZ - 1, <linux/if.h>).
  if (!/^[a-zA-Z0-9_]{0,9}$/.test(instance))
    throw invalid(`invalid instance ${JSON.stringify(instance)}: up to 9 letters, digits and _`);
  const bip = address('bip', text('bip'), 4);
  const bip6 = address('bip6', text('bip6'), 6);
  const ip = text('ip');
  if (ip !== null && (!isIp(ip) || familyOf(parseIp(ip)) !== 4)) throw invalid(`invalid ip ${ip}: it is an IPv4 address`);
  const hosts = values.get('host') ?? [DEFAULT_HOST];
  if (hosts.length === 0) throw invalid('invalid hosts: the list is empty');
  return {
    hosts: hosts.map((host) => parseHost(host, flag('insecure-tcp', false))),
    dataRoot: absolute('data-root', text('data-root') ?? '/var/lib/moor'),
    execRoot,
    pidfile: absolute('pidfile', text('pidfile') ?? `${execRoot}/moord.pid`),
    instance,
    group: text('group'),
    bip,
    bip6,
    fixedCidr: cidr('fixed-cidr', text('fixed-cidr'), 4),
    fixedCidrV6: cidr('fixed-cidr-v6', text('fixed-cidr-v6'), 6),
    addressPools: values.get('default-address-pool')?.map((one) => addressPool('default-address-pool', one)) ?? null,
    networkOptions: networkOptions(values.get('default-network-opt') ?? []),
    dns: {
      servers: (values.get('dns') ?? []).map(nameserver),
      search: (values.get('dns-search') ?? []).map(searchDomain),
      options: (values.get('dns-opt') ?? []).map(resolverOption),
    },
    mtu: mtu === 0 ? null : mtu,
    ipv6: flag('ipv6', false) || bip6 !== null,
    icc: flag('icc', true),
    ip,
    ipMasquerade: flag('ip-masq', true),
    loopbackShortcut: flag('loopback-shortcut', true),
    tunnelPriority: flag('tunnel-priority', false),
    tunnelFastpath: flag('tunnel-fastpath', true),
    ...clusterOf(text, values.get('cluster-address-pool')),
    flannelFolder: absolute('flannel-dir', text('flannel-dir') ?? '/run/flannel'),
    logLevel: flag('debug', false) ? 'debug' : level,
    logFormat: format,
    file,
  };
}

const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];
const isLevel = (text: string): text is LogLevel => (LEVELS as readonly string[]).includes(text);

function nameserver(text: string): string {
  if (!isIp(text)) throw invalid(`invalid dns ${JSON.stringify(text)}: it is an IP address`);
  return parseIp(text);
}

/** `.` alone: no search list. */
function searchDomain(text: string): string {
  if (text !== '.' && !isDnsName(text.replace(/\.$/, '')))
    throw invalid(`invalid dns-search ${JSON.stringify(text)}: it is a domain`);
  return text;
}

/** One word of an `options` line. */
function resolverOption(text: string): string {
  if (!/^[!-~]+$/.test(text)) throw invalid(`invalid dns-opt ${JSON.stringify(text)}: it is one word, as in resolv.conf(5)`);
  return text;
}

/** `bridge=com.docker.network.driver.mtu=1400` */
function networkOptions(texts: readonly string[]): Readonly<Record<string, Readonly<Record<string, string>>>> {
  const options = new Map<string, Record<string, string>>();
  for (const text of texts) {
    const match = /^([^=]+)=([^=]+)=(.*)$/s.exec(text);
    if (!match) throw invalid(`invalid default-network-opt ${JSON.stringify(text)}: it is driver=opt=value`);
    const [, driver = '', option = '', value = ''] = match;
    options.set(driver, { ...options.get(driver), [option]: value });
  }
  return Object.fromEntries(options);
}
