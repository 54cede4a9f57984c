/**
 * Where Consul is, as one text: `consul://[TOKEN@]HOST[:8500][,HOST2[:8500]...][/prefix][?ca=FILE&cert=FILE&key=FILE]`. The token, an ACL
 * secret, may come from CONSUL_HTTP_TOKEN instead, as for Consul's own commands; the URL goes first.
 */
import { type StoreAddress, StoreUrl } from '../address.ts';

export interface ConsulAddress extends StoreAddress {
  readonly token?: string;
}

/** Of the HTTP API, https as well: Consul has no usual port for that, and 8501 is only its manual's example. */
const PORT = 8500;

/** @throws invalid, naming the part that is wrong */
export function parseConsulUrl(text: string, env: Readonly<Record<string, string | undefined>> = process.env): ConsulAddress {
  const url = new StoreUrl(text, { scheme: 'consul', name: 'Consul', port: PORT });
  // Its HTTP server takes them for steps in a path.
  if (/\/\.\.?(\/|$)/.test(url.address.prefix))
    throw url.bad("the prefix has a segment '.' or '..', which Consul cannot be asked for");
  const { credentials } = url;
  if (credentials === '') throw url.bad('the token in front of @ is empty');
  const token = credentials === null ? (env['CONSUL_HTTP_TOKEN'] ?? '') : url.decode(credentials, 'token');
  // A header is made of it (RFC 9110 section 5.5).
  if (!/^[!-~]*$/.test(token)) throw url.bad('the token is not printable ASCII');
  return { ...url.address, ...(token === '' ? {} : { token }) };
}
