/** By which names others on a network find an endpoint. Docker's rules. Pure. */
import { invalid } from '../base/errors.ts';
import { type Id, shortId } from '../base/ids.ts';
import { shown } from '../base/shown.ts';
import type { Endpoint } from './sandbox.ts';

/** RFC 1035, section 2.3.4, in bytes: a name, as text without the last dot, and a label. */
const NAME_MAX = 253;
const LABEL_MAX = 63;

/** Whether something can be asked for in a DNS query: labels of any printable ASCII character, for Docker's names have `_` and more. */
export const isDnsName = (name: string): boolean =>
  name.length <= NAME_MAX && name.split('.').every((label) => label.length <= LABEL_MAX && /^[!-~]+$/.test(label));

/** In Docker's order; the first one is what a reverse lookup answers. What cannot be asked for, such as a name of 100 characters, is left out. */
export function dnsNames(
  sandbox: { readonly id: Id; readonly name: string; readonly hostname: string },
  { aliases }: Pick<Endpoint, 'aliases'>,
): string[] {
  return [...new Set([sandbox.name, ...aliases, shortId(sandbox.id), sandbox.hostname])].filter(isDnsName);
}

/** @throws invalid for what nobody could ask for. Docker takes it in silence. */
export function checkAlias(alias: string): string {
  if (!isDnsName(alias)) {
    throw invalid(
      `invalid network alias ${JSON.stringify(shown(alias))}: labels of 1 to ${LABEL_MAX} printable characters, at most ${NAME_MAX} in all`,
    );
  }
  return alias;
}

/** A `--link`: another name for a container, for the one that has the link. */
export interface Link {
  readonly name: string;
  readonly alias: string;
}

/** `name[:alias]`; old clients write `/name:/container/alias`. @throws invalid with Docker's texts */
export function parseLink(text: string): Link {
  if (text === '') throw invalid('empty string specified for links');
  const [name = '', alias = name, ...more] = text.split(':');
  if (more.length > 0 || name === '' || alias === '') throw invalid(`bad format for links: ${text.slice(0, 128)}`);
  if (!text.startsWith('/')) return { name, alias };
  return { name: name.slice(1), alias: alias.slice(alias.lastIndexOf('/') + 1) };
}
