/**
 * nftables as immutable values. Rules and keys are nft(8) text in the form in which `nft list` prints them, so that a
 * value can be shown to a person, sent to libnftables and compared with a listing without translation.
 */

export type NftFamily = 'inet' | 'ip' | 'ip6' | 'arp' | 'bridge' | 'netdev';

/** Names a table; `inet moor`. */
export interface NftTableRef {
  readonly family: NftFamily;
  readonly name: string;
}

/** One rule. The comment is its identity inside its chain: unique there, at most 127 characters (NFTNL_UDATA_RULE_COMMENT). */
export interface NftRule {
  readonly expr: string;
  readonly comment: string;
}

export interface NftHook {
  readonly type: 'filter' | 'nat' | 'route';
  readonly hook: 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting';
  /** As nft prints it: `filter`, `dstnat`, `filter - 10`. */
  readonly priority: string;
  readonly policy: 'accept' | 'drop';
}

export interface NftChain {
  readonly name: string;
  readonly hook?: NftHook;
  readonly rules: readonly NftRule[];
}

/** A set (no `value`) or a map (`value` is its data type, `verdict` for a verdict map). */
export interface NftSet {
  readonly name: string;
  /** `ifname`, `ipv4_addr`, `ifname . ifname` */
  readonly key: string;
  readonly value?: string;
  readonly flags?: readonly ('interval' | 'constant' | 'timeout' | 'dynamic')[];
}

/** A table with everything in it that does not grow; what grows are elements. */
export interface NftTable extends NftTableRef {
  readonly sets: readonly NftSet[];
  readonly chains: readonly NftChain[];
}

/** One element of a set or map. */
export interface NftElement {
  readonly set: string;
  /** `"br-1a2b" . "br-1a2b"`, `192.168.7.0/24` */
  readonly key: string;
  /** `accept`, `goto internal`; absent in a set. */
  readonly value?: string;
}

/** What a listing says is in the kernel. */
export interface NftTableState extends NftTableRef {
  /** chain name -> comments of its rules in order (a rule without a comment shows as ''). */
  readonly chains: Readonly<Record<string, readonly string[]>>;
  /** set or map name -> key -> value ('' in a set). */
  readonly sets: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Chains with a policy of drop; absent: there are none, or nobody looked (tables of sandboxes). */
  readonly drops?: readonly string[];
}
