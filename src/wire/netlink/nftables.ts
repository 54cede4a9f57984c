/** nf_tables notifications, and the rules that iptables made. <linux/netfilter/nf_tables.h> */
import { attr, attributes, message } from '../attributes.ts';
import { malformed, type Source, sourceOf } from '../bytes.ts';
import { be32, raw, text } from '../codec.ts';
import { nfgenmsg } from './header.ts';

/** NFT_MSG_NEWGEN: the end of a transaction. <linux/netfilter/nf_tables.h> */
export const nftGeneration = message(
  nfgenmsg,
  attributes('linux/netfilter/nf_tables.h', {
    id: attr('NFTA_GEN_ID', 1, be32),
    /** process id of who made it */
    pid: attr('NFTA_GEN_PROC_PID', 2, be32),
    process: attr('NFTA_GEN_PROC_NAME', 3, text),
  }),
);

/** What every other NFT_MSG_* begins with: attribute 1 is the table's name in all of them. */
export const nftObject = message(
  nfgenmsg,
  attributes('linux/netfilter/nf_tables.h', { table: attr('NFTA_TABLE_NAME', 1, text) }),
);

/** NFT_MSG_NEWTABLE */
export const nftTable = message(
  nfgenmsg,
  attributes('linux/netfilter/nf_tables.h', {
    name: attr('NFTA_TABLE_NAME', 1, text),
    /** NFT_TABLE_F_* */
    flags: attr('NFTA_TABLE_FLAGS', 2, be32),
    /** be64 */
    handle: attr('NFTA_TABLE_HANDLE', 4, raw),
  }),
);

/** Of one expression of a rule: what iptables brought along (expressions `match` and `target`), in its own binary form. */
const expressionData = attributes('linux/netfilter/nf_tables.h', {
  name: attr('NFTA_MATCH_NAME', 1, text),
  revision: attr('NFTA_MATCH_REV', 2, be32),
  info: attr('NFTA_MATCH_INFO', 3, raw),
});

const expression = attributes('linux/netfilter/nf_tables.h', {
  name: attr('NFTA_EXPR_NAME', 1, text),
  // Attributes of other expressions have the same numbers and other meanings: they are read only when the name says so.
  data: attr('NFTA_EXPR_DATA', 2, raw),
});

/** NFT_MSG_NEWCHAIN; what makes it a base chain as it lies on the wire. */
export const nftChain = message(
  nfgenmsg,
  attributes('linux/netfilter/nf_tables.h', {
    table: attr('NFTA_CHAIN_TABLE', 1, text),
    name: attr('NFTA_CHAIN_NAME', 3, text),
    hook: attr('NFTA_CHAIN_HOOK', 4, raw),
    policy: attr('NFTA_CHAIN_POLICY', 5, be32),
    type: attr('NFTA_CHAIN_TYPE', 7, text),
  }),
);

/** NFTNL_UDATA_RULE_COMMENT, libnftnl's udata.h: how nft keeps a comment, in a list of type, length and value, a byte each. */
const UDATA_COMMENT = 0;

/** '' when there is none */
export function ruleComment(userdata: Uint8Array | undefined): string {
  for (let at = 0; userdata !== undefined && at + 2 <= userdata.length; ) {
    const length = userdata[at + 1] ?? 0;
    const value = userdata.subarray(at + 2, at + 2 + length);
    if (userdata[at] === UDATA_COMMENT) return text.read(sourceOf(value, false), 0, value.length);
    at += 2 + length;
  }
  return '';
}

/** NFT_MSG_NEWRULE, as far as iptables' own expressions go. */
export const nftRule = message(
  nfgenmsg,
  attributes('linux/netfilter/nf_tables.h', {
    table: attr('NFTA_RULE_TABLE', 1, text),
    chain: attr('NFTA_RULE_CHAIN', 2, text),
    /** be64 */
    handle: attr('NFTA_RULE_HANDLE', 3, raw),
    expressions: attr('NFTA_RULE_EXPRESSIONS', 4, raw),
    userdata: attr('NFTA_RULE_USERDATA', 7, raw),
  }),
);

export interface XtExpression {
  readonly kind: 'match' | 'target';
  readonly name: string;
  readonly revision: number;
  /** struct of that name and revision, <linux/netfilter/xt_*.h> */
  readonly info: Uint8Array;
}

/** Those of the expressions of a rule that are iptables'. */
export function xtExpressions(bytes: Uint8Array): readonly XtExpression[] {
  const source = sourceOf(bytes, false);
  const found: XtExpression[] = [];
  for (const [start, end] of elements(source)) {
    const { name, data } = expression.read(source, start, end);
    if ((name !== 'match' && name !== 'target') || data === undefined) continue;
    const inner = expressionData.read(sourceOf(data, false), 0, data.length);
    found.push({ kind: name, name: inner.name ?? '', revision: inner.revision ?? 0, info: inner.info ?? new Uint8Array() });
  }
  return found;
}

/** NFTA_LIST_ELEM, one behind the other. */
function* elements({ view, bytes }: Source): Generator<readonly [start: number, end: number]> {
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = view.getUint16(at, true);
    if (length < 4 || at + length > bytes.length) throw malformed('NFTA_LIST_ELEM', at, `length ${length}`);
    yield [at + 4, at + length];
    at += (length + 3) & ~3;
  }
}
