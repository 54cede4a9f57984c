/**
 * Names of images, in Docker's grammar (github.com/distribution/reference, its README has the EBNF): what is accepted, how a short name
 * is completed, how a full one is shown, and Docker's own words for what is wrong.
 */
import { invalid } from '../../base/errors.ts';

/** A name, completed: `busybox` is `docker.io/library/busybox`. */
export interface Reference {
  /** `docker.io`, `127.0.0.1:5000` */
  readonly domain: string;
  /** `library/busybox` */
  readonly path: string;
  readonly tag: string | null;
  /** `sha256:…` */
  readonly digest: string | null;
}

export const DEFAULT_DOMAIN = 'docker.io';
const OLD_DEFAULT_DOMAIN = 'index.docker.io';
const OFFICIAL = 'library';
const DEFAULT_TAG = 'latest';
/** Of domain and path together. */
const NAME_MAX = 255;

// The grammar writes `-*` in SEPARATOR; `-+` accepts the same names and cannot be made to backtrack exponentially.
const SEPARATOR = '(?:[._]|__|-+)';
const COMPONENT = `[a-z0-9]+(?:${SEPARATOR}[a-z0-9]+)*`;
const HOST_PART = '[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?';
const DOMAIN = `(?:${HOST_PART}(?:\\.${HOST_PART})*|\\[(?:[a-fA-F0-9:]+)\\])(?::[0-9]+)?`;
const TAG = '[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}';
const DIGEST = '[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}';
const REFERENCE = new RegExp(`^((?:${DOMAIN}/)?${COMPONENT}(?:/${COMPONENT})*)(?::(${TAG}))?(?:@(${DIGEST}))?$`);
/** The longest text that is matched at all: name, tag, digest (sha512). */
const TEXT_MAX = NAME_MAX + 1 + 128 + 1 + 200;

/** The only digest that images are named by here. */
const SHA256 = /^sha256:[0-9a-f]{64}$/;
export const isDigest = (text: string): boolean => SHA256.test(text);

/**
 * Reads `[DOMAIN/]PATH[:TAG][@DIGEST]` and completes the name; the tag stays null when none is given.
 * @throws invalid with Docker's texts (`invalid reference format`, …)
 */
export function parseReference(text: string): Reference {
  if (/^[a-f0-9]{64}$/.test(text)) {
    throw invalid(`invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`);
  }
  const { domain, rest } = splitDomain(text);
  const colon = rest.indexOf(':');
  const remote = colon < 0 ? rest : rest.slice(0, colon);
  if (remote.toLowerCase() !== remote) throw invalid('invalid reference format: repository name must be lowercase');
  const full = `${domain}/${rest}`;
  const match = full.length > TEXT_MAX ? null : REFERENCE.exec(full);
  if (!match) throw invalid('invalid reference format');
  const [, name = '', tag = null, digest = null] = match;
  if (name.length > NAME_MAX)
    throw invalid(`invalid reference format: repository name must not be more than ${NAME_MAX} characters`);
  if (digest !== null && !isDigest(digest)) {
    throw invalid(digest.startsWith('sha256:') ? 'invalid checksum digest length' : 'unsupported digest algorithm');
  }
  return { domain, path: name.slice(domain.length + 1), tag, digest };
}

/** The first part is a host when it looks like one: it has a dot, a colon, an upper-case letter, or is `localhost`. */
function splitDomain(text: string): { readonly domain: string; readonly rest: string } {
  const slash = text.indexOf('/');
  const first = text.slice(0, slash);
  const isHost = slash >= 0 && (/[.:]/.test(first) || first === 'localhost' || first.toLowerCase() !== first);
  const domain = !isHost || first === OLD_DEFAULT_DOMAIN ? DEFAULT_DOMAIN : first;
  const rest = isHost ? text.slice(slash + 1) : text;
  return { domain, rest: domain === DEFAULT_DOMAIN && !rest.includes('/') ? `${OFFICIAL}/${rest}` : rest };
}

/** With `latest` when there is neither tag nor digest. */
export const withTag = (reference: Reference): Reference =>
  reference.tag === null && reference.digest === null ? { ...reference, tag: DEFAULT_TAG } : reference;

/** `docker.io/library/busybox` */
export const fullName = ({ domain, path }: Reference): string => `${domain}/${path}`;

/** `busybox` */
export function familiarName({ domain, path }: Reference): string {
  if (domain !== DEFAULT_DOMAIN) return `${domain}/${path}`;
  const [first, second, ...more] = path.split('/');
  return first === OFFICIAL && second !== undefined && more.length === 0 ? second : path;
}

const suffix = ({ tag, digest }: Reference): string => `${tag === null ? '' : `:${tag}`}${digest === null ? '' : `@${digest}`}`;

/** `docker.io/library/busybox:latest`: the key under which a name is kept. */
export const fullText = (reference: Reference): string => fullName(reference) + suffix(reference);

/** `busybox:latest`: as Docker shows it. */
export const familiarText = (reference: Reference): string => familiarName(reference) + suffix(reference);
