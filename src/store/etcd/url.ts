/**
 * Where the store is, as one text: `etcd://[user:password@]HOST[:2379][,HOST2[:2379]...][/prefix][?ca=FILE&cert=FILE&key=FILE]`.
 * What is not a letter or digit in user and password is percent-encoded, as in any URL. No error repeats the password.
 */
import { isIP } from 'node:net';
import { invalid } from '../../base/errors.ts';
import type { Credentials } from './auth.ts';
import type { Endpoint } from './session.ts';
import type { TlsFiles } from './tls.ts';

export interface EtcdAddress {
  readonly endpoints: readonly Endpoint[];
  readonly prefix: string;
  readonly auth?: Credentials;
  readonly tls?: TlsFiles;
}

/** Registered by IANA for etcd's clients. */
const PORT = 2379;
const PREFIX = '/moorline';

const TLS_NAMES = ['ca', 'cert', 'key'] as const;

/** Scheme, credentials, hosts, path and parameters; the last `@` ends the credentials. */
const PARTS = /^etcd:\/\/(?:(?<credentials>[^/?#]*)@)?(?<hosts>[^/?#@]*)(?<path>\/[^?#]*)?(?:\?(?<query>[^#]*))?$/;
/** Labels of RFC 1123 section 2.1, and underscores, which Docker's names have. */
const NAME = /^(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?$/;

/** @throws invalid, naming the part that is wrong */
export function parseEtcdUrl(text: string): EtcdAddress {
  const parts = PARTS.exec(text)?.groups;
  if (!parts) throw bad('it is not etcd://HOST:2379[,HOST2:2379]/prefix');
  const { credentials, hosts = '', path = '', query = '' } = parts;
  if (hosts === '') throw bad('it names no host');
  const endpoints = hosts.split(',').map(endpoint);
  const double = endpoints.find((one, index) =>
    endpoints.some((two, at) => at < index && two.host === one.host && two.port === one.port),
  );
  if (double) throw bad(`${double.host}:${double.port} is named twice`);
  const tls = tlsFiles(query);
  return {
    endpoints,
    prefix: prefix(path),
    ...(credentials === undefined ? {} : { auth: auth(credentials) }),
    ...(tls ? { tls } : {}),
  };
}

function endpoint(text: string): Endpoint {
  const match = /^(?:\[(?<v6>[^\]]*)\]|(?<name>[^:[\]]*))(?::(?<port>[^:]*))?$/.exec(text)?.groups;
  if (!match) throw bad(`${JSON.stringify(text)} is not HOST:PORT (an IPv6 address stands in brackets)`);
  const { v6, name, port = String(PORT) } = match;
  if (v6 !== undefined && isIP(v6) !== 6) throw bad(`${JSON.stringify(v6)} is not an IPv6 address`);
  if (name !== undefined && isIP(name) !== 4 && (!NAME.test(name) || /^[\d.]*$/.test(name)))
    throw bad(`${JSON.stringify(name)} is not a host`);
  if (!/^\d{1,5}$/.test(port) || Number(port) < 1 || Number(port) > 65_535) throw bad(`${JSON.stringify(port)} is not a port`);
  return { host: v6 ?? name ?? '', port: Number(port) };
}

function auth(text: string): Credentials {
  const colon = text.indexOf(':');
  if (colon <= 0) throw bad('credentials are user:password');
  return { user: decode(text.slice(0, colon), 'user'), password: decode(text.slice(colon + 1), 'password') };
}

function prefix(path: string): string {
  if (path === '' || path === '/') return PREFIX;
  const decoded = decode(path, 'prefix').replace(/\/$/, '');
  if (!/^(\/[!-.0-~]+)+$/.test(decoded))
    throw bad(`the prefix ${JSON.stringify(decoded)} is not made of printable ASCII segments parted by '/'`);
  return decoded;
}

function tlsFiles(query: string): TlsFiles | null {
  const files: Partial<Record<(typeof TLS_NAMES)[number], string>> = {};
  for (const [name, value] of new URLSearchParams(query)) {
    const known = TLS_NAMES.find((one) => one === name);
    if (!known) throw bad(`the parameter ${JSON.stringify(name)} is not one of ${TLS_NAMES.join(', ')}`);
    if (value === '') throw bad(`the parameter ${name} names no file`);
    if (files[known] !== undefined) throw bad(`the parameter ${name} is given twice`);
    files[known] = value;
  }
  if ((files.cert === undefined) !== (files.key === undefined)) throw bad('cert and key belong together');
  return Object.keys(files).length > 0 ? files : null;
}

function decode(text: string, what: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw bad(`the ${what} is not well percent-encoded`);
  }
}

const bad = (text: string): Error => invalid(`invalid etcd URL: ${text}`);
