/**
 * What may stand in a command that libnftables reads. nft(8) has no escape for a quote inside a string, and `;`, `{`, `#` and a
 * line end start something new, so text is checked against what is allowed and never escaped.
 */
import { invalid } from '../base/errors.ts';
import { shown } from '../base/shown.ts';

/** NFT_NAME_MAXLEN (<linux/netfilter/nf_tables.h>) is 256 with its NUL. */
const NAME_MAX = 255;
/** NFTNL_UDATA_COMMENT_MAXLEN (libnftnl udata.h) is 128 with its NUL; bytes, not characters. */
const COMMENT_MAX = 127;
/** IFNAMSIZ (<linux/if.h>) is 16 with its NUL. */
const IFNAME_MAX = 15;

/** Whether it can be the name of a table, chain or set in what we write. */
export const isName = (name: string): boolean => /^[A-Za-z_][A-Za-z0-9_.-]*$/.test(name) && name.length <= NAME_MAX;

/** The name of a table, chain or set. @throws invalid */
export function checkName(name: string): string {
  if (!isName(name)) throw invalid(`invalid nftables name: ${show(name)}`);
  return name;
}

/** A rule's comment, quoted. @throws invalid for a quote, a control character or more than 127 bytes. */
export function quoteComment(comment: string): string {
  if (comment === '' || /["\p{Cc}]/u.test(comment) || Buffer.byteLength(comment) > COMMENT_MAX) {
    throw invalid(`invalid nftables comment: ${show(comment)}`);
  }
  return `"${comment}"`;
}

/**
 * The name of a device as a set key of type `ifname`. The kernel accepts names with a quote, a backslash or an asterisk, nft does
 * not tell them from its own syntax. @throws invalid
 */
export function quoteIfname(name: string): string {
  if (name === '' || Buffer.byteLength(name) > IFNAME_MAX || /["\\*/\s\p{Cc}]/u.test(name)) {
    throw invalid(`invalid device name for nftables: ${show(name)}`);
  }
  return `"${name}"`;
}

const QUOTED = '"[^"\\\\\\p{Cc}]*"';
/** A word, number, address, prefix, interval or MAC. */
const ATOM = '[A-Za-z0-9_][A-Za-z0-9_./:-]*|::[0-9a-f:./-]*';
const CONCAT = new RegExp(`^(?:${QUOTED}|${ATOM})(?: \\. (?:${QUOTED}|${ATOM}))*$`, 'u');
const VERDICT = /^(?:accept|drop|return|continue|(?:jump|goto) ([A-Za-z_][A-Za-z0-9_.-]*))$/;

/** A part of what CONCAT allows, and nearly all keys: without Unicode it costs a fraction. */
const PLAIN = /^(?:"[\w.@-]+"|\w[\w.:/-]*)(?: \. (?:"[\w.@-]+"|\w[\w.:/-]*))*$/;

/** A set key or map value: atoms joined by ` . `. @throws invalid */
export function checkKey(key: string): string {
  if (!PLAIN.test(key) && !CONCAT.test(key)) throw invalid(`invalid nftables set key: ${show(key)}`);
  return key;
}

/** A map's value: data, or a verdict. @throws invalid */
export function checkValue(value: string): string {
  if (!VERDICT.test(value) && (!CONCAT.test(value) || /^(?:jump|goto|queue)$/.test(value)))
    throw invalid(`invalid nftables map value: ${show(value)}`);
  return value;
}

/** A set's data type: `ipv4_addr . inet_service`. @throws invalid */
export function checkType(type: string): string {
  if (!/^[a-z0-9_]+(?: \. [a-z0-9_]+)*$/.test(type)) throw invalid(`invalid nftables type: ${show(type)}`);
  return type;
}

/** A chain's priority as nft prints it: `filter`, `dstnat - 10`, `-300`. @throws invalid */
export function checkPriority(priority: string): string {
  if (!/^(?:-?\d+|[a-z]+(?: [+-] \d+)?)$/.test(priority)) throw invalid(`invalid nftables priority: ${show(priority)}`);
  return priority;
}

/** Statements and expressions of one rule: no separator, no comment sign, brackets in pairs. @throws invalid */
export function checkExpr(expr: string): string {
  const plain = expr.replaceAll(new RegExp(QUOTED, 'gu'), '""');
  if (expr.trim() === '' || !/^(?:""|[A-Za-z0-9_ .:/,<>=!&|^@*()+{}-])+$/.test(plain) || !balanced(plain)) {
    throw invalid(`invalid nftables rule: ${show(expr)}`);
  }
  return expr;
}

function balanced(text: string): boolean {
  const open: string[] = [];
  for (const char of text) {
    if (char === '{' || char === '(') open.push(char);
    if ((char === '}' && open.pop() !== '{') || (char === ')' && open.pop() !== '(')) return false;
  }
  return open.length === 0;
}

/** IPPROTO_*, <linux/in.h>. nft reads these names everywhere, and prints them only where /etc/protocols has them (Debian: netbase). */
const PROTOCOLS: Readonly<Record<string, number>> = { tcp: 6, udp: 17, sctp: 132 };

export const protocolName = (number: number): string | undefined =>
  Object.keys(PROTOCOLS).find((name) => PROTOCOLS[name] === number);

/** A key as nft prints it where it knows no names of protocols. */
export const numericKey = (key: string): string =>
  key
    .split(' . ')
    .map((atom) => String(PROTOCOLS[atom] ?? atom))
    .join(' . ');

const show = (text: string): string => JSON.stringify(shown(text));
