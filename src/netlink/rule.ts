/** Policy routing rules: ip-rule(8). */
import { addressOf, bitsOf, type Family, formatIp, type IpAddress, lengthOf, type Prefix, prefixOf } from '../base/ip.ts';
import { familyH, fibRulesH, netlinkH, rtnetlinkH } from '../wire/netlink/constants.ts';
import { rule as ruleMessage } from '../wire/netlink/rule.ts';
import { change, type Query, query, type Received, type Request } from './request.ts';

const { RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE } = rtnetlinkH;
const { FR_ACT_TO_TBL } = fibRulesH;

/** Looks a packet up in a table. Same shape as `RoutingRule` of the contracts. */
export interface RuleSpec {
  readonly family: Family;
  readonly priority: number;
  readonly table: number;
  readonly from?: Prefix;
  readonly to?: Prefix;
  /** Name of the incoming link. */
  readonly iif?: string;
  /** Compared in all 32 bits. */
  readonly fwmark?: number;
  /** Routes of at most so many bits do not count. */
  readonly suppressPrefixLength?: number;
}

/** A rule that is there: EEXIST. */
export const addRule = (rule: RuleSpec): Request =>
  change(() => `ip -${rule.family} rule add ${describe(rule)}`, RTM_NEWRULE, {
    flags: netlinkH.NLM_F_CREATE | netlinkH.NLM_F_EXCL,
    codec: ruleMessage,
    value: body(rule),
  });

/** A rule that is not there: ENOENT. */
export const deleteRule = (rule: RuleSpec): Request =>
  change(() => `ip -${rule.family} rule del ${describe(rule)}`, RTM_DELRULE, { codec: ruleMessage, value: body(rule) });

function body(rule: RuleSpec): Parameters<typeof ruleMessage.write>[1] {
  const { family, priority, table, from, to, iif, fwmark, suppressPrefixLength } = rule;
  return {
    header: {
      family: family === 4 ? familyH.AF_INET : familyH.AF_INET6,
      sourceLength: from ? lengthOf(from) : 0,
      destinationLength: to ? lengthOf(to) : 0,
      table: table < 256 ? table : 0,
      action: FR_ACT_TO_TBL,
    },
    attributes: {
      source: matching(from),
      destination: matching(to),
      priority,
      iif,
      fwmark,
      suppressPrefixLength,
      table: table < 256 ? undefined : table,
    },
  };
}

/** A prefix of length 0 matches all and has no address. */
const matching = (prefix: Prefix | undefined): IpAddress | undefined =>
  prefix === undefined || lengthOf(prefix) === 0 ? undefined : addressOf(prefix);

function describe({ priority, table, from, to, iif, fwmark, suppressPrefixLength }: RuleSpec): string {
  const words = [
    `from ${from ?? 'all'}`,
    to && `to ${to}`,
    fwmark !== undefined && `fwmark 0x${fwmark.toString(16)}`,
    iif && `iif ${iif}`,
    `lookup ${table} pref ${priority}`,
    suppressPrefixLength !== undefined && `suppress_prefixlength ${suppressPrefixLength}`,
  ];
  return words.filter(Boolean).join(' ');
}

/** Rules that look up a table; others (goto, blackhole) are left out. */
export function dumpRules(family: Family): Query<RuleSpec> {
  const value = { header: { family: family === 4 ? familyH.AF_INET : familyH.AF_INET6 }, attributes: {} };
  return query(`ip -${family} rule show`, RTM_GETRULE, { dump: true, codec: ruleMessage, value, decode });
}

function decode(message: Received): RuleSpec | undefined {
  if (message.type !== RTM_NEWRULE) return undefined;
  const { header, attributes } = message.read(ruleMessage);
  const family = header.family === familyH.AF_INET ? 4 : header.family === familyH.AF_INET6 ? 6 : undefined;
  if (!family || header.action !== FR_ACT_TO_TBL) return undefined;
  const prefix = (address: IpAddress | undefined, length: number): Prefix =>
    prefixOf(address ?? formatIp(family, 0n), Math.min(length, bitsOf(family)));
  return {
    family,
    priority: attributes.priority ?? 0,
    table: attributes.table ?? header.table,
    ...(header.sourceLength === 0 ? {} : { from: prefix(attributes.source, header.sourceLength) }),
    ...(header.destinationLength === 0 ? {} : { to: prefix(attributes.destination, header.destinationLength) }),
    ...(attributes.iif === undefined ? {} : { iif: attributes.iif }),
    ...(attributes.fwmark === undefined ? {} : { fwmark: attributes.fwmark }),
    // The kernel says -1 for none.
    ...(attributes.suppressPrefixLength === undefined || attributes.suppressPrefixLength === NONE
      ? {}
      : { suppressPrefixLength: attributes.suppressPrefixLength }),
  };
}

const NONE = 2 ** 32 - 1;
