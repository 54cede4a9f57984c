/**
 * Where a store on servers is, as one text: `SCHEME://[CREDENTIALS@]HOST[:PORT][,HOST2[:PORT]...][/prefix][?ca=FILE&cert=FILE&key=FILE]`.
 * What is not a letter or digit in the credentials is percent-encoded, as in any URL. No error repeats them.
 */
import { isIP } from 'node:net';
import { invalid } from '../base/errors.ts';
import type { TlsFiles } from './tls.ts';

export interface Endpoint {
  /** Name or address; IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

export const endpointName = ({ host, port }: Endpoint): string => `${host.includes(':') ? `[${host}]` : host}:${port}`;

export interface UserPassword {
  readonly user: string;
  readonly password: string;
}

export interface StoreAddress {
  readonly endpoints: readonly Endpoint[];
  /** A slash in front, none behind. */
  readonly prefix: string;
  readonly tls?: TlsFiles;
}

export interface StoreUrlForm {
  /** `etcd` */
  readonly scheme: string;
  /** What errors call the store. */
  readonly name: string;
  /** Where its servers listen by default. */
  readonly port: number;
}

const PREFIX = '/moorline';

const TLS_NAMES = ['ca', 'cert', 'key'] as const;

/** Credentials, hosts, path and parameters; the last `@` ends the credentials. */
const PARTS = /^(?:(?<credentials>[^/?#]*)@)?(?<hosts>[^/?#@]*)(?<path>\/[^?#]*)?(?:\?(?<query>[^#]*))?$/;
/** Labels of RFC 1123 section 2.1, and underscores, which Docker's names have. */
const NAME = /^(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?$/;

/** The text of a URL taken apart, with errors that name the form. */
export class StoreUrl {
  /** As written; null: there are none. */
  readonly credentials: string | null;
  readonly address: StoreAddress;
  readonly #form: StoreUrlForm;

  /** @throws invalid, naming the part that is wrong */
  constructor(text: string, form: StoreUrlForm) {
    this.#form = form;
    const { scheme, port } = form;
    const parts = text.startsWith(`${scheme}://`) ? PARTS.exec(text.slice(scheme.length + 3))?.groups : undefined;
    if (!parts) throw this.bad(`it is not ${scheme}://HOST:${port}[,HOST2:${port}]/prefix`);
    const { credentials, hosts = '', path = '', query = '' } = parts;
    if (hosts === '') throw this.bad('it names no host');
    const endpoints = hosts.split(',').map((host) => this.#endpoint(host));
    const double = endpoints.find((one, index) =>
      endpoints.some((two, at) => at < index && two.host === one.host && two.port === one.port),
    );
    if (double) throw this.bad(`${double.host}:${double.port} is named twice`);
    const tls = this.#tlsFiles(query);
    this.credentials = credentials ?? null;
    this.address = { endpoints, prefix: this.#prefix(path), ...(tls ? { tls } : {}) };
  }

  /** `user:password`; null when there is nothing in front of the hosts. */
  userPassword(): UserPassword | null {
    const text = this.credentials;
    if (text === null) return null;
    const colon = text.indexOf(':');
    if (colon <= 0) throw this.bad('credentials are user:password');
    return { user: this.decode(text.slice(0, colon), 'user'), password: this.decode(text.slice(colon + 1), 'password') };
  }

  decode(text: string, what: string): string {
    try {
      return decodeURIComponent(text);
    } catch {
      throw this.bad(`the ${what} is not well percent-encoded`);
    }
  }

  bad(text: string): Error {
    return invalid(`invalid ${this.#form.name} URL: ${text}`);
  }

  #endpoint(text: string): Endpoint {
    const match = /^(?:\[(?<v6>[^\]]*)\]|(?<name>[^:[\]]*))(?::(?<port>[^:]*))?$/.exec(text)?.groups;
    if (!match) throw this.bad(`${JSON.stringify(text)} is not HOST:PORT (an IPv6 address stands in brackets)`);
    const { v6, name, port = String(this.#form.port) } = match;
    if (v6 !== undefined && isIP(v6) !== 6) throw this.bad(`${JSON.stringify(v6)} is not an IPv6 address`);
    if (name !== undefined && isIP(name) !== 4 && (!NAME.test(name) || /^[\d.]*$/.test(name)))
      throw this.bad(`${JSON.stringify(name)} is not a host`);
    if (!/^\d{1,5}$/.test(port) || Number(port) < 1 || Number(port) > 65_535)
      throw this.bad(`${JSON.stringify(port)} is not a port`);
    return { host: v6 ?? name ?? '', port: Number(port) };
  }

  #prefix(path: string): string {
    if (path === '' || path === '/') return PREFIX;
    const decoded = this.decode(path, 'prefix').replace(/\/$/, '');
    if (!/^(\/[!-.0-~]+)+$/.test(decoded))
      throw this.bad(`the prefix ${JSON.stringify(decoded)} is not made of printable ASCII segments parted by '/'`);
    return decoded;
  }

  #tlsFiles(query: string): TlsFiles | null {
    const files: Partial<Record<(typeof TLS_NAMES)[number], string>> = {};
    for (const [name, value] of new URLSearchParams(query)) {
      const known = TLS_NAMES.find((one) => one === name);
      if (!known) throw this.bad(`the parameter ${JSON.stringify(name)} is not one of ${TLS_NAMES.join(', ')}`);
      if (value === '') throw this.bad(`the parameter ${name} names no file`);
      if (files[known] !== undefined) throw this.bad(`the parameter ${name} is given twice`);
      files[known] = value;
    }
    if ((files.cert === undefined) !== (files.key === undefined)) throw this.bad('cert and key belong together');
    return Object.keys(files).length > 0 ? files : null;
  }
}
