/** The rules for names that Docker users know, and the names on the host that follow from ids. */
import { invalid } from '../base/errors.ts';
import type { Id } from '../base/ids.ts';
import { shown } from '../base/shown.ts';

/** Docker's `RestrictedNamePattern`, [a-zA-Z0-9][a-zA-Z0-9_.-], for names of containers and (since 2.x of libnetwork) networks. */
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
/** Our own limit: a name must fit a log line, a label and a DNS name of 253 characters. */
const NAME_MAX = 253;

/** @throws invalid with Docker's text. */
export function checkNetworkName(name: string): string {
  if (name.trim() === '') throw invalid('invalid network name: name is empty');
  if (name.length > NAME_MAX)
    throw invalid(`invalid network name: ${shown(name)}: ${name.length} characters, at most ${NAME_MAX} are allowed`);
  if (!NAME.test(name)) {
    throw invalid(`invalid network name "${shown(name)}": only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`);
  }
  return name;
}

/** @throws invalid with Docker's text for container names. */
export function checkSandboxName(name: string): string {
  if (!NAME.test(name) || name.length < 2 || name.length > NAME_MAX) {
    throw invalid(`Invalid container name (${shown(name)}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`);
  }
  return name;
}

/** @throws invalid unless the text is a host name: labels of letters, digits, `-` and `_`, 64 bytes at most (HOST_NAME_MAX). */
export function checkHostname(name: string): string {
  if (
    name.length > 64 ||
    !/^[a-zA-Z0-9_]([a-zA-Z0-9_-]*[a-zA-Z0-9_])?(\.[a-zA-Z0-9_]([a-zA-Z0-9_-]*[a-zA-Z0-9_])?)*$/.test(name)
  ) {
    throw invalid(`invalid hostname: ${shown(name)}`);
  }
  return name;
}

/** @throws invalid unless the kernel takes it: 1 to 15 bytes, no slash, space or colon, not `.` or `..` (dev_valid_name()). */
export function checkInterfaceName(name: string): string {
  if (!/^[!-~]{1,15}$/.test(name) || /[/:]/.test(name) || name === '.' || name === '..') {
    throw invalid(`invalid interface name: ${shown(name)}: 1 to 15 printable characters without '/' and ':'`);
  }
  return name;
}

/** Bridge of a network: `br-` and the first 12 digits, as Docker's. */
export const bridgeName = (network: Id): string => `br-${network.slice(0, 12)}`;

/** Host end of an endpoint's veth pair: `veth` and 7 hex digits, as Docker's. */
export const hostVethName = (endpoint: Id): string => `veth${endpoint.slice(0, 7)}`;

/** IFLA_IFALIAS of a link: which instance and which network or endpoint owns it. */
export const ownerAlias = (instance: string, owner: Id): string => `moor:${instance}:${owner}`;

/** @returns the parts of an alias of ours, or null. */
export function parseOwnerAlias(alias: string): { readonly instance: string; readonly owner: string } | null {
  const match = /^moor:([a-zA-Z0-9_-]*):([0-9a-f]{64})$/.exec(alias);
  return match ? { instance: match[1] ?? '', owner: match[2] ?? '' } : null;
}
