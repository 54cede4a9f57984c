/** `-H` values: where the API listens. */
import { isAbsolute } from 'node:path';
import { invalid } from '../../base/errors.ts';
import { isIp } from '../../base/ip.ts';

export type ListenAddress =
  | { readonly type: 'unix'; readonly path: string }
  /** Sockets that systemd made and passed on. */
  | { readonly type: 'fd'; readonly name: string }
  | { readonly type: 'tcp'; readonly host: string; readonly port: number };

/** Where it listens unless it is told, and for `unix://` alone, as dockerd's at its own. */
const DEFAULT_SOCKET = '/run/moor/moor.sock';
export const DEFAULT_HOST = `unix://${DEFAULT_SOCKET}`;

/** unix(7): `sun_path` is 108 bytes with its final NUL. */
const PATH_MAX = 107;

/** @param insecure addresses that others can reach are allowed although there is no TLS @throws invalid */
export function parseHost(text: string, insecure: boolean): ListenAddress {
  const match = /^([a-z]+):\/\/(.*)$/s.exec(text);
  if (!match) throw invalid(`invalid host ${JSON.stringify(text)}: it is unix://PATH, fd:// or tcp://ADDRESS:PORT`);
  const [, scheme = '', rest = ''] = match;
  switch (scheme) {
    case 'unix':
      if (rest === '') return { type: 'unix', path: DEFAULT_SOCKET };
      if (!isAbsolute(rest)) throw invalid(`invalid host ${text}: the path of the socket is absolute`);
      if (Buffer.byteLength(rest) > PATH_MAX)
        throw invalid(`invalid host ${text}: the path of a socket has at most ${PATH_MAX} bytes`);
      return { type: 'unix', path: rest };
    case 'fd':
      return { type: 'fd', name: rest };
    case 'tcp':
      return tcpAddress(text, rest, insecure);
    default:
      throw invalid(`invalid host ${text}: it is unix://PATH, fd:// or tcp://ADDRESS:PORT`);
  }
}

function tcpAddress(text: string, rest: string, insecure: boolean): ListenAddress {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})\/?$/.exec(rest);
  const host = match?.[1] ?? match?.[2] ?? '';
  const port = Number(match?.[3] ?? 0);
  if (!match || !isIp(host) || port < 1 || port > 65535)
    throw invalid(`invalid host ${text}: it is tcp://ADDRESS:PORT with an IP address`);
  if (!insecure && !host.startsWith('127.') && host !== '::1') {
    throw invalid(`invalid host ${text}: without TLS only loopback addresses are allowed; --insecure-tcp allows it all the same`);
  }
  return { type: 'tcp', host, port };
}

/** The address as `-H` writes it. */
export function hostText(address: ListenAddress): string {
  switch (address.type) {
    case 'unix':
      return `unix://${address.path}`;
    case 'fd':
      return `fd://${address.name}`;
    case 'tcp':
      return `tcp://${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`;
    default:
      return address satisfies never;
  }
}
